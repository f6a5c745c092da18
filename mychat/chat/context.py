"""The context window: which messages fit, and which turns had to go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mychat.corpus.messages import Message
from mychat.errors import ContextError

CountTokens = Callable[[Sequence[Message]], int]


@dataclass(frozen=True, slots=True)
class Window:
    """Messages that fit, and how many whole turns were left out before them."""

    messages: tuple[Message, ...]
    dropped_turns: int
    tokens: int


def fit_messages(messages: Sequence[Message], count_tokens: CountTokens, limit: int) -> Window:
    """Keep the system text and as many of the newest whole turns as fit into `limit` tokens.

    Raises: ContextError when the newest turn alone does not fit.
    """
    system = [message for message in messages[:1] if message.role == "system"]
    turns = _turns(messages[len(system) :])
    for dropped in range(len(turns)):
        kept = (*system, *(message for turn in turns[dropped:] for message in turn))
        tokens = count_tokens(kept)
        if tokens <= limit:
            return Window(kept, dropped, tokens)
    raise ContextError(f"your message needs {tokens} tokens, {limit} fit; shorten it by about {tokens - limit} tokens")


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns
