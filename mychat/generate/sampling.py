"""From logits to the next id: small pure functions, applied in the order of `Chooser.scores`.

In NumPy: over one row of logits an operation of torch costs more to call than to do.
Shapes: logits (V,) in fp32, on the CPU. What a function returns may be what it was given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mychat.config import SamplingOptions
from mychat.errors import CheckpointError

Logits = NDArray[np.float32]
NEVER = np.float32("-inf")
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def add_biases(logits: Logits, ids: Sequence[int], biases: Mapping[tuple[int, ...], float]) -> Logits:
    """Add each bias to the last id of its stretch where `ids` end with what comes before it."""
    found: dict[int, float] = {}
    for stretch, bias in biases.items():
        before = stretch[:-1]
        if not before or tuple(ids[-len(before) :]) == before:
            found[stretch[-1]] = found.get(stretch[-1], 0.0) + bias
    if not found:
        return logits
    logits = logits.copy()
    logits[list(found)] += np.array(list(found.values()), np.float32)
    return logits


def penalise_repetition(logits: Logits, ids: Sequence[int], penalty: float) -> Logits:
    """Make `ids` less likely: divide positive logits, multiply negative ones. Source: arXiv:1909.05858."""
    if penalty == 1.0 or not ids:
        return logits
    seen = list(set(ids))
    logits = logits.copy()
    scores = logits[seen]
    logits[seen] = np.where(scores > 0, scores / np.float32(penalty), scores * np.float32(penalty))
    return logits


def penalise_counts(logits: Logits, ids: Sequence[int], frequency: float, presence: float) -> Logits:
    """Take `frequency` for each time that `ids` hold an id, and `presence` once. Source: OpenAI's API reference."""
    if not ids or not (frequency or presence):
        return logits
    counts = Counter(ids)
    logits = logits.copy()
    logits[list(counts)] -= np.array([frequency * count + presence for count in counts.values()], np.float32)
    return logits


def rule_out(logits: Logits, ids: Sequence[int]) -> Logits:
    """Make `ids` impossible."""
    if not ids:
        return logits
    logits = logits.copy()
    logits[list(ids)] = NEVER
    return logits


def ban_repeats(logits: Logits, reply: Sequence[int], n: int) -> Logits:
    """Rule out every id that would make the reply's last n ids a stretch it holds already; 0 rules out none.

    Source: arXiv:1705.04304, section 2.5 (there for n = 3). A reply can then not run in circles.
    """
    if n == 0 or len(reply) < n:
        return logits
    before = reply[len(reply) - n + 1 :]
    return rule_out(logits, [reply[at + n - 1] for at in range(len(reply) - n + 1) if reply[at : at + n - 1] == before])


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Keep the k largest, and what ties with the last of them; 0 keeps all."""
    if k == 0 or k >= len(logits):
        return logits
    return np.where(logits < np.partition(logits, -k)[-k], NEVER, logits)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Keep the smallest set of most likely ids whose probability reaches p. Source: arXiv:1904.09751."""
    if p >= 1.0:
        return logits
    shares = np.exp(logits - logits.max())
    total = float(shares.sum())
    # all that are less likely than this make up less than 1 - p together
    found = np.flatnonzero(shares >= (1 - p) * total / len(logits))
    found = found[np.argsort(-shares[found], kind="stable")]
    reached = np.cumsum(shares[found], dtype=np.float64)
    return _only(logits, found[reached - shares[found] < p * total])  # what stands before it does not suffice yet


def keep_min_p(logits: Logits, min_p: float) -> Logits:
    """Keep ids at least `min_p` times as probable as the most likely. Source: arXiv:2407.01082."""
    if min_p == 0.0:
        return logits
    return np.where(logits < logits.max() + np.float32(math.log(min_p)), NEVER, logits)


def keep_typical(logits: Logits, p: float) -> Logits:
    """Keep the ids whose surprise is nearest to the entropy, the fewest whose probability reaches p.

    Source: Meister et al. 2023, arXiv:2202.00666.
    """
    if p >= 1.0:
        return logits
    found = np.flatnonzero(logits > NEVER)
    below = (logits[found] - logits.max()).astype(np.float64)
    surprise = np.log(np.exp(below).sum()) - below
    shares = np.exp(-surprise)
    order = np.argsort(np.abs(surprise - (shares * surprise).sum()), kind="stable")
    reached = shares[order].cumsum()
    return _only(logits, found[order[reached - shares[order] < p]])


def _only(logits: Logits, ids: NDArray[np.intp]) -> Logits:
    kept = np.full_like(logits, NEVER)
    kept[ids] = logits[ids]
    return kept


def _gumbel(key: int, ids: NDArray[np.intp]) -> NDArray[np.float64]:
    """Draw Gumbel noise (n,) for ids; an id's depends on the key and on nothing else.

    The greatest of logits and noise falls on an id with its probability, and rounding moves it only where two ids tie:
    an interval of a cumulative sum would move with all that stand before it. Source: Gumbel 1954; the bits are mixed
    as in SplitMix64, Steele et al. 2014.
    """
    bits = np.uint64(key) + ids.astype(np.uint64) * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


class Chooser:
    """Chooses the ids of one reply, one after the other.

    Penalties and bans look at the reply only: over the whole context they would also
    make <|end|> and the words the user asked about less likely.
    """

    def __init__(
        self,
        options: SamplingOptions,
        seed: int,
        biases: Mapping[tuple[int, ...], float] | None = None,
        banned: Callable[[list[int]], list[int]] | None = None,
        begun: Sequence[int] = (),
    ) -> None:
        self.options, self.biases, self.banned = options, biases or {}, banned
        self._draw = np.random.default_rng(seed).integers
        self.reply = list(begun)

    def after(self, logits: Logits, reply: list[int]) -> Logits:
        """Return the logits that may follow a reply: biased, penalised, without what is banned.

        Raises: CheckpointError when they are no numbers.
        """
        options = self.options
        if not math.isfinite(logits.max()):
            raise CheckpointError("the network gives no numbers: its weights are broken; train it anew")
        logits = add_biases(logits, reply, self.biases)
        if self.banned:
            logits = rule_out(logits, self.banned(reply))
        logits = penalise_repetition(logits, reply, options.repetition_penalty)
        logits = penalise_counts(logits, reply, options.frequency_penalty, options.presence_penalty)
        return ban_repeats(logits, reply, options.no_repeat_ngram)

    def scores(self, logits: Logits) -> Logits:
        """Return the logits that the next id is drawn from: filtered, and divided by the temperature."""
        options = self.options
        logits = self.after(logits, self.reply)
        if options.temperature == 0:
            return logits
        logits = keep_top_k(logits / np.float32(options.temperature), options.top_k)
        return keep_typical(keep_min_p(keep_top_p(logits, options.top_p), options.min_p), options.typical_p)

    def choose(self, logits: Logits) -> int:
        """Choose the next id by the logits after the reply so far."""
        scores = self.scores(logits)
        if self.options.temperature == 0:
            id_ = int(scores.argmax())
        else:
            found = np.flatnonzero(scores > NEVER)
            id_ = int(found[(scores[found] + _gumbel(int(self._draw(1 << 62)), found)).argmax()])
        self.reply.append(id_)
        return id_
