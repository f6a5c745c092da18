"""An engine that loads while the person reads and types."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import Protocol

from mychat.chat.session import ChatEngine
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyEvent, TokenScore


class ReadingEngine(ChatEngine, Protocol):
    """An engine that can read in advance."""

    def read(self, messages: Sequence[Message]) -> None:
        """Read messages, so that a reply after them need not."""
        ...


class WaitingEngine:
    """Stands for an engine from the beginning; what is asked of it waits until it is there.

    It loads from `start` on, or from the first thing asked of it. Every call raises what loading raised.
    """

    def __init__(self, load: Callable[[], ReadingEngine]) -> None:
        self._engine: Future[ChatEngine] = Future()
        self._load = load
        self._ahead: Callable[[], Sequence[Message] | None] = lambda: None
        self._started, self._idle = Lock(), Event()

    def read_ahead(self, messages: Callable[[], Sequence[Message] | None]) -> None:
        """Let it read what a reply will need, if anything, as soon as it is there; a reply waits until it has."""
        self._ahead = messages

    def start(self) -> None:
        """Load, beside what else happens; only the first call does."""
        if self._started.acquire(blocking=False):
            Thread(target=self._run, name="engine").start()

    def _run(self) -> None:
        try:
            engine = self._load()
            self._engine.set_result(engine)
            with contextlib.suppress(Exception):  # whoever asks for a reply is told
                if (messages := self._ahead()) is not None:
                    engine.read(messages)
        except BaseException as error:
            self._engine.set_exception(error)
        finally:
            self._idle.set()

    def _loaded(self) -> ChatEngine:
        self.start()
        return self._engine.result()

    def _at_rest(self) -> ChatEngine:
        engine = self._loaded()
        self._idle.wait()
        return engine

    @property
    def ready(self) -> bool:
        """Whether loading is over."""
        return self._engine.done()

    @property
    def failed(self) -> bool:
        """Whether it could not be loaded."""
        return self.ready and self._engine.exception() is not None

    @property
    def context_length(self) -> int:
        """Tokens that fit, prompt and reply together."""
        return self._loaded().context_length

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of the rendered prompt."""
        return self._loaded().count_tokens(messages)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return self._loaded().encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return self._loaded().decode(ids)

    def wait(self) -> None:
        """Wait until it is there. Raises: what loading raised."""
        self._loaded()

    def score(
        self, messages: Sequence[Message], reply: Sequence[int], alternatives: int
    ) -> tuple[list[list[TokenScore]], list[TokenScore]]:
        """Score the tokens of each message, and those of a reply after them."""
        return self._at_rest().score(messages, reply, alternatives)

    def reply(
        self, messages: Sequence[Message], options: SamplingOptions, begun: Sequence[int] = ()
    ) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end."""
        return self._at_rest().reply(messages, options, begun)
