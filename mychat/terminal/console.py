"""The two consoles and their styles. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from mychat.terminal.sanitise import sanitise

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_STYLES = {
    "persona": "bold cyan",
    "muted": "dim",
    "good": "green",
    "error": "bold red",
    "warn": "yellow",
    "code": "cyan",
    "strong": "bold",
    "emphasis": "italic",
    "heading": "bold underline",
    "prob.high": "green",
    "prob.middle": "yellow",
    "prob.low": "red",
    "curve.training": "cyan",
    "curve.validation": "bold magenta",
}
_ON_LIGHT = {
    "persona": "bold blue",
    "warn": "bold dark_orange3",
    "code": "blue",
    "prob.middle": "dark_orange3",
    "curve.training": "blue",
}
"""What is hard to read on a light background."""


def _theme(name: str) -> Theme:
    """Return the styles for a background; `auto` goes by what the terminal says in COLORFGBG, else dark."""
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    light = name == "light" or (name == "auto" and background in ("7", "15"))
    return Theme(_STYLES | (_ON_LIGHT if light else {}))


class Terminal:
    """What commands say things with."""

    def __init__(self, theme: str = "auto") -> None:
        styles = _theme(theme)
        self.out = Console(theme=styles, highlight=False, soft_wrap=True)
        self.err = Console(theme=styles, highlight=False, soft_wrap=True, stderr=True)

    def result(self, text: str) -> None:
        """Print a line of result."""
        self.out.print(Text(sanitise(text)))

    def json(self, value: Any) -> None:
        """Print JSON, and JSON only."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def event(self, event: DataclassInstance) -> None:
        """Print what long work yielded, as an object a line."""
        self.json({"event": type(event).__name__, **asdict(event)})

    def note(self, text: str, style: str = "muted") -> None:
        """Say something beside the result."""
        self.err.print(Text(sanitise(text), style=style))
