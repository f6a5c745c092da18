"""Causal attention on a CPU, a block of queries at a time, as plain matrix products.

torch's own CPU kernel multiplies small tiles, which in bf16 is a tenth of what
the machine can do. Here the queries of a block, for all heads that share a key
head, are multiplied with every key up to the block's end in one batched
product: half of the arithmetic above the diagonal is skipped, and the rest
runs at the speed of matrix products. The probabilities are kept for the
backward pass (T/2 per query and head), so nothing is computed twice.

Shapes: B batch, T tokens, H heads of queries, K heads of keys and values,
G = H/K, D head_dim.
Source: the block order is that of Dao et al. 2022, arXiv:2205.14135.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK = 128
"""Queries at a time. Measured at T = 512: 64 and 128 alike, 256 slower by a tenth (docs/log.md)."""


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a mask that is True where a token may look into what is added to the scores: 0 there, else -inf."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def block_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attend: (B, H, T, D), (B, K, T, D) twice -> (B, H, T, D).

    It is kept out of compiled code (`compile_layers`): torch's own kernels for softmax are faster than generated ones.
    `bias` (B, 1, T, T), of the dtype of q, is added to the scores and forbids what lies ahead; None: only that.
    """
    return _BlockAttention.apply(q, k, v, bias)  # type: ignore[no-any-return,no-untyped-call]


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        B, H, T, D = q.shape
        K = k.shape[1]
        G = H // K
        grouped = (q * D**-0.5).view(B, K, G, T, D)
        k, v = k.reshape(B * K, T, D), v.reshape(B * K, T, D)
        ahead = torch.full((BLOCK, BLOCK), float("-inf"), dtype=q.dtype).triu_(1) if bias is None else None
        out = q.new_empty(B, T, K, G, D).permute(0, 2, 3, 1, 4)  # the heads of a token side by side
        kept = []
        for start in range(0, T, BLOCK):
            end = min(T, start + BLOCK)
            queries = grouped[:, :, :, start:end].reshape(B * K, G * (end - start), D)
            scores = torch.bmm(queries, k[:, :end].mT)
            if bias is None:
                assert ahead is not None
                scores.view(B * K * G, end - start, end)[:, :, start:] += ahead[: end - start, : end - start]
            else:
                scores.view(B, K * G, end - start, end).add_(bias[:, :, start:end, :end])
            shares = torch.softmax(scores, -1)
            out[:, :, :, start:end] = torch.bmm(shares, v[:, :end]).view(B, K, G, end - start, D)
            kept += [queries, shares]
        ctx.save_for_backward(k, v, *kept)
        ctx.shape = B, K, G, T, D
        return out.reshape(B, H, T, D)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        B, K, G, T, D = ctx.shape
        k, v, *kept = ctx.saved_tensors
        grad = grads[0].view(B, K, G, T, D)
        q_grad = torch.empty_like(grad)
        k_grad, v_grad = (torch.zeros(B * K, T, D, device=k.device) for _ in range(2))
        for start, queries, shares in zip(range(0, T, BLOCK), kept[::2], kept[1::2], strict=True):
            end = min(T, start + BLOCK)
            out_grad = grad[:, :, :, start:end].reshape(B * K, G * (end - start), D)
            v_grad[:, :end] += torch.bmm(shares.mT, out_grad)
            shares_grad = torch.bmm(out_grad, v[:, :end].mT)
            scores_grad = torch._softmax_backward_data(shares_grad, shares, -1, shares.dtype)
            k_grad[:, :end] += torch.bmm(scores_grad.mT, queries)
            q_grad[:, :, :, start:end] = torch.bmm(scores_grad, k[:, :end]).view(B, K, G, end - start, D)
        q_grad *= D**-0.5
        return (
            q_grad.view(B, K * G, T, D),
            k_grad.to(k.dtype).view(B, K, T, D),
            v_grad.to(v.dtype).view(B, K, T, D),
            None,
        )
