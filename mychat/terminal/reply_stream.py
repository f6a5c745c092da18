"""A reply drawn as it is generated: safe, lightly styled, wrapped by the width that characters take."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mychat.terminal.markup import MarkupStream, Styled
from mychat.terminal.sanitise import sanitise

_WIDE = "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6"
_CLOSING = "，。！？；：、）」』】》”’…"
"""Never begins a line."""
_PIECES = re.compile(rf"\n| +|[{_WIDE}][{_CLOSING}]*|[^\n {_WIDE}]+")
_BREAKABLE = re.compile(rf"[{_WIDE}]")


class ReplyStream:
    """Prints text piece by piece; a word that would cross the edge starts a new line."""

    def __init__(self, console: Console, indent: int = 0) -> None:
        self.console = console
        self.indent = indent
        self.column = indent
        self._markup = MarkupStream()
        self._word: list[Styled] = []
        """Not printed yet: it may still grow."""
        self._space = ""
        """Before it; at the edge it is left out."""

    def push(self, text: str) -> None:
        """Print what is complete; hold back the last word."""
        self._take(self._markup.push(sanitise(text).replace("\t", "    ")))

    def finish(self) -> None:
        """Print what is held, and end the line."""
        self._take(self._markup.finish())
        self._put_word()
        self.console.print()

    def _take(self, styled: list[Styled]) -> None:
        for text, style in styled:
            for piece in _PIECES.findall(text):
                if piece == "\n":
                    self._put_word()
                    self._break()
                elif piece.isspace():
                    self._put_word()
                    self._space = piece if self.column > self.indent else ""
                else:
                    if piece[0] not in _CLOSING and self._may_break_before(piece):
                        self._put_word()
                    self._word.append((piece, style))

    def _may_break_before(self, piece: str) -> bool:
        return bool(_BREAKABLE.match(piece) or (self._word and _BREAKABLE.match(self._word[-1][0])))

    def _put_word(self) -> None:
        if not self._word:
            return
        width = sum(cell_len(text) for text, _ in self._word)
        if self.column > self.indent and self.column + len(self._space) + width > self.console.width:
            self._break()
        elif self._space:
            self._write(self._space, "")
        self._space = ""
        for text, style in self._word:
            for part in self._fitting(text):
                self._write(part, style)
        self._word = []

    def _fitting(self, text: str) -> list[str]:
        """Cut what is wider than a line where it crosses the edge."""
        if self.column + cell_len(text) <= self.console.width:
            return [text]
        parts, column = [""], self.column
        for char in text:
            if column + cell_len(char) > self.console.width and column > self.indent:
                parts += ["\n", ""]
                column = self.indent
            parts[-1] += char
            column += cell_len(char)
        return parts

    def _write(self, piece: str, style: str) -> None:
        if piece == "\n":
            self._break()
            return
        self.console.print(Text(piece, style), end="")
        self.column += cell_len(piece)

    def _break(self) -> None:
        self._space = ""
        self.console.print()
        self.console.print(" " * self.indent, end="")
        self.column = self.indent
