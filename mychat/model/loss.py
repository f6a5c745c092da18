"""The loss, without ever holding all logits.

Scoring N positions over V ids needs an (N, V) table, the largest of the whole
step. Here it is made a chunk of rows at a time, and the gradient is taken
while the chunk is still in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 1 << 21
"""Logits alive at a time on a CPU: 8 MB in fp32, which a cache holds."""
CHUNK_ELEMENTS_GPU = 1 << 27


def token_losses(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each position in nats: (N, C), (V, C), (N,) -> (N,). Has no gradient."""
    losses = [
        F.cross_entropy(F.linear(rows, weight).float(), wanted, reduction="none")
        for rows, wanted in zip(*_chunks(hidden, targets, weight.shape[0]), strict=True)
    ]
    return torch.cat(losses) if losses else hidden.new_zeros(0, dtype=torch.float32)


def summed_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the losses in nats: (N, C), (V, C), (N,) -> (). Has a gradient for the first two."""
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    return _SummedLoss.apply(hidden, weight, targets)  # type: ignore[no-any-return,no-untyped-call]


class _SummedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        hidden_grad = torch.empty_like(hidden)
        weight_grad = torch.zeros_like(weight, dtype=torch.float32)
        start = 0
        for rows, wanted in zip(*_chunks(hidden, targets, weight.shape[0]), strict=True):
            logits = F.linear(rows, weight).float()
            place = torch.arange(len(wanted), device=wanted.device)
            shares = torch.log_softmax(logits, -1)
            total -= shares[place, wanted].sum()
            surplus = shares.exp_()  # probability, less one for the right id
            surplus[place, wanted] -= 1.0
            surplus = surplus.to(hidden.dtype)
            hidden_grad[start : start + len(rows)] = surplus @ weight
            if hidden.dtype == torch.float32:
                weight_grad.addmm_(surplus.T, rows)
            else:
                weight_grad += surplus.T @ rows
            start += len(rows)
        ctx.save_for_backward(hidden_grad, weight_grad.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        return hidden_grad * grads[0], weight_grad * grads[0], None


def _chunks(hidden: Tensor, targets: Tensor, vocab_size: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    elements = CHUNK_ELEMENTS if hidden.device.type == "cpu" else CHUNK_ELEMENTS_GPU
    size = max(64, elements // vocab_size)
    return torch.split(hidden, size), torch.split(targets, size)
