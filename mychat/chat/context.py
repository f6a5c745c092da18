"""The context window: which turns fit, and which had to go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mychat.chat.tree import Turn
from mychat.corpus.messages import Message
from mychat.errors import ContextError

CountTokens = Callable[[Sequence[Message]], int]
"""Tokens of a rendered prompt. It adds up: a message takes as many wherever it stands."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A turn, how many tokens it takes, and whether it is in the window."""

    turn: Turn
    tokens: int
    inside: bool


@dataclass(frozen=True, slots=True)
class Window:
    """What the engine reads: the system text and the turns that fit."""

    system: Message | None
    places: tuple[Placed, ...]
    tokens: int
    """Of the prompt, markers included."""
    limit: int

    @property
    def messages(self) -> list[Message]:
        """The prompt's messages."""
        said = [message for place in self.places if place.inside for message in place.turn.messages()]
        return [self.system, *said] if self.system else said

    @property
    def dropped(self) -> int:
        """Turns that are outside."""
        return sum(not place.inside for place in self.places)


def fit_turns(
    system: Message | None, turns: Sequence[Turn], count_tokens: CountTokens, limit: int, *, newest_stays: bool = True
) -> Window:
    """Keep the system text, pinned turns and the newest others, whole, in at most `limit` tokens.

    Raises: ContextError when what must stay does not fit: the newest turn, the pinned ones and the system text.
    """
    markers = count_tokens([])
    sizes = [count_tokens(turn.messages()) - markers for turn in turns]
    fixed = count_tokens([system]) if system else markers
    last = len(turns) - 1
    stays = [(newest_stays and at == last) or turn.pinned for at, turn in enumerate(turns)]
    tokens = fixed + sum(size for size, stay in zip(sizes, stays, strict=True) if stay)
    if tokens > limit and not (turns and newest_stays):
        raise ContextError(f"the system text and pinned turns need {tokens} tokens, {limit} fit; /unpin or shorten it")
    if tokens > limit:
        pinned = tokens - fixed - sizes[last]
        beside = f" beside {pinned} of pinned turns (/unpin frees them)" if pinned else ""
        raise ContextError(
            f"your message needs {tokens - pinned} tokens{beside}, {limit} fit; "
            f"shorten it by about {tokens - limit} tokens"
        )
    for at in range(last, -1, -1):
        if not stays[at]:
            if tokens + sizes[at] > limit:
                break  # what is older than a turn that is out is out as well
            stays[at] = True
            tokens += sizes[at]
    places = (Placed(turn, size, stay) for turn, size, stay in zip(turns, sizes, stays, strict=True))
    return Window(system, tuple(places), tokens, limit)
