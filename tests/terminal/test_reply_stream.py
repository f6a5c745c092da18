"""What a reply may do to a terminal: fill lines, and nothing else."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import os
import random
import re
import sys
from collections.abc import Callable

import pexpect
import pyte
import pytest
from rich.cells import cell_len

from mychat.terminal.console import Terminal
from mychat.terminal.reply_stream import ReplyStream

WIDTH = 40
REPLIES = 500
ATTACKS = [
    b"\x1b[2J", b"\x1b]0;title\x07", b"\x1b[?1049h", b"\x1b[31m", b"\x1bc", b"\x1b(0", b"\x0e", b"\x9b31m", b"\x1b[6n",
    b"\xc2\x9b2J", b"\xc2\x90q", b"\xe2\x80\xae", b"\xe2\x81\xa6", b"\xd8\x9c", b"\x1b[5;10r", b"\x1bH", b"\x1b[3g",
    b"\x7f", b"\x08\x08", b"\r", b"\x1b]52;c;aGk=\x07", b"**", b"```",
    b"`", b"\xe5\xb0\x8f", b"\xf0\x9f\x99\x82", b"\n",
]  # fmt: skip
OUR_STYLES = re.compile(r"\x1b\[[0-9;]*m")
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Quiet(pyte.Screen):
    """A terminal that must not be made to answer."""

    def write_process_input(self, data: str) -> None:
        raise AssertionError(data)


def state(screen: pyte.Screen) -> tuple[object, ...]:
    """All that a terminal remembers beside what it shows."""
    kept = (screen.mode, screen.margins, screen.charset, screen.g0_charset, screen.g1_charset, screen.tabstops)
    return (*kept, screen.title, screen.icon_name, screen.savepoints, screen.cursor.attrs, screen.cursor.hidden)


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], str]:
    """Draws a reply that arrives in pieces; returns what goes to the terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("TERM", "xterm-256color")

    def drawn(pieces: list[str]) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            stream = ReplyStream(Terminal().out)
            for piece in pieces:
                stream.push(piece)
            stream.finish()
        return out.getvalue()

    return drawn


def random_reply(rng: random.Random) -> list[str]:
    """Draw what a model could say at its worst: any bytes, sequences that terminals obey, cut anywhere."""
    parts = [rng.choice(ATTACKS) if rng.random() < 0.4 else rng.randbytes(rng.randint(1, 6)) for _ in range(30)]
    said = b"".join(parts[: rng.randint(1, 30)]).decode("utf-8", "replace")
    cuts = sorted({0, len(said), *(rng.randint(0, len(said)) for _ in range(rng.randint(0, 6)))})
    return [said[start:end] for start, end in itertools.pairwise(cuts)]


def test_nothing_a_model_says_is_obeyed(draw: Callable[[list[str]], str]) -> None:
    rng = random.Random(0)
    screen = Quiet(WIDTH, 24)
    before = copy.deepcopy(state(screen))
    stream = pyte.Stream(screen)
    for _ in range(REPLIES):
        pieces = random_reply(rng)
        out = draw(pieces)
        plain = OUR_STYLES.sub("", out)
        assert not OBEYED.search(plain), pieces
        assert max(map(cell_len, plain.split("\n"))) <= WIDTH, pieces
        stream.feed(out.replace("\n", "\r\n"))
        assert state(screen) == before, pieces


IN_PARTS = """
import sys
from mychat.terminal.console import Terminal
from mychat.terminal.reply_stream import ReplyStream

stream = ReplyStream(Terminal().out, indent=5)
for number in range(400):
    if number % 20 == 0:
        sys.stdin.readline()
    stream.push(f"word{number} ")
stream.finish()
"""


def test_a_window_resized_during_a_reply_draws_nothing_twice() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = pexpect.spawn(
        sys.executable, ["-c", IN_PARTS], dimensions=(24, 80), encoding="utf-8", timeout=60, echo=False, env=environment
    )
    widths = [30 + 7 * number % 60 for number in range(20)]
    drawn = ""
    for number, width in enumerate(widths):
        child.setwinsize(24, width)
        child.sendline()
        while f"word{20 * number + 18} " not in drawn.replace("\r\n", " "):  # the last word is held: it may grow
            drawn += child.read_nonblocking(4096)
    child.expect(pexpect.EOF)
    drawn += child.before or ""
    assert "\x1b" not in OUR_STYLES.sub("", drawn)  # only ever goes forward: nothing can stand there twice
    assert re.findall(r"word\d+", drawn) == [f"word{number}" for number in range(400)]
    lengths = [len(line.rstrip()) for line in drawn.split("\r\n")]
    assert max(lengths) <= max(widths)
    assert len(set(lengths)) > 10  # wrapped by the width of the moment
