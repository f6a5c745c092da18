"""RMSNorm, with a backward pass made of the few fast kernels that a CPU has for it.

Source: Zhang & Sennrich 2019, arXiv:1910.07467.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scale to unit root mean square, then by a learnt weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension, in fp32."""
        if self.training and x.device.type == "cpu" and not torch.compiler.is_compiling():
            return _EagerRMSNorm.apply(x, self.weight, self.eps)  # type: ignore[no-any-return,no-untyped-call]
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).type_as(x)


class _EagerRMSNorm(torch.autograd.Function):
    """The same for uncompiled training: torch differentiates `F.rms_norm` in a dozen passes over memory.

    Layer normalisation has a fused backward kernel. With a mean of zero it
    differs from this one by the mean of the gradient, which is put back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, 2, -1, keepdim=True, dtype=torch.float32)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        normed: Tensor = x * scale.to(x.dtype)
        return normed.mul_(weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scale, weight = ctx.saved_tensors
        grad, width = grads[0].contiguous(), x.shape[-1]
        exact = x.dtype == torch.float32  # in bf16 the kernel would add the weight's gradient up in bf16
        x_grad, weight_grad, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, [width], torch.zeros_like(scale), scale, weight, None, [True, exact, False]
        )
        mean = (grad @ weight.to(grad.dtype)).unsqueeze(-1) * (scale.to(grad.dtype) / width)
        if not exact:
            weight_grad = ((grad * x).flatten(0, -2).mT @ scale.flatten().to(grad.dtype)).to(weight.dtype)
        return x_grad.add_(mean), weight_grad, None
