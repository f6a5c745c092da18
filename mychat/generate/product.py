"""Products of a few rows with a weight, as fast as the memory gives it.

One token's products are bound by reading the weights. Half-precision weights laid out in blocks, with activations and
sums in fp32 (FBGEMM, in torch on x86), are read at four to fourteen times the pace of torch's fp32 product for a row
or a few (docs/log.md). bf16 weights lose nothing: fp16 has more digits, and what is below its range is below 6e-8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor], Tensor]
"""(n, in) -> (n, out), or with more dimensions before."""
FP16_MAX = 65504.0


def product_with(*weights: Tensor) -> Product:
    """Make one product of weights (out, in) that read the same input; their outputs stand side by side."""
    weight = torch.cat([one.detach() for one in weights])
    if bytes_read(weight) == weight.element_size():
        return partial(F.linear, weight=weight)
    packed, multiply = _pack(weight), torch.ops.quantized.linear_dynamic_fp16
    return lambda x: multiply(x, packed)


def bytes_read(weight: Tensor) -> int:
    """Return how many bytes of each number a product with it reads."""
    packs = weight.device.type == "cpu" and weight.dtype == torch.float32 and _packs()
    return 2 if packs and bool(weight.abs().max() <= FP16_MAX) else weight.element_size()


def _pack(weight: Tensor) -> object:
    return torch.ops.quantized.linear_prepack_fp16(weight, None)


@lru_cache(maxsize=1)
def _packs() -> bool:
    """Try whether this machine's torch has packed products, and has them right."""
    rows, weight = torch.eye(3, 8), torch.arange(40.0).view(5, 8)
    try:
        result: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, _pack(weight))
    except (RuntimeError, AttributeError):  # the operation is not there, or not on this processor
        return False
    return torch.equal(result, F.linear(rows, weight))
