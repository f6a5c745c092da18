"""Guesses at how a reply goes on, which the network then verifies in one step.

Drafts come from the n-gram model of the training rows, and from what this conversation itself holds. They change
nothing but the speed: an id is drawn from the network's distribution as it always is, and a draft was right if it is
the id that was drawn. For a guess without randomness this is the accept/reject rule of speculative sampling.
Source: Leviathan et al. 2023, arXiv:2211.17192; drafting by look-up: arXiv:2304.04487.
"""

from __future__ import annotations

from collections.abc import Sequence

from mychat.model.ngram import LONGEST_CONTEXT, NGramModel

MOST_DRAFTED = 5
"""With the id before them they are as many rows as native.c multiplies at once."""
SURE = 0.5
"""A follower with this share in the training rows goes before what the conversation holds."""
LEAST_CHANCE = 0.1
"""A draft ends where it is less likely than this to be right up to there."""
CONTEXT = 3
"""Ids that must agree for the conversation to be repeated from there."""
COPY_CHANCE = 0.5
"""That what followed such ids once follows them again."""
PAYS_FROM = 0.15
"""Ids accepted a step, on average; fewer do not make up for what a step over several ids costs more."""
PATIENCE = 32
"""Steps without a draft when drafts do not pay, before they are tried again."""
MEMORY = 0.9


class Drafter:
    """Drafts the ids that come next."""

    def __init__(self, ngrams: NGramModel | None) -> None:
        self._ngrams = ngrams
        self._gain, self._waiting = 1.0, 0
        self._ids: list[int] = []
        self._follows: dict[tuple[int, ...], int] = {}

    def begin(self, ids: Sequence[int]) -> None:
        """Take the ids before a reply; where they go on from those before, only what is new."""
        if self._ids != list(ids[: len(self._ids)]):
            self._ids, self._follows = [], {}
        for id_ in ids[len(self._ids) :]:
            self.push(id_)

    def push(self, id_: int) -> None:
        """Take one more id of the reply."""
        if len(self._ids) >= CONTEXT:
            self._follows[tuple(self._ids[-CONTEXT:])] = id_
        self._ids.append(id_)

    def draft(self, most: int = MOST_DRAFTED) -> list[int]:
        """Guess what comes next, at most so many ids; often none."""
        if self._waiting:
            self._waiting -= 1
            return []
        tail, chance = self._ids[-LONGEST_CONTEXT:], 1.0
        drafted: list[int] = []
        while len(drafted) < most:
            guess = self._guess(tail)
            if guess is None or (chance := chance * guess[1]) < LEAST_CHANCE:
                break
            drafted.append(guess[0])
            tail = [*tail[-LONGEST_CONTEXT + 1 :], guess[0]]
        return drafted

    def learn(self, drafted: int, accepted: int) -> None:
        """Take note of what a step's draft was worth, so as to stop where it does not pay."""
        if drafted:
            self._gain = MEMORY * self._gain + (1 - MEMORY) * accepted
            if self._gain < PAYS_FROM:
                self._gain, self._waiting = 2 * PAYS_FROM, PATIENCE

    def _guess(self, tail: list[int]) -> tuple[int, float] | None:
        corpus = self._ngrams.best(tail) if self._ngrams else None
        if corpus and corpus[1] >= SURE:
            return corpus
        copied = self._follows.get(tuple(tail[-CONTEXT:]))
        return corpus if copied is None else (copied, COPY_CHANCE)
