from __future__ import annotations

from pathlib import Path

import pytest

from mychat.chat.session import ChatSession
from mychat.chat.transcript import FORMS, load_messages, render
from mychat.config import SamplingOptions
from mychat.errors import MychatError
from tests.chat.test_session import Echo, talk


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    session = ChatSession(Echo(), SamplingOptions(), system="Be kind.")
    talk(session.send("hi"))
    talk(session.send("two\nlines"))
    for suffix in (".json", ".jsonl"):
        path = tmp_path / f"talk{suffix}"
        path.write_text(render(session, "Echo", suffix), "utf-8")
        other = ChatSession(Echo(), SamplingOptions(), system="Something else.")
        other.take_over(load_messages(path))
        assert other.messages == session.messages
        assert other.system == "Be kind."
    assert "**Echo:** 1: hi" in render(session, "Echo", ".md")
    assert set(FORMS) == {".md", ".json", ".jsonl"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{}",
        '{"messages": 3}',
        '{"messages": [{"role": "tool", "content": "x"}]}',
        '{"messages": []}',
        "{",
    ],
)
def test_what_is_no_conversation_leaves_the_old_one(tmp_path: Path, text: str) -> None:
    for suffix in (".json", ".jsonl"):
        path = tmp_path / f"talk{suffix}"
        path.write_text(text)
        with pytest.raises(MychatError):
            load_messages(path)
    with pytest.raises(MychatError):
        load_messages(tmp_path / "none.json")


def test_half_a_character_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text('{"messages": [{"role": "user", "content": "a\\ud83d"}, {"role": "assistant", "content": "b"}]}')
    session = ChatSession(Echo(), SamplingOptions())
    session.take_over(load_messages(path))
    assert [message.content for message in session.messages] == ["a?", "b"]
