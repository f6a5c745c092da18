"""Muon on the matrices, AdamW on embeddings and norms, as one optimizer.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer

from mychat.train.muon import Muon
from mychat.train.recipe import Recipe
from mychat.train.world import World


class SplitOptimizer:
    """The two optimizers as one: step, scale the rate, put the state out and in by parameter name."""

    def __init__(self, network: nn.Module, recipe: Recipe, precision: str, world: World) -> None:
        named = dict(network.named_parameters())
        matrices = [parameter for name, parameter in named.items() if is_matrix(name, parameter)]
        embeddings = [p for name, p in named.items() if p.dim() == 2 and not is_matrix(name, p)]
        norms = [parameter for parameter in named.values() if parameter.dim() != 2]
        self.parameters = [*matrices, *embeddings, *norms]
        decay = recipe.weight_decay
        groups = [{"params": embeddings, "weight_decay": decay}, {"params": norms, "weight_decay": 0.0}]
        rate = recipe.matrix_learning_rate
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.muon = Muon(matrices, lr=rate, weight_decay=decay, dtype=dtype, world=world)
        self.adamw = AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)
        self.full_rates = [float(group["lr"]) for group in self._groups()]

    @property
    def both(self) -> tuple[Optimizer, Optimizer]:
        """The two, Muon first."""
        return self.muon, self.adamw

    def step(self, rate_share: float, clip_norm: float) -> Tensor:
        """Clip, update at this share of the full rate, clear; return the gradient norm before clipping, ()."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        for group, rate in zip(self._groups(), self.full_rates, strict=True):
            group["lr"] = rate * rate_share
        self.muon.step()
        self.adamw.step()
        for parameter in self.parameters:
            parameter.grad = None
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _groups(self) -> list[dict[str, Any]]:
        """The groups as they are now: loading a state replaces them."""
        return [group for one in self.both for group in one.param_groups]

    def forget(self) -> None:
        """Start afresh, as if no step had been taken."""
        for optimizer in self.both:
            optimizer.state.clear()


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon updates it: a weight between hidden layers, not the embedding."""
    return parameter.dim() == 2 and "embed_tokens" not in name
