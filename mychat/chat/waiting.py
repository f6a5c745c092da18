"""An engine that loads while the person reads and types."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread

from mychat.chat.session import ChatEngine
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyEvent, TokenScore


class WaitingEngine:
    """Stands for an engine from the start; what is asked of it waits until it is there.

    Every call raises what loading raised.
    """

    def __init__(self, load: Callable[[], ChatEngine]) -> None:
        self._engine: Future[ChatEngine] = Future()
        self._load = load
        self._reading: Thread | None = None
        Thread(target=self._run, name="engine").start()

    def _run(self) -> None:
        try:
            self._engine.set_result(self._load())
        except BaseException as error:
            self._engine.set_exception(error)

    def read_ahead(self, messages: Callable[[], Sequence[Message]]) -> None:
        """Let it read what a reply will need, as soon as it is there; a reply waits until it has."""
        self._reading = Thread(target=self._read, args=(messages,), name="reading")
        self._reading.start()

    def _read(self, messages: Callable[[], Sequence[Message]]) -> None:
        with contextlib.suppress(Exception):  # whoever asks for a reply is told
            self._engine.result().read(messages())

    def _idle(self) -> ChatEngine:
        if self._reading:
            self._reading.join()
        return self._engine.result()

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
        return self._engine.result().context_length

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count the tokens of the rendered prompt."""
        return self._engine.result().count_tokens(messages)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return self._engine.result().encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return self._engine.result().decode(ids)

    def wait(self) -> None:
        """Wait until it is there. Raises: what loading raised."""
        self._engine.result()

    def score(
        self, messages: Sequence[Message], reply: Sequence[int], alternatives: int
    ) -> tuple[list[list[TokenScore]], list[TokenScore]]:
        """Score the tokens of each message, and those of a reply after them."""
        return self._idle().score(messages, reply, alternatives)

    def read(self, messages: Sequence[Message]) -> None:
        """Read messages, so that a reply after them need not."""
        self._idle().read(messages)

    def reply(
        self, messages: Sequence[Message], options: SamplingOptions, begun: Sequence[int] = ()
    ) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end."""
        return self._idle().reply(messages, options, begun)
