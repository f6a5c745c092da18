"""The two consoles and their styles. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from mychat.terminal.sanitise import sanitise

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_THEME = Theme(
    {
        "persona": "bold cyan",
        "muted": "dim",
        "good": "green",
        "error": "bold red",
        "warn": "yellow",
        "code": "cyan",
        "prob.high": "green",
        "prob.middle": "yellow",
        "prob.low": "red",
        "strong": "bold",
        "emphasis": "italic",
        "heading": "bold underline",
        "curve.training": "cyan",
        "curve.validation": "bold magenta",
    }
)


class Terminal:
    """What commands say things with."""

    def __init__(self) -> None:
        self.out = Console(theme=_THEME, highlight=False, soft_wrap=True)
        self.err = Console(theme=_THEME, highlight=False, soft_wrap=True, stderr=True)

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
