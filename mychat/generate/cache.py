"""The KV cache: keys and values of the tokens seen so far, so that each is computed once."""

from __future__ import annotations

import torch
from torch import Tensor

from mychat.config import ModelConfig


class KVCache:
    """One layer's keys and values, (B, K, length, D), in memory taken once."""

    def __init__(self, batch: int, config: ModelConfig, length: int, device: str, dtype: torch.dtype) -> None:
        shape = (batch, config.n_kv_head, length, config.head_dim)
        self.k = torch.empty(shape, device=device, dtype=dtype)
        self.v = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add (B, K, T, D) and return views of all so far."""
        end = self.length + k.shape[2]
        self.k[:, :, self.length : end] = k
        self.v[:, :, self.length : end] = v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


def make_caches(batch: int, config: ModelConfig, length: int, device: str, dtype: torch.dtype) -> list[KVCache]:
    """Make one cache a layer, with room for `length` tokens."""
    return [KVCache(batch, config, length, device, dtype) for _ in range(config.n_layer)]
