"""Conversations on disk: what is there after a kill, a cut line, somebody else's file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.chat.session import ChatSession, restore
from mychat.chat.store import SessionFile, find_session, list_sessions, new_session, sessions_folder
from mychat.config import SamplingOptions
from mychat.errors import MychatError, SessionError
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


def test_files_are_their_owners_and_nothing_is_written_before_something_is_said() -> None:
    file = new_session("mi lo/x", {"checkpoint": "milo"})
    assert file.name.startswith("mi-lo-x-")
    assert not sessions_folder().exists()
    session = ChatSession(Echo(), SamplingOptions(), file=file)
    talk(session.send("hi"))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    session.new()
    talk(session.send("again"))
    kept = list_sessions()
    assert [(one.first, one.turns, one.checkpoint) for one in sorted(kept, key=lambda one: one.name)] == [
        ("hi", 1, "milo"),
        ("again", 1, "milo"),
    ]
    assert find_session(file.name).path == file.path
    with pytest.raises(SessionError, match="did you mean"):
        find_session(file.name[:-1] + "9")


def test_what_is_no_conversation_is_refused(tmp_path: Path) -> None:
    for text in ("", "{}\n", "[1]\n", "not json\n", '{"mychat_session": 99}\n'):
        path = tmp_path / "wrong.jsonl"
        path.write_text(text)
        with pytest.raises(MychatError):
            SessionFile(path).read()
    path.write_text('{"mychat_session": 1}\n{"node": 5, "parent": 0, "role": "user", "text": "x"}\n')
    with pytest.raises(SessionError, match="does not follow"):
        restore(ChatSession(Echo(), SamplingOptions()), SessionFile(path).read()[1])
