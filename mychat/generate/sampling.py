"""From logits to the next id: small pure functions, applied in the order of `next_id`.

Shapes: logits (V,), ids (n,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mychat.config import SamplingOptions


def penalise_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make `ids` less likely: divide positive logits, multiply negative ones. Source: arXiv:1909.05858."""
    if penalty == 1.0 or not len(ids):
        return logits
    seen = torch.unique(ids)
    scores = logits[seen]
    return logits.index_put((seen,), torch.where(scores > 0, scores / penalty, scores * penalty))


def ban_repeats(logits: Tensor, reply: Tensor, n: int) -> Tensor:
    """Rule out every id that would make the reply's last n ids a stretch it holds already; 0 rules out none.

    Source: arXiv:1705.04304, section 2.5 (there for n = 3). A reply can then not run in circles.
    """
    if n == 0 or len(reply) < n:
        return logits
    stretches = reply.unfold(0, n, 1)
    banned = stretches[(stretches[:, :-1] == reply[len(reply) - n + 1 :]).all(-1), -1]
    return logits.index_fill(0, banned, float("-inf"))


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest, and what ties with the last of them; 0 keeps all."""
    if k == 0 or k >= len(logits):
        return logits
    return logits.masked_fill(logits < torch.topk(logits, k).values[-1], float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of most likely ids whose probability reaches p. Source: arXiv:1904.09751."""
    if p >= 1.0:
        return logits
    ordered, order = torch.sort(logits, descending=True, stable=True)
    probabilities = ordered.softmax(-1)
    beyond = probabilities.cumsum(-1) - probabilities >= p  # what stands before it suffices already
    return logits.masked_fill(torch.zeros_like(beyond).scatter(0, order, beyond), float("-inf"))


def keep_min_p(logits: Tensor, min_p: float) -> Tensor:
    """Keep ids at least `min_p` times as probable as the most likely. Source: arXiv:2407.01082."""
    if min_p == 0.0:
        return logits
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < min_p * probabilities.max(), float("-inf"))


def next_id(logits: Tensor, reply: Tensor, options: SamplingOptions, generator: torch.Generator) -> int:
    """Choose one id. `reply` holds the ids said so far in this reply; temperature 0 means argmax.

    Penalty and ban look at the reply only: over the whole context it would also
    make <|end|> and the words the user asked about less likely.
    """
    logits = penalise_repetition(logits.float().cpu(), reply, options.repetition_penalty)
    logits = ban_repeats(logits, reply, options.no_repeat_ngram)
    if options.temperature == 0:
        return int(logits.argmax())
    logits = keep_top_k(logits / options.temperature, options.top_k)
    logits = keep_min_p(keep_top_p(logits, options.top_p), options.min_p)
    return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
