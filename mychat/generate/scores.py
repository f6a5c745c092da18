"""What the network thought of each id: its probability, how open the choice was, and the others it weighed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mychat.events import TokenScore
from mychat.tokenizer.bpe import Tokenizer


def score_tokens(tokenizer: Tokenizer, logits: Tensor, ids: Sequence[int], alternatives: int) -> list[TokenScore]:
    """Score ids (n) by the logits (n, V) they were chosen from, before any filter."""
    if not ids:
        return []
    logprobs = logits.float().log_softmax(-1).cpu()
    chosen = logprobs.gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
    entropy = -(logprobs.exp() * logprobs).nansum(-1)
    best = torch.topk(logprobs, min(alternatives, logprobs.shape[1]))
    return [
        TokenScore(id_, tokenizer.name(id_), logprob, spread, tuple(
            (other, tokenizer.name(other), value) for other, value in zip(others, values, strict=True)
        ))
        for id_, logprob, spread, others, values in zip(
            ids, chosen, entropy.tolist(), best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]  # fmt: skip
