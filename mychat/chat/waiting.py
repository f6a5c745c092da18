"""An engine that loads while the person reads and types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread

from mychat.chat.session import ChatEngine
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyEvent


class WaitingEngine:
    """Stands for an engine from the start; what is asked of it waits until it is there.

    Every call raises what loading raised.
    """

    def __init__(self, load: Callable[[], ChatEngine]) -> None:
        self._engine: Future[ChatEngine] = Future()
        self._load = load
        Thread(target=self._run, name="engine").start()

    def _run(self) -> None:
        try:
            self._engine.set_result(self._load())
        except BaseException as error:
            self._engine.set_exception(error)

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

    def reply(
        self, messages: Sequence[Message], options: SamplingOptions, begun: Sequence[int] = ()
    ) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end."""
        return self._engine.result().reply(messages, options, begun)
