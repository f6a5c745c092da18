"""The network arranged for generation: the same function as `mychat.model.gpt`, a few tokens at a time.

Projections that read the same input are one product, the norms of queries and keys are one, and keys and values
stay in memory taken once. Nothing here is differentiated, and the GPT is not needed any more.

Shapes: as in `mychat.model.gpt`; N = B*T.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from mychat.config import ModelConfig
from mychat.generate.build import build
from mychat.generate.native import MOST_ROWS, ROOM_STEP, NativeStep, fits
from mychat.generate.product import Product, bytes_read, product_with
from mychat.model.gpt import GPT, Attention, Block, FeedForward, rotary_table, rotate

BLOCK = 256
"""Queries at a time in a long prompt: half of the scores above the diagonal are then never computed."""


class KVCache:
    """Keys and values of the tokens so far, of all layers, so that each is computed once.

    Rows of unequal length are padded on the left: they end together, and grow together.
    """

    def __init__(self, batch: int, config: ModelConfig, room: int, like: Tensor) -> None:
        room = -(-room // ROOM_STEP) * ROOM_STEP
        shape = (config.n_layer, batch, config.n_kv_head, room, config.head_dim)
        keys, values = (torch.empty(shape, device=like.device, dtype=like.dtype) for _ in range(2))
        self._hold(keys.view(*shape[:3], config.head_dim, room), values)
        self.length = 0
        self.padding: Tensor | None = None
        """Tokens of padding before each row, (B,); None: no row has any."""

    def _hold(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        """Of all layers, (n_layer, B, K, D, room) and (n_layer, B, K, room, D): both are read along their rows."""
        self.layers = list(zip(keys, values, strict=True))
        """Of each layer, views: taking them apart costs as much as using them."""

    def pad(self, padding: Sequence[int]) -> None:
        """Say how much padding stands before each row. For an empty cache."""
        if any(padding):
            self.padding = torch.tensor(padding, device=self.keys.device)

    def rewind(self, length: int) -> None:
        """Forget the tokens from `length` on."""
        self.length = min(self.length, length)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only, in this order; a row may come twice."""
        self._hold(self.keys.index_select(1, rows), self.values.index_select(1, rows))
        self.padding = None if self.padding is None else self.padding.index_select(0, rows)


@dataclass(slots=True)
class _Layer:
    """One block's weights. `qk_norm` (H + K, D): each head's, the scale of the scores in the queries'.

    Those of norms hold the square root of what they are the mean over: `_normed` divides by the sum.
    """

    norm: Tensor
    qkv: Product
    qk_norm: Tensor
    out: Product
    ff_norm: Tensor
    gate_up: Product
    down: Product

    @classmethod
    def of(cls, block: Block) -> Self:
        attention, ff = block.self_attn, block.mlp
        assert isinstance(attention, Attention)
        assert isinstance(ff, FeedForward)
        q, k = attention.q_norm.weight * attention.head_dim**-0.5, attention.k_norm.weight
        n_head = attention.q_proj.out_features // attention.head_dim
        n_kv_head = attention.k_proj.out_features // attention.head_dim
        return cls(
            norm=_norm_weight(block.input_layernorm.weight),
            qkv=product_with(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight),
            qk_norm=_norm_weight(torch.cat((q.expand(n_head, -1), k.expand(n_kv_head, -1)))),
            out=product_with(attention.o_proj.weight),
            ff_norm=_norm_weight(block.post_attention_layernorm.weight),
            gate_up=product_with(ff.gate_proj.weight, ff.up_proj.weight),
            down=product_with(ff.down_proj.weight),
        )


def _norm_weight(weight: Tensor) -> Tensor:
    scaled: Tensor = (weight.detach().float() * weight.shape[-1] ** 0.5).to(weight.dtype)
    return scaled


class Decoder:
    """Runs a GPT over new tokens, given the cache of those before. `native`: with native.c where it can be had."""

    def __init__(self, model: GPT, *, native: bool = True) -> None:
        self.config = model.config
        self.embedding = model.embed_tokens.weight.detach()
        self._head = product_with(self.embedding)
        self.layers = [_Layer.of(block) for block in model.layers if isinstance(block, Block)]
        self.norm = _norm_weight(model.norm.weight)
        self._rotary = self._rotary_table(model.config.context_length)
        size = min(BLOCK, model.config.context_length)
        self._ahead = self.embedding.new_full((size, size), float("-inf")).triu_(1)
        """Added to the scores of new tokens among themselves."""
        self._least = {
            width: torch.tensor((width * model.config.norm_eps) ** 0.5, device=self.embedding.device)
            for width in (model.config.n_embd, model.config.head_dim)
        }
        self._native: NativeStep | None = None
        self._for_native = model if native and fits(model) else None
        """Until the library of native.c is there, or known not to come."""
        self._look_for_native()

    def settle(self) -> None:
        """Wait until it is as fast as it will be: until a native.c that is being built is there."""
        if self._for_native is not None:
            build().wait()
            self._look_for_native()

    @property
    def bytes_per_weight(self) -> int:
        """Of what a step reads."""
        return 2 if self._native else bytes_read(self.embedding)

    def _look_for_native(self) -> None:
        if (model := self._for_native) is None:
            return
        made = build()
        made.look()
        if made.settled:
            self._for_native = None
        if made.library:
            norms = [[layer.norm, layer.qk_norm, layer.ff_norm] for layer in self.layers]
            with contextlib.suppress(MemoryError):
                self._native = NativeStep(made.library, model, [*norms, [self.norm]], self._rotary)

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
        B, T = ids.shape
        self._look_for_native()
        if self._native and T <= MOST_ROWS and B == 1 and cache.padding is None:
            hidden = self._native.hidden(ids[0], cache.length, cache.keys, cache.values)
            cache.length += T
            return hidden[None]
        x = F.embedding(ids.flatten(), self.embedding)  # (N, C)
        start, end = cache.length, cache.length + T
        unseen = None
        if cache.padding is None:
            cos, sin = (table[start:end] for table in self._rotary)
            if B > 1:
                cos, sin = cos.repeat(B, 1, 1), sin.repeat(B, 1, 1)
        else:
            positions = (torch.arange(start, end, device=ids.device) - cache.padding[:, None]).clamp(min=0).flatten()
            cos, sin = (table[positions] for table in self._rotary)
            padding = cache.padding.repeat_interleave(self.config.n_kv_head)[:, None]
            unseen = torch.arange(end, device=ids.device) < padding
        for layer, kv in zip(self.layers, cache.layers, strict=True):
            y = self._attend(layer, self._normed(x, layer.norm), (cos, sin), kv, start, unseen)
            x = x + layer.out(y)
            gate, up = layer.gate_up(self._normed(x, layer.ff_norm)).chunk(2, -1)
            x = x + layer.down(F.silu(gate).mul_(up))
        cache.length = end
        return self._normed(x, self.norm).view(B, T, -1)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Score every id by the tied embedding: (..., C) -> (..., V)."""
        if self._native and hidden.dim() == 2 and len(hidden) <= MOST_ROWS:
            return self._native.logits(hidden)
        return self._head(hidden)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm over the last dimension D: x / sqrt(sum of squares + D eps), the weight sqrt(D) times as large.

        `F.rms_norm` is nine operations on a CPU; here an operation costs more to call than to do.
        """
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        return (x / torch.hypot(length, self._least[x.shape[-1]])).to(x.dtype) * weight

    def _attend(
        self, layer: _Layer, x: Tensor, rotary: tuple[Tensor, Tensor], kv: tuple[Tensor, Tensor], start: int,
        unseen: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """Attend from new tokens, (N, C) -> (N, H * D), to all so far but `unseen` (B * K, S)."""
        H, K, D = self.config.n_head, self.config.n_kv_head, self.config.head_dim
        keys, values = kv
        B = len(keys)
        T, N = len(x) // B, len(x)
        heads = layer.qkv(x).view(N, H + 2 * K, D)
        qk = self._normed(heads[:, : H + K], layer.qk_norm)
        qk = rotate(qk, *rotary).view(B, T, H + K, D)
        end = start + T
        keys.narrow(3, start, T).copy_(qk[:, :, H:].permute(0, 2, 3, 1))
        values.narrow(2, start, T).copy_(heads.view(B, T, H + 2 * K, D)[:, :, H + K :].transpose(1, 2))
        keys, values = keys.narrow(3, 0, end).view(B * K, D, end), values.narrow(2, 0, end).view(B * K, end, D)
        queries = qk[:, :, :H].view(B, T, K, H // K, D).permute(0, 2, 3, 1, 4)
        if T <= BLOCK:
            y = self._look(queries, keys, values, unseen)
        else:
            parts = []
            for at in range(0, T, BLOCK):
                stop = min(end, start + at + BLOCK)
                part = None if unseen is None else unseen[:, :stop]
                parts.append(self._look(queries[:, :, :, at : at + BLOCK], keys[..., :stop], values[:, :stop], part))
            y = torch.cat(parts, dim=3)
        return y.permute(0, 3, 1, 2, 4).reshape(N, H * D)

    def _look(self, queries: Tensor, keys: Tensor, values: Tensor, unseen: Tensor | None) -> Tensor:
        """Attend: queries (B, K, G, T, D) to keys (B * K, D, S) and values (B * K, S, D), the last T their own."""
        B, K, G, T, D = queries.shape
        S = keys.shape[2]
        scores = torch.bmm(queries.reshape(B * K, G * T, D), keys)
        if T > 1:
            scores.view(B * K, G, T, S)[..., S - T :].add_(self._ahead[:T, :T])
        if unseen is not None:
            scores.masked_fill_(unseen[:, None], torch.finfo(scores.dtype).min)  # -inf everywhere were NaN
        return torch.bmm(torch.softmax(scores, -1), values).view(B, K, G, T, D)
