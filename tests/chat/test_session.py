from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mychat.chat.context import fit_turns
from mychat.chat.session import Answer, Answerer, ChatSession, TurnsDropped
from mychat.chat.tree import Node, Turn
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import ContextError, SessionError
from mychat.events import ReplyDelta, ReplyEnd, ReplyEvent
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint

GREEDY = SamplingOptions(temperature=0, max_new_tokens=8)


def count_words(messages: Sequence[Message]) -> int:
    return 2 + sum(1 + len(message.content.split()) for message in messages)


class Echo:
    """An engine that says the last message back, and counts its replies."""

    context_length = 200

    def __init__(self) -> None:
        self.replies = 0
        self.asked: list[Message] = []

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return count_words(messages)

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()

    def score(self, messages: Sequence[Message], reply: Sequence[int], alternatives: int) -> Any:
        self.scored = list(messages), list(reply)
        return [], []

    def reply(
        self, messages: Sequence[Message], options: SamplingOptions, begun: Sequence[int] = ()
    ) -> Iterator[ReplyEvent]:
        self.replies += 1
        self.asked = list(messages)
        words = [*f"{self.replies}: {messages[-1].content}".split()]
        for word in words:
            yield ReplyDelta(f" {word}")
        text = bytes(begun).decode() + "".join(f" {word}" for word in words)
        yield ReplyEnd(text, tuple(text.encode()), "stop", 0, 1, 0.0)


def talk(answer: Answer) -> ReplyEnd:
    *_, end = answer
    assert isinstance(end, ReplyEnd)
    return end


def contents(session: ChatSession) -> list[str]:
    return [message.content for message in session.messages]


def turns_of(sizes: Sequence[int], pinned: Sequence[bool]) -> list[Turn]:
    turns = []
    for number, (size, pin) in enumerate(zip(sizes, pinned, strict=True)):
        nodes = (Node(2 * number + 1, 0, "user", "word " * size), Node(2 * number + 2, 0, "assistant", "word " * size))
        turns.append(Turn(nodes if number < len(sizes) - 1 else nodes[:1], pin))
    return turns


@given(
    st.lists(st.tuples(st.integers(0, 10), st.booleans()), min_size=1, max_size=12), st.booleans(), st.integers(5, 80)
)
def test_pinned_and_the_newest_whole_turns_stay(drawn: list[tuple[int, bool]], system: bool, limit: int) -> None:
    turns = turns_of([size for size, _ in drawn], [pin for _, pin in drawn])
    before = Message("system", "be kind") if system else None
    must = [
        message for turn in [*[turn for turn in turns[:-1] if turn.pinned], turns[-1]] for message in turn.messages()
    ]
    least = count_words([before, *must] if before else must)
    try:
        window = fit_turns(before, turns, count_words, limit)
    except ContextError:
        assert least > limit
        return
    assert window.tokens == count_words(window.messages) <= limit
    assert all(place.inside for place in window.places if place.turn.pinned)
    assert window.places[-1].inside
    loose = [place.inside for place in window.places if not place.turn.pinned]
    assert loose == sorted(loose)  # what is out is older than what is in
    if window.dropped:  # one turn more would not have fit
        newest_out = max(at for at, place in enumerate(window.places) if not place.inside)
        assert window.tokens + window.places[newest_out].tokens > limit


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine(load_checkpoint(tiny))


def test_a_long_conversation_drops_old_turns_and_says_so(engine: Engine) -> None:
    session = ChatSession(engine, GREEDY, system="Be kind.")
    dropped = []
    for _ in range(12):
        events = list(session.send("hello you"))
        dropped += [event for event in events if isinstance(event, TurnsDropped)]
        end = events[-1]
        assert isinstance(end, ReplyEnd)
        assert end.prompt_tokens + 8 <= engine.context_length
        assert end.prompt_tokens == session.window().tokens or session.tree.path()[-1].role == "assistant"
    assert dropped
    assert dropped[-1].in_all == sum(event.turns for event in dropped) == session.dropped
    assert len(session.messages) == 24  # the conversation itself is whole
    session.new()
    assert (session.messages, session.dropped) == ([], 0)


def test_a_pinned_turn_stays_in_the_window() -> None:
    echo = Echo()
    session = ChatSession(echo, GREEDY)
    talk(session.send("my name is Ana"))
    session.pin(1)
    for _ in range(30):
        talk(session.send("word " * 6))
    assert echo.asked[0].content == "my name is Ana"
    assert session.window().dropped > 0
    session.pin(1, on=False)
    talk(session.send("well"))
    assert echo.asked[0].content != "my name is Ana"
    with pytest.raises(SessionError, match="no turn 99"):
        session.pin(99)


def test_a_message_too_long_is_refused_and_not_kept(engine: Engine) -> None:
    session = ChatSession(engine, SamplingOptions(temperature=0))
    with pytest.raises(ContextError, match="shorten it"):
        list(session.send("word " * 100))
    assert session.messages == []
    list(session.send("hi"))
    assert len(session.messages) == 2


def test_what_was_said_before_a_stop_is_kept_and_can_go_on() -> None:
    session = ChatSession(Echo(), SamplingOptions())
    events = session.send("count\u2019s two three")
    next(events)
    next(events)
    events.close()
    assert contents(session) == ["count's two three", "1: count's"]
    assert session.last_reply.cut
    end = talk(session.proceed())
    assert end.text == "1: count's 2: count's two three"
    assert contents(session)[-1] == end.text
    assert not session.last_reply.cut


def test_a_message_without_a_reply_is_answered_by_retry_or_gives_way() -> None:
    session = ChatSession(Echo(), SamplingOptions())
    session._add("user", "hi", 0)  # as a kill leaves it
    with pytest.raises(SessionError, match="/retry"):
        _ = session.last_reply
    assert talk(session.retry()).text == " 1: hi"
    session.undo()
    session._add("user", "hi", 0)
    talk(session.send("hello"))
    assert contents(session) == ["hello", "2: hello"]


def test_turns_are_a_tree() -> None:
    session = ChatSession(Echo(), SamplingOptions())
    talk(session.send("a"))
    talk(session.send("b"))
    talk(session.retry())
    assert contents(session) == ["a", "1: a", "b", "3: b"]
    assert [node.text for node in session.tree.nodes if node.parent == 3] == ["2: b", "3: b"]
    session.say("I say so")
    assert contents(session)[-1] == "I say so"
    session.fork("other")
    talk(session.edit(1, "A"))
    assert contents(session) == ["A", "4: A"]
    session.switch("main")
    assert contents(session) == ["a", "1: a", "b", "I say so"]
    assert session.undo().text == "b"
    assert contents(session) == ["a", "1: a"]
    session.switch("other")
    assert contents(session) == ["A", "4: A"]
    assert talk(session.take([65, 66])).text == "AB 5: A"
    with pytest.raises(SessionError, match="did you mean 'other'"):
        session.switch("othr")
    with pytest.raises(SessionError, match="already"):
        session.fork("main")


def test_what_cannot_be_is_refused_and_changes_nothing() -> None:
    session = ChatSession(Echo(), SamplingOptions())
    for wrong in (session.retry, session.proceed):
        with pytest.raises(SessionError):
            list(wrong())
    with pytest.raises(SessionError):
        session.undo()
    with pytest.raises(SessionError):
        session.say("x")
    with pytest.raises(SessionError):
        session.fork("")
    with pytest.raises(SessionError, match="none yet"):
        list(session.edit(1, "x"))
    assert session.tree.nodes == []


def test_a_reply_that_fails_leaves_the_message_waiting() -> None:
    echo = Echo()
    session = ChatSession(echo, SamplingOptions())
    echo.context_length = 8  # there is room for the message, and the engine says no
    session.options = SamplingOptions(max_new_tokens=1)

    def refuse(*_: object) -> Iterator[ReplyEvent]:
        raise ContextError("no room")

    echo.reply = refuse  # type: ignore[method-assign,assignment]
    with pytest.raises(ContextError):
        list(session.send("hi"))
    assert contents(session) == ["hi"]


def test_the_window_of_a_long_reply_can_be_looked_at() -> None:
    session = ChatSession(Echo(), SamplingOptions())
    talk(session.send("hi"))
    session.say("word " * 300)
    window = session.window()
    assert [place.inside for place in window.places] == [False]
    with pytest.raises(ContextError, match="beside"):
        session.pin(1)
        list(session.send("hello"))


def test_scores_are_of_what_was_read_and_ids_of_who_said_them() -> None:
    echo = Echo()
    session = ChatSession(echo, SamplingOptions(), system="Be kind.", by=Answerer("a", "a", "1"))
    talk(session.send("hi"))
    session.system = "Be cruel."
    session.scores()
    assert [message.content for message in echo.scored[0]] == ["Be kind.", "hi"]
    assert bytes(echo.scored[1]).decode() == " 1: hi"
    session.use(echo, Answerer("b", "b", "2"))
    session.scores()
    assert bytes(echo.scored[1]).decode() == "1: hi"  # another model's ids would mean other words
    assert [message.content for message in session.asked_of(echo, "I am a cat.")] == ["I am a cat.", "hi"]
