"""An engine that loads and reads behind the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest

from mychat.chat.waiting import WaitingEngine
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import CheckpointError
from mychat.events import ReplyEvent
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint

HI = [Message("user", "hi")]


class SlowReader(Engine):
    """Reads when it is let, and says in which order things happened."""

    def __init__(self, path: Path) -> None:
        super().__init__(load_checkpoint(path))
        self.let, self.happened = Event(), list[str]()

    def read(self, messages: Sequence[Message]) -> None:
        assert self.let.wait(60)
        super().read(messages)
        self.happened.append("read")

    def reply(self, *arguments: object, **more: object) -> Iterator[ReplyEvent]:
        self.happened.append("reply")
        return super().reply(*arguments, **more)  # type: ignore[arg-type]


def test_a_reply_waits_until_what_it_needs_is_read(tiny: Path) -> None:
    engine = SlowReader(tiny)
    waiting = WaitingEngine(lambda: engine)
    waiting.read_ahead(lambda: HI)
    assert not waiting.ready
    waiting.start()
    waiting.wait()
    assert waiting.count_tokens(HI) == engine.count_tokens(HI)  # does not wait for the reading
    asking = Thread(target=lambda: list(waiting.reply(HI, SamplingOptions(temperature=0))))
    asking.start()
    asking.join(0.2)
    assert engine.happened == []
    engine.let.set()
    asking.join(60)
    assert engine.happened == ["read", "reply"]


def test_nothing_is_read_for_a_conversation_that_went_elsewhere(tiny: Path) -> None:
    engine = SlowReader(tiny)
    waiting = WaitingEngine(lambda: engine)
    waiting.read_ahead(lambda: None)
    list(waiting.reply(HI, SamplingOptions(temperature=0)))
    assert engine.happened == ["reply"]


def test_what_loading_raised_is_raised_by_every_call() -> None:
    def load() -> Engine:
        raise CheckpointError("gone")

    waiting = WaitingEngine(load)
    waiting.start()
    for call in (waiting.wait, lambda: waiting.encode("a"), lambda: waiting.reply(HI, SamplingOptions())):
        with pytest.raises(CheckpointError, match="gone"):
            call()
    assert waiting.ready
    assert waiting.failed
