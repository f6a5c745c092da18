"""Muon: momentum, made orthogonal.

The update of a matrix is its momentum with all singular values brought near
one, by a few matrix products. Matrices of one shape go through them
together, and each process of a world takes its share.

Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate
from torch.optim import Optimizer

from mychat.train.world import World

ITERATIONS = 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""(a, b, c) of X <- aX + b(XX')X + c(XX')²X. They leave the singular values between 0.7 and 1.2, which learns
better than coefficients that bring them to 1 (Polar Express; docs/log.md)."""


def orthogonalise(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Push all singular values towards 1: (n, R, C) -> (n, R, C) of `dtype`, in which it computes."""
    x = matrices.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised; decoupled weight decay.

    `dtype` is the one in which this device multiplies matrices fastest.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
        world: World | None = None,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype
        self.world = world or World()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            for matrices in by_shape.values():
                self._update(matrices, group)

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        momenta = []
        for matrix in matrices:
            state = self.state[matrix]
            if not state:
                state["momentum"] = torch.zeros_like(matrix)
            gradient: Any = matrix.grad
            state["momentum"].lerp_(gradient, 1 - group["momentum"])
            momenta.append(_whole(torch.lerp(gradient, state["momentum"], group["momentum"])))
        rows, columns = matrices[0].shape
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        for matrix, update in zip(matrices, self._orthogonalise(torch.stack(momenta)), strict=False):
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(_as_sharded(update.to(matrix.dtype), matrix), alpha=-rate)

    def _orthogonalise(self, momenta: Tensor) -> Tensor:
        """Let each process orthogonalise its share, then hand them round; may return more than came in."""
        size = self.world.size
        share = -(-len(momenta) // size)
        start = self.world.rank * share
        mine = momenta[start : start + share]
        if len(mine) < share:
            mine = torch.cat((mine, momenta.new_zeros(share - len(mine), *momenta.shape[1:])))
        return self.world.gather(orthogonalise(mine, self.dtype))


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _as_sharded(tensor: Tensor, like: Tensor) -> Tensor:
    """Cut a whole tensor as another is cut over the processes."""
    if not isinstance(like, DTensor):
        return tensor
    whole = DTensor.from_local(tensor, like.device_mesh, [Replicate()] * like.device_mesh.ndim)
    return whole.redistribute(placements=like.placements)
