"""Personas as a person begins and examines them: a real terminal."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import write_persona
from tests.terminal.screen import Screen


def test_a_persona_begins_with_a_few_questions(tmp_path: Path) -> None:
    screen = Screen("persona", "new", "luna")
    screen.until("What does it call itself? Luna")
    screen.type("\r")
    screen.until("Who is it? I am")
    screen.type("a cat\r")
    screen.until("Where does it live? I live")
    screen.type("on the moon\r")
    screen.until("What does it like? I like")
    screen.type("\r")
    assert screen.rest() == 0
    assert any("mychat train luna" in line for line in screen.lines())
    written = (tmp_path / "personas" / "luna" / "persona.toml").read_text("utf-8")
    assert '"My name is Luna."' in written
    assert '"I am a cat."' in written
    assert '"I live on the moon."' in written
    assert "I like" not in written


def test_leaving_the_questions_writes_nothing(tmp_path: Path) -> None:
    for key in ("\x03", "\x04"):
        screen = Screen("persona", "new", "luna")
        screen.until("What does it call itself?")
        screen.type("\x01\x0b" + key)  # an empty line first: Ctrl-D deletes in a full one
        assert screen.rest() == 130
        assert not (tmp_path / "personas").exists()


def test_the_doctor_names_file_and_line(tmp_path: Path) -> None:
    folder = write_persona(tmp_path / "personas" / "pip")
    chat = folder / "talk.chat"
    chat.write_text(
        chat.read_text("utf-8") + "\n== age\n> how old are you?\nVery.\n\n> how old are you?\nNot very.\n", "utf-8"
    )
    lines = chat.read_text("utf-8").splitlines()
    screen = Screen("persona", "check", "pip", columns=160)
    assert screen.rest() == 1
    shown = "\n".join(screen.lines())
    assert f"talk.chat:{lines.index('> how old are you?') + 1}: " in shown
    assert "Traceback" not in shown
    assert " problem" in screen.lines()[-1]
