"""From logits to the next id: small pure functions, applied in the order of `Chooser.scores`.

Shapes: logits (V,) in fp32, ids (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mychat.config import SamplingOptions

NEVER = float("-inf")
LIKELY = 64
"""Ids sorted first, in search of those that reach `top_p`; mostly they do."""


def add_biases(logits: Tensor, ids: Sequence[int], biases: Mapping[tuple[int, ...], float]) -> Tensor:
    """Add each bias to the last id of its stretch where `ids` end with what comes before it."""
    found: dict[int, float] = {}
    for stretch, bias in biases.items():
        before = stretch[:-1]
        if not before or tuple(ids[-len(before) :]) == before:
            found[stretch[-1]] = found.get(stretch[-1], 0.0) + bias
    if not found:
        return logits
    return logits.index_add(0, torch.tensor(list(found)), torch.tensor(list(found.values())))


def penalise_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make `ids` less likely: divide positive logits, multiply negative ones. Source: arXiv:1909.05858."""
    if penalty == 1.0 or not len(ids):
        return logits
    seen = torch.unique(ids)
    scores = logits[seen]
    return logits.index_put((seen,), torch.where(scores > 0, scores / penalty, scores * penalty))


def penalise_counts(logits: Tensor, ids: Tensor, frequency: float, presence: float) -> Tensor:
    """Take `frequency` for each time that `ids` hold an id, and `presence` once. Source: OpenAI's API reference."""
    if not len(ids) or not (frequency or presence):
        return logits
    seen, counts = torch.unique(ids, return_counts=True)
    return logits.index_add(0, seen, -(frequency * counts + presence))


def ban_repeats(logits: Tensor, reply: Tensor, n: int) -> Tensor:
    """Rule out every id that would make the reply's last n ids a stretch it holds already; 0 rules out none.

    Source: arXiv:1705.04304, section 2.5 (there for n = 3). A reply can then not run in circles.
    """
    if n == 0 or len(reply) < n:
        return logits
    stretches = reply.unfold(0, n, 1)
    banned = stretches[(stretches[:, :-1] == reply[len(reply) - n + 1 :]).all(-1), -1]
    return logits.index_fill(0, banned, NEVER)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest, and what ties with the last of them; 0 keeps all."""
    if k == 0 or k >= len(logits):
        return logits
    return logits.masked_fill(logits < torch.topk(logits, k).values[-1], NEVER)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of most likely ids whose probability reaches p. Source: arXiv:1904.09751."""
    if p >= 1.0:
        return logits
    total = logits.logsumexp(-1)
    for most in (min(LIKELY, len(logits)), len(logits)):
        ordered, order = torch.topk(logits, most)
        probabilities = (ordered - total).exp()
        reached = probabilities.cumsum(-1)
        if reached[-1] >= p:
            break
    kept = reached - probabilities < p  # what stands before it does not suffice yet
    return torch.full_like(logits, NEVER).index_copy(0, order[kept], ordered[kept])


def keep_min_p(logits: Tensor, min_p: float) -> Tensor:
    """Keep ids at least `min_p` times as probable as the most likely. Source: arXiv:2407.01082."""
    if min_p == 0.0:
        return logits
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < min_p * probabilities.max(), NEVER)


def keep_typical(logits: Tensor, p: float) -> Tensor:
    """Keep the ids whose surprise is nearest to the entropy, the fewest whose probability reaches p.

    Source: Meister et al. 2023, arXiv:2202.00666.
    """
    if p >= 1.0:
        return logits
    surprise = -logits.log_softmax(-1)
    probabilities = (-surprise).exp()
    entropy = (probabilities * surprise).nansum()
    order = torch.sort((surprise - entropy).abs(), stable=True).indices
    reached = probabilities[order].cumsum(-1)
    beyond = order[reached - probabilities[order] >= p]
    return logits.index_fill(0, beyond, NEVER)


class Chooser:
    """Chooses the ids of one reply, one after the other.

    Penalties and bans look at the reply only: over the whole context they would also
    make <|end|> and the words the user asked about less likely.
    """

    def __init__(
        self,
        options: SamplingOptions,
        generator: torch.Generator,
        biases: Mapping[tuple[int, ...], float] | None = None,
        banned: Callable[[list[int]], list[int]] | None = None,
        begun: Sequence[int] = (),
    ) -> None:
        self.options, self.generator, self.biases, self.banned = options, generator, biases or {}, banned
        self.reply = list(begun)

    def after(self, logits: Tensor, reply: list[int]) -> Tensor:
        """Return the logits (V,) that may follow a reply: biased, penalised, without what is banned."""
        options = self.options
        logits = add_biases(logits, reply, self.biases)
        if self.banned and (banned := self.banned(reply)):
            logits = logits.index_fill(0, torch.tensor(banned), NEVER)
        if not reply:
            return logits
        said = torch.tensor(reply)
        logits = penalise_repetition(logits, said, options.repetition_penalty)
        logits = penalise_counts(logits, said, options.frequency_penalty, options.presence_penalty)
        return ban_repeats(logits, said, options.no_repeat_ngram)

    def scores(self, logits: Tensor) -> Tensor:
        """Return the logits (V,) that the next id is drawn from: filtered, and divided by the temperature."""
        options = self.options
        logits = self.after(logits.float().cpu(), self.reply)
        if options.temperature == 0:
            return logits
        logits = keep_top_k(logits / options.temperature, options.top_k)
        return keep_typical(keep_min_p(keep_top_p(logits, options.top_p), options.min_p), options.typical_p)

    def choose(self, logits: Tensor) -> int:
        """Choose the next id by the logits (V,) after the reply so far."""
        scores = self.scores(logits)
        if self.options.temperature == 0:
            id_ = int(scores.argmax())
        else:
            id_ = int(torch.multinomial(scores.softmax(-1), 1, generator=self.generator))
        self.reply.append(id_)
        return id_
