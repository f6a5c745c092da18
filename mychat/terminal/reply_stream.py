"""A reply drawn as it is generated, wrapped between words."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mychat.terminal.sanitise import sanitise

_PIECES = re.compile(r"\n| +|[^\n ]+")


class ReplyStream:
    """Prints text piece by piece; a word that would cross the edge starts a new line."""

    def __init__(self, console: Console, indent: int = 0) -> None:
        self.console = console
        self.indent = indent
        self.column = indent
        self.held = ""

    def push(self, text: str) -> None:
        """Print what is complete; hold back the last word, which may still grow."""
        pieces = _PIECES.findall(self.held + sanitise(text).replace("\t", "    "))
        self.held = pieces.pop() if pieces and pieces[-1] != "\n" else ""
        for piece in pieces:
            self._put(piece)

    def finish(self) -> None:
        """Print what is held, and end the line."""
        if self.held.strip():
            self._put(self.held)
        self.held = ""
        self.console.print()

    def _put(self, piece: str) -> None:
        width = cell_len(piece)
        if piece == "\n":
            self._break()
            return
        if piece.isspace():
            if self.column > self.indent:
                self._write(piece)
            return
        if self.column > self.indent and self.column + width > self.console.width:
            self._break()
        self._write(piece)

    def _write(self, piece: str) -> None:
        self.console.print(Text(piece), end="")
        self.column += cell_len(piece)

    def _break(self) -> None:
        self.console.print()
        self.console.print(" " * self.indent, end="")
        self.column = self.indent
