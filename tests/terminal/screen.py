"""A real terminal with mychat in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pyte


class Screen:
    """A terminal of 80 columns in which a command runs."""

    def __init__(self, *arguments: str | Path, columns: int = 80) -> None:
        self.screen = pyte.HistoryScreen(columns, 40, history=1000)
        self.stream = pyte.Stream(self.screen)
        command = ["-m", "mychat", *map(str, arguments)]
        environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"}  # pyte cannot say where its cursor is
        self.child = pexpect.spawn(
            sys.executable, command, dimensions=(40, columns), encoding="utf-8", timeout=60, env=environment
        )

    def until(self, text: str, times: int = 1) -> None:
        """Read until the screen shows the text so many times."""
        while "\n".join(self.lines()).count(text) < times:
            self.stream.feed(self.child.read_nonblocking(4096, timeout=60))

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def type(self, text: str) -> None:
        self.child.send(text)

    def rest(self) -> int:
        """Read what is left, and give the exit code."""
        self.child.expect(pexpect.EOF)
        self.stream.feed(self.child.before or "")
        return int(self.child.wait())
