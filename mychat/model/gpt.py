"""The network: a decoder-only transformer, written to be read.

RMSNorm, rotary positions, grouped-query attention with normalised queries and
keys, SwiGLU, tied embeddings. The modules carry the names of Hugging Face's
Qwen3, so the weights need no translation.

Shapes: B batch, T tokens, S tokens to look at, C n_embd,
H n_head, K n_kv_head, D head_dim, V vocab_size.
Source: Vaswani et al. 2017, arXiv:1706.03762; Qwen3, arXiv:2505.09388.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mychat.config import ModelConfig
from mychat.model.attention import additive, block_attention
from mychat.model.norm import RMSNorm


def rotary_table(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines for the positions, (T,) -> (T, D) each.

    Source: Su et al. 2021, arXiv:2104.09864, with the halves paired (x[i], x[i + D/2]).
    """
    frequency = theta ** (-torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim)
    angle = torch.outer(positions.float(), frequency)
    sin = angle.sin()
    return torch.cat((angle.cos(),) * 2, dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + D/2]) of (B, H, T, D) by its angle.

    The halves are swapped by a flip: slicing them apart would make the
    backward pass fill and add whole tensors.
    """
    swapped = x.view(*x.shape[:-1], 2, -1).flip(-2).flatten(-2)
    return x * cos + swapped * signed_sin


class Attention(nn.Module):
    """Causal self-attention; K heads of keys and values serve H heads of queries."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.shared = config.n_head != config.n_kv_head
        width, kv_width = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
        self.q_proj = nn.Linear(config.n_embd, width, bias=False)
        self.k_proj = nn.Linear(config.n_embd, kv_width, bias=False)
        self.v_proj = nn.Linear(config.n_embd, kv_width, bias=False)
        self.o_proj = nn.Linear(width, config.n_embd, bias=False)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps)
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """Attend: (B, T, C) -> (B, T, C). `mask` (B, 1, T, S) is added to the scores; None is causal."""
        B, T, _ = x.shape
        q, k, v = (
            projection(x).view(B, T, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(self.q_norm(q), *rotary), rotate(self.k_norm(k), *rotary)
        if x.device.type == "cpu":
            y = block_attention(q, k, v, mask)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=self.shared)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """SwiGLU. Source: Shazeer 2020, arXiv:2002.05202."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.n_embd, config.n_ff, bias=False)
        self.up_proj = nn.Linear(config.n_embd, config.n_ff, bias=False)
        self.down_proj = nn.Linear(config.n_ff, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.n_embd, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.n_embd, config.norm_eps)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), rotary, mask))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))  # type: ignore[no-any-return]


class GPT(nn.Module):
    """Ids in, a distribution over the next id out.

    `hidden` and `logits` are apart so that training can ask for the logits of
    the positions it scores, and generation for those of the last.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Block(config, dropout) for _ in range(config.n_layer))
        self.norm = RMSNorm(config.n_embd, config.norm_eps)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw fresh weights so that every layer starts with activations and gradients of one scale.

        A matrix gets variance 1/fan_in; those that write to the residual
        stream are smaller by sqrt(2 n_layer), so that depth does not add up.
        """
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std = (parameter.shape[1] * 2 * self.config.n_layer) ** -0.5
            elif name == "embed_tokens.weight":
                std = 0.02
            elif parameter.dim() == 2:
                std = parameter.shape[1] ** -0.5
            else:
                continue  # the weight of a norm starts at 1
            parameter.normal_(0.0, std, generator=generator)

    def hidden(self, ids: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Run the layers: ids (B, T) -> (B, T, C), normalised. `mask` (B, 1, T, T): where a token may look."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.embed_tokens(ids))
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        cos, sin = rotary_table(positions, self.config.head_dim, self.config.rope_theta)
        rotary = cos.to(dtype), sin.to(dtype)
        mask = None if mask is None else additive(mask, dtype)
        for layer in self.layers:
            x = layer(x, rotary, mask)
        return self.norm(x)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """Score every id by the tied embedding: (..., C) -> (..., V)."""
        return F.linear(hidden, self.embed_tokens.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, T) -> logits (B, T, V)."""
        return self.logits(self.hidden(ids))

    def count_parameters(self) -> int:
        """Count the weights."""
        return sum(parameter.numel() for parameter in self.parameters())
