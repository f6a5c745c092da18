"""Light Markdown, read as it comes: what is printed is never taken back.

A span is held until it is closed, at most to the end of its line; then it is styled, or stays as it was written.
"""

from __future__ import annotations

import re

Styled = tuple[str, str]
"""A text and the name of its style, which may be empty."""

_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING = re.compile(r"#{1,6} +")
_MAY_BECOME_EITHER = re.compile(r" {0,3}(`{0,2}|~{0,2})$|#{1,6} *$")
_OPENING = re.compile(r"`+|\*\*(?=\S)|(?<![\w*])\*(?=[^\s*])|(?<![\w_])_(?=[^\s_])|(?<![\w_])__(?=[^\s_])")
_SPAN = re.compile(
    r"(?P<tick>`++)(?P<code>.*?[^`])(?P=tick)(?!`)"
    r"|\*\*(?P<strong>.+?)(?<=\S)\*\*"
    r"|\*(?P<emphasis>[^*]+?)(?<=\S)\*(?!\*)"
    r"|__(?P<strong_>.+?)(?<=\S)__(?!\w)"
    r"|_(?P<emphasis_>[^_]+?)(?<=\S)_(?!\w)"
)
_AT_THE_END = re.compile(r"[`*_]+$")
"""Markers that the next character may make an opening, or longer."""


class MarkupStream:
    """Turns text, piece by piece, into styled text."""

    def __init__(self) -> None:
        self._line = ""
        self._shown = 0
        """Characters of the line that are out."""
        self._fenced = False

    def push(self, text: str) -> list[Styled]:
        """Return what is certain now."""
        ready: list[Styled] = []
        *lines, rest = (self._line + text).split("\n")
        for line in lines:
            self._line = line
            ready += [*self._end_line(), ("\n", "")]
        self._line = rest
        return ready + self._show(_certain(rest, fenced=self._fenced))

    def finish(self) -> list[Styled]:
        """Return what is held."""
        return self._end_line()

    def _end_line(self) -> list[Styled]:
        ready = self._show(len(self._line))
        if _FENCE.match(self._line):
            self._fenced = not self._fenced
        self._line, self._shown = "", 0
        return ready

    def _show(self, until: int) -> list[Styled]:
        """Return the pieces of the line between what is out and `until`."""
        ready: list[Styled] = []
        for start, end, text, style in _pieces(self._line, fenced=self._fenced):
            if end <= self._shown or start >= until:
                continue
            if text == self._line[start:end]:  # as it was written: any part of it can go
                text = text[max(0, self._shown - start) : max(0, until - start)]
            ready.append((text, style))
        self._shown = max(self._shown, until)
        return ready


def _pieces(line: str, *, fenced: bool) -> list[tuple[int, int, str, str]]:
    """Cut a line into pieces: where each stands in it, what is shown of it, and its style."""
    if fenced or _FENCE.match(line):
        return [(0, len(line), line, "code")]
    heading = _HEADING.match(line)
    base = "heading" if heading else ""
    at = heading.end() if heading else 0
    pieces = []
    plain = at
    while found := _OPENING.search(line, at):
        span = _SPAN.match(line, found.start())
        if span is None:
            at = found.end()
            continue
        name = next(name for name, text in span.groupdict().items() if text and name != "tick")
        pieces += [(plain, span.start(), line[plain : span.start()], base)]
        pieces += [(span.start(), span.end(), span[name], name.removesuffix("_"))]
        at = plain = span.end()
    return [*pieces, (plain, len(line), line[plain:], base)]


def _certain(line: str, *, fenced: bool) -> int:
    """Count the characters of an unfinished line whose meaning nothing that follows can change."""
    if _MAY_BECOME_EITHER.match(line):
        return 0
    if fenced or _FENCE.match(line):
        return len(line)
    heading = _HEADING.match(line)
    at = heading.end() if heading else 0
    end = _AT_THE_END.search(line)
    most = end.start() if end else len(line)
    while found := _OPENING.search(line, at):
        span = _SPAN.match(line, found.start())
        if span is None or span.end() >= most:
            return min(most, found.start())
        at = span.end()
    return most
