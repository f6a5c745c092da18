"""Conversations on disk: what is there after a kill, a cut line, somebody else's file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.chat.session import Answerer, ChatSession, restore
from mychat.chat.store import SessionFile, find_session, list_sessions, new_session, sessions_folder
from mychat.config import SamplingOptions
from mychat.errors import SessionError
from tests.chat.test_session import Echo, talk

steps = st.lists(
    st.sampled_from(["send", "retry", "undo", "say", "edit", "fork", "switch", "pin", "cut", "proceed"]), max_size=14
)


def act(session: ChatSession, step: str, number: int) -> None:
    if step == "send":
        talk(session.send(f"message {number}"))
    elif step == "retry":
        talk(session.retry())
    elif step == "undo":
        session.undo()
    elif step == "say":
        session.say(f"said {number}")
    elif step == "edit":
        talk(session.edit(1, f"edited {number}"))
    elif step == "fork":
        session.fork(f"branch{number}")
    elif step == "switch":
        session.switch("main")
    elif step == "pin":
        session.pin(1, on=number % 2 == 0)
    elif step == "proceed":
        talk(session.proceed())
    else:
        events = session.send(f"cut {number}")
        next(events)
        events.close()


@settings(max_examples=60, deadline=None)
@given(steps, st.data())
def test_a_file_brings_the_whole_conversation_back_up_to_any_byte(
    tmp_path_factory: pytest.TempPathFactory, taken: list[str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("sessions") / "one.jsonl"
    session = ChatSession(Echo(), SamplingOptions(), file=SessionFile(path, {"checkpoint": "echo"}))
    for number, step in enumerate(taken):
        try:
            act(session, step, number)
        except SessionError:
            continue
    if not path.exists():
        assert session.tree.nodes == []
        return
    again = ChatSession(Echo(), SamplingOptions())
    restore(again, SessionFile(path).read()[1])
    for name in ("nodes", "head", "pinned", "branches", "branch"):
        assert getattr(again.tree, name) == getattr(session.tree, name)
    assert session.file is not None
    session.file.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: data.draw(st.integers(first, len(whole)))])
    part = ChatSession(Echo(), SamplingOptions())
    restore(part, SessionFile(path).read()[1])
    assert part.tree.nodes == session.tree.nodes[: len(part.tree.nodes)]
    part.file = SessionFile(path)
    talk(part.send("and on"))
    restore(more := ChatSession(Echo(), SamplingOptions()), SessionFile(path).read()[1])
    assert more.messages == part.messages


def begun(name: str = "milo") -> ChatSession:
    session = ChatSession(Echo(), SamplingOptions(), by=Answerer(name, name))
    session.file = new_session(name, session.about())
    return session


def test_files_are_their_owners_and_nothing_is_written_before_something_is_said() -> None:
    session = begun("mi lo/x")
    first = session.file
    assert first is not None
    assert first.name.startswith("mi-lo-x-")
    assert not sessions_folder().exists()
    talk(session.send("hi"))
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    session.new()
    talk(session.send("again"))
    assert {(one.first, one.turns) for one in list_sessions()} == {("hi", 1), ("again", 1)}
    assert find_session(first.name).path == first.path
    for wrong in (first.name[:-1] + "9", "x" * 400):
        with pytest.raises(SessionError, match="no such conversation"):
            find_session(wrong)


def test_two_chats_do_not_write_into_one_file() -> None:
    one, other = begun(), begun()
    talk(one.send("hi"))
    talk(other.send("hello"))
    talk(one.send("and on"))
    assert sorted(kept.turns for kept in list_sessions()) == [1, 2]
    assert one.file is not None
    again = ChatSession(Echo(), SamplingOptions(), file=SessionFile(one.file.path))
    restore(again, SessionFile(one.file.path).read()[1])
    with pytest.raises(SessionError, match="open in another chat"):
        talk(again.send("me too"))


def test_reading_changes_nothing_and_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    session = ChatSession(Echo(), SamplingOptions(), file=SessionFile(path, {"checkpoint": "echo"}))
    talk(session.send("hi"))
    assert session.file is not None
    session.file.close()
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    before = path.read_bytes()
    _, records = SessionFile(path).read()
    assert len(records) == 2
    assert path.read_bytes() == before
    again = ChatSession(Echo(), SamplingOptions(), file=SessionFile(path))
    restore(again, records)
    talk(again.send("more"))
    assert len(SessionFile(path).read()[1]) == 4


def test_what_a_full_disk_refused_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.jsonl"
    session = ChatSession(Echo(), SamplingOptions(), file=SessionFile(path, {"checkpoint": "echo"}))
    talk(session.send("hi"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(SessionError, match="No space left"):
            talk(session.send("lost?"))
    talk(session.retry())
    again = ChatSession(Echo(), SamplingOptions())
    restore(again, SessionFile(path).read()[1])
    assert again.messages == session.messages
    assert again.tree.nodes == session.tree.nodes


def test_what_is_no_conversation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    for text in ("", "{}\n", "[1]\n", "not json\n", '{"mychat_session": 99}\n', '{"mychat_session": 1}\n7\n'):
        path.write_text(text)
        with pytest.raises(SessionError):
            SessionFile(path).read()
    for record in ('{"node": 5, "parent": 0, "role": "user", "text": "x"}', '{"node": 1}', '{"head": "x"}'):
        path.write_text(f'{{"mychat_session": 1}}\n{record}\n')
        with pytest.raises(SessionError):
            restore(ChatSession(Echo(), SamplingOptions()), SessionFile(path).read()[1])
