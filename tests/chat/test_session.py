from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mychat.chat.context import fit_messages
from mychat.chat.session import ChatSession, TurnsDropped
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import ContextError
from mychat.events import ReplyDelta, ReplyEnd
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint


def count_words(messages: Sequence[Message]) -> int:
    return sum(1 + len(message.content.split()) for message in messages)


def conversation(sizes: list[int], system: bool) -> list[Message]:
    messages = [Message("system", "be kind")] if system else []
    for size in sizes[:-1]:
        messages += [Message("user", "word " * size), Message("assistant", "word " * size)]
    return [*messages, Message("user", "word " * sizes[-1])]


@given(st.lists(st.integers(0, 10), min_size=1, max_size=12), st.booleans(), st.integers(5, 60))
def test_the_newest_whole_turns_stay(sizes: list[int], system: bool, limit: int) -> None:
    messages = conversation(sizes, system)
    try:
        window = fit_messages(messages, count_words, limit)
    except ContextError:
        assert count_words([*messages[:system], messages[-1]]) > limit
        return
    assert window.tokens == count_words(window.messages) <= limit
    assert window.messages[:system] == tuple(messages[:system])
    kept = window.messages[system:]
    assert kept == tuple(messages[len(messages) - len(kept) :])
    assert kept[0].role == "user"
    assert window.dropped_turns == len(sizes) - (len(kept) + 1) // 2
    if window.dropped_turns:  # one turn more would not have fit
        more = messages[len(messages) - len(kept) - 2 :]
        assert count_words([*messages[:system], *more]) > limit


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine(load_checkpoint(tiny))


def test_a_long_conversation_drops_old_turns_and_says_so(engine: Engine) -> None:
    session = ChatSession(engine, SamplingOptions(temperature=0, max_new_tokens=8), system="Be kind.")
    dropped = []
    for _ in range(12):
        events = list(session.send("hello you"))
        dropped += [event for event in events if isinstance(event, TurnsDropped)]
        end = events[-1]
        assert isinstance(end, ReplyEnd)
        assert end.prompt_tokens + 8 <= engine.context_length
    assert dropped
    assert dropped[-1].in_all == sum(event.turns for event in dropped) == session.dropped
    assert len(session.messages) == 24  # the conversation itself is whole
    session.new()
    assert (session.messages, session.dropped) == ([], 0)


def test_a_message_too_long_is_refused_and_not_kept(engine: Engine) -> None:
    session = ChatSession(engine, SamplingOptions(temperature=0))
    with pytest.raises(ContextError, match="shorten it"):
        list(session.send("word " * 100))
    assert session.messages == []
    list(session.send("hi"))
    assert len(session.messages) == 2


def test_what_was_said_before_a_stop_is_kept() -> None:
    class Talker:
        context_length = 100

        def count_tokens(self, messages: Sequence[Message]) -> int:
            return count_words(messages)

        def reply(self, messages: Sequence[Message], options: SamplingOptions) -> Iterator[ReplyDelta | ReplyEnd]:
            for word in ("one ", "two ", "three "):
                yield ReplyDelta(word)

    session = ChatSession(Talker(), SamplingOptions())
    events = session.send("count\u2019s")
    next(events)
    next(events)
    events.close()
    assert [message.content for message in session.messages] == ["count's", "one two"]
