"""An engine that loads while the person reads and types."""

from __future__ import annotations

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
        Thread(target=self._run, name="engine").start()

    def _run(self) -> None:
        try:
            self._engine.set_result(self._load())
        except BaseException as error:
            self._engine.set_exception(error)

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
        return self._engine.result().score(messages, reply, alternatives)

    def reply(
        self, messages: Sequence[Message], options: SamplingOptions, begun: Sequence[int] = ()
    ) -> Iterator[ReplyEvent]:
        """Yield the reply as it grows, then its end."""
        return self._engine.result().reply(messages, options, begun)
