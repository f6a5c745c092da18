"""The network arranged for generation: the same function as `mychat.model.gpt`, a few tokens at a time.

Projections that read the same input are one product, the norms of queries and keys are one, and keys and values
stay in memory taken once. Nothing here is differentiated.

Shapes: as in `mychat.model.gpt`; N = B*T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mychat.config import ModelConfig
from mychat.model.gpt import GPT, Attention, Block, FeedForward, rotary_table, rotate

BLOCK = 256
"""Queries at a time in a long prompt: half of the scores above the diagonal are then never computed."""


class KVCache:
    """Keys and values of the tokens so far, of all layers, so that each is computed once.

    Rows of unequal length are padded on the left: they end together, and grow together.
    """

    def __init__(self, batch: int, config: ModelConfig, room: int, like: Tensor) -> None:
        shape = (config.n_layer, 2, batch, config.n_kv_head, room, config.head_dim)
        self.kv = torch.empty(shape, device=like.device, dtype=like.dtype)
        self.length = 0
        self.padding: Tensor | None = None
        """Tokens of padding before each row, (B,); None: no row has any."""

    def pad(self, padding: Sequence[int]) -> None:
        """Say how much padding stands before each row. For an empty cache."""
        if any(padding):
            self.padding = torch.tensor(padding, device=self.kv.device)

    def rewind(self, length: int) -> None:
        """Forget the tokens from `length` on."""
        self.length = min(self.length, length)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only, in this order; a row may come twice."""
        self.kv = self.kv.index_select(2, rows)
        self.padding = None if self.padding is None else self.padding.index_select(0, rows)


@dataclass(slots=True)
class _Layer:
    """One block's weights. `qk_norm` (H + K, D): each head's, the scale of the scores in the queries'."""

    norm: Tensor
    qkv: Tensor
    qk_norm: Tensor
    out: Tensor
    ff_norm: Tensor
    gate_up: Tensor
    down: Tensor

    @classmethod
    def of(cls, block: Block) -> Self:
        attention, ff = block.self_attn, block.mlp
        assert isinstance(attention, Attention)
        assert isinstance(ff, FeedForward)
        q, k = attention.q_norm.weight * attention.head_dim**-0.5, attention.k_norm.weight
        n_head = attention.q_proj.out_features // attention.head_dim
        n_kv_head = attention.k_proj.out_features // attention.head_dim
        return cls(
            norm=block.input_layernorm.weight.detach(),
            qkv=_joined(attention.q_proj, attention.k_proj, attention.v_proj),
            qk_norm=torch.cat((q.expand(n_head, -1), k.expand(n_kv_head, -1))).detach(),
            out=attention.o_proj.weight.detach(),
            ff_norm=block.post_attention_layernorm.weight.detach(),
            gate_up=_joined(ff.gate_proj, ff.up_proj),
            down=ff.down_proj.weight.detach(),
        )


def _joined(*projections: nn.Linear) -> Tensor:
    """Stack weights, and let the projections be views of the stack: nothing is in memory twice."""
    joined = torch.cat([projection.weight.detach() for projection in projections])
    parts = torch.split(joined, [projection.out_features for projection in projections])
    for projection, part in zip(projections, parts, strict=True):
        projection.weight = nn.Parameter(part, requires_grad=False)
    return joined


class Decoder:
    """Runs a GPT over new tokens, given the cache of those before. The GPT's own weights become views of its own."""

    def __init__(self, model: GPT) -> None:
        self.config = model.config
        self.embedding = model.embed_tokens.weight.detach()
        self.layers = [_Layer.of(block) for block in model.layers if isinstance(block, Block)]
        self.norm = model.norm.weight.detach()
        self._rotary = self._rotary_table(model.config.context_length)

    def _rotary_table(self, length: int) -> tuple[Tensor, Tensor]:
        """Return cosines and signed sines, (length, 1, D): the same for every head."""
        positions = torch.arange(length, device=self.embedding.device)
        cos, sin = rotary_table(positions, self.config.head_dim, self.config.rope_theta)
        return cos.to(self.embedding.dtype)[:, None], sin.to(self.embedding.dtype)[:, None]

    def make_cache(self, batch: int, room: int) -> KVCache:
        """Take the memory for a batch of so many tokens each."""
        return KVCache(batch, self.config, room, self.embedding)

    @torch.inference_mode()
    def hidden(self, ids: Tensor, cache: KVCache) -> Tensor:
        """Run new ids (B, T) after those in the cache, which grows by them: -> (B, T, C), normalised."""
        x = F.embedding(ids, self.embedding)
        start, end = cache.length, cache.length + ids.shape[1]
        if cache.padding is None:
            cos, sin = (table[start:end] for table in self._rotary)
        else:
            positions = (torch.arange(start, end, device=ids.device) - cache.padding[:, None]).clamp(min=0)
            cos, sin = (table[positions] for table in self._rotary)
        for index, layer in enumerate(self.layers):
            x = x + self._attend(layer, x, (cos, sin), cache, index)
            gate, up = F.linear(self._normed(x, layer.ff_norm), layer.gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        cache.length = end
        return self._normed(x, self.norm)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Score every id by the tied embedding: (..., C) -> (..., V)."""
        return F.linear(hidden, self.embedding)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape[-1:], None, self.config.norm_eps) * weight

    def _attend(self, layer: _Layer, x: Tensor, rotary: tuple[Tensor, Tensor], cache: KVCache, index: int) -> Tensor:
        B, T, _ = x.shape
        H, K, D = self.config.n_head, self.config.n_kv_head, self.config.head_dim
        start, end = cache.length, cache.length + T
        heads = F.linear(self._normed(x, layer.norm), layer.qkv).view(B, T, H + 2 * K, D)
        qk = rotate(self._normed(heads[:, :, : H + K], layer.qk_norm), *rotary)
        keys, values = cache.kv[index]
        keys[:, :, start:end] = qk[:, :, H:].transpose(1, 2)
        values[:, :, start:end] = heads[:, :, H + K :].transpose(1, 2)
        queries = qk[:, :, :H].view(B, T, K, H // K, D).permute(0, 2, 3, 1, 4)
        if T <= BLOCK:
            y = _look(queries, keys[:, :, :end], values[:, :, :end], cache.padding)
        else:
            y = torch.cat(
                [
                    _look(part, keys[:, :, :stop], values[:, :, :stop], cache.padding)
                    for part, stop in (
                        (queries[:, :, :, at : at + BLOCK], min(end, start + at + BLOCK)) for at in range(0, T, BLOCK)
                    )
                ],
                dim=3,
            )
        return F.linear(y.permute(0, 3, 1, 2, 4).reshape(B, T, H * D), layer.out)


def _look(queries: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None) -> Tensor:
    """Attend: queries (B, K, G, T, D) to keys and values (B, K, S, D), of which the last T are their own."""
    B, K, G, T, D = queries.shape
    S = keys.shape[2]
    scores = torch.matmul(queries.reshape(B, K, G * T, D), keys.mT).view(B, K, G, T, S)
    if T > 1:
        ahead = torch.ones(T, T, dtype=torch.bool, device=scores.device).triu_(1)
        scores[..., S - T :].masked_fill_(ahead, float("-inf"))
    if padding is not None:
        unseen = torch.arange(S, device=scores.device) < padding[:, None]
        scores.masked_fill_(unseen[:, None, None, None], torch.finfo(scores.dtype).min)  # -inf everywhere were NaN
    shares = torch.softmax(scores, -1).view(B, K, G * T, S)
    return torch.matmul(shares, values).view(B, K, G, T, D)
