"""The chat as a person sees it: a real terminal, a real model."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mychat.terminal.reply_stream import ReplyStream
from mychat.terminal.sanitise import sanitise
from tests.terminal.screen import Screen


def open_chat(checkpoint: Path, *arguments: str) -> Screen:
    return Screen("chat", checkpoint, "--temperature", "0", *arguments)


@pytest.fixture
def chat(tiny: Path) -> Iterator[Screen]:
    screen = open_chat(tiny)
    yield screen
    screen.child.close(force=True)


def test_a_conversation_on_a_real_screen(chat: Screen, tmp_path: Path) -> None:
    chat.until("you:")
    assert chat.lines()[0] == "Pip: Hello from Pip."
    chat.type("hi\r")
    chat.until("I am Pip.")
    chat.until("you:", 2)
    chat.type("/set temperatur 1\r")
    chat.until("did you mean 'temperature'?")
    chat.until("you:", 3)
    chat.type("/set top_p 0.5\r")
    chat.until("top_p = 0.5")
    chat.until("you:", 4)
    chat.type("/system Be very kind.\r")
    chat.until("system text: Be very kind.")
    chat.until("you:", 5)
    chat.type("/new\r")
    chat.until("new conversation")
    chat.until("you:", 6)
    chat.type("/quit\r")
    assert chat.rest() == 0
    shown = chat.lines()
    assert shown[2:4] == ["you: hi", shown[3]]
    assert shown[3] in ("Pip: Hello! I am Pip.", "Pip: Hi. I am Pip.")
    history = tmp_path / "state" / "mychat" / "history"
    assert "+hi" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_a_full_window_says_so_and_ctrl_d_leaves(chat: Screen) -> None:
    for turn in range(1, 6):
        chat.until("you:", turn)
        chat.type("hello you\r")
    chat.until("the context window is full")
    chat.until("you:", 6)
    chat.type("word " * 70 + "\r")
    chat.until("shorten it by about")
    chat.type("\x04")
    assert chat.rest() == 0


def test_ctrl_c_stops_a_reply_and_twice_leaves(tiny: Path) -> None:
    chat = open_chat(tiny, "--max-new-tokens", "40", "--temperature", "50")
    chat.until("you:")
    chat.type("hi\r")
    chat.until("Pip: ", 2)
    chat.child.sendintr()  # the reply is short: it may be over by now
    chat.until("you:", 2)
    chat.type("nonsense\x03/hel\t")  # with something typed, Ctrl-C clears the line
    chat.until("you: /help")
    chat.type("\r")
    chat.until("/quit")
    chat.type("\x03\x03")
    assert chat.rest() == 0
    assert "Traceback" not in "\n".join(chat.lines())


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_no_control_character_reaches_the_terminal(data: bytes, cuts: list[int]) -> None:
    text = data.decode("utf-8", "replace") + "\x1b[2J\x9b31m\u202e"
    console = Console(width=40, force_terminal=False, record=True, soft_wrap=True, file=open("/dev/null", "w"))
    stream = ReplyStream(console)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    for start, end in itertools.pairwise(places):
        stream.push(text[start:end])
    stream.finish()
    shown = console.export_text()
    console.file.close()
    assert not any((ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160 for char in shown)
    assert "\u202e" not in shown


@given(
    st.lists(st.sampled_from(["word", "a", " ", "\n", "你好", "longer-word", ", "]), max_size=60), st.integers(16, 50)
)
def test_replies_wrap_between_words_and_lose_nothing(pieces: list[str], width: int) -> None:
    with open("/dev/null", "w") as sink:
        console = Console(width=width, record=True, soft_wrap=True, file=sink)
        stream = ReplyStream(console, indent=4)
        for piece in pieces:
            stream.push(piece)
        stream.finish()
        shown = console.export_text()
    assert "".join(shown.split()) == "".join("".join(pieces).split())
    fits = all(cell_len(word) + 4 <= width for word in "".join(pieces).split())
    if fits:
        assert all(cell_len(line.rstrip()) <= width for line in shown.split("\n")[1:])


def test_controls_are_shown_not_obeyed() -> None:
    assert sanitise("a\x1b[31mb\x07\x7f\x9b\u202ec\n\td") == "a␛[31mb␇␡\ufffd\ufffdc\n\td"
