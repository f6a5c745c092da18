"""A conversation going on. It is handed an engine; it draws nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mychat.chat.context import fit_messages
from mychat.config import SamplingOptions
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.messages import Message
from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent

REPLY_ROOM_SHARE = 0.25
"""Of the context window, at most, kept free for the reply."""


class ChatEngine(Protocol):
    """What a session asks of an engine."""

    @property
    def context_length(self) -> int:
        """Tokens that fit, prompt and reply together."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of the rendered prompt."""
        ...

    def reply(self, messages: Sequence[Message], options: SamplingOptions) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end."""
        ...


@dataclass(frozen=True, slots=True)
class TurnsDropped:
    """The window was full: this many turns more than before were left out."""

    turns: int
    in_all: int


class ChatSession:
    """Messages, options and the engine that answers."""

    def __init__(self, engine: ChatEngine, options: SamplingOptions, system: str | None = None) -> None:
        self.engine, self.options = engine, options
        self.messages: list[Message] = []
        self.system = system
        self.dropped = 0

    def new(self) -> None:
        """Forget the conversation; the system text stays."""
        self.messages, self.dropped = [], 0

    def send(self, text: str) -> Generator[ReplyEvent | TurnsDropped, None, None]:
        """Say something; yield what was dropped, the reply as it grows, and its end.

        What was said is kept also when the caller stops listening in the middle.
        Raises: ContextError when the message alone does not fit; it is then not part of the conversation.
        """
        message = Message("user", clean_argument(text).strip())
        system = [Message("system", clean_argument(self.system))] if self.system else []
        room = min(self.options.max_new_tokens, int(REPLY_ROOM_SHARE * self.engine.context_length))
        limit = self.engine.context_length - max(1, room)
        window = fit_messages([*system, *self.messages, message], self.engine.count_tokens, limit)
        said: list[str] = []
        try:
            if window.dropped_turns > self.dropped:
                yield TurnsDropped(window.dropped_turns - self.dropped, window.dropped_turns)
                self.dropped = window.dropped_turns
            for event in self.engine.reply(window.messages, self.options):
                if isinstance(event, ReplyDelta):
                    said.append(event.text)
                elif isinstance(event, ReplyEnd):
                    said = [event.text]
                yield event
        finally:
            self.messages += [message, Message("assistant", "".join(said).strip())]
