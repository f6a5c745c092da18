"""What a slash command is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mychat.errors import ConfigError
from mychat.terminal.view import ChatView


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command: its name, what comes after it, what it does, and the doing: it returns the lines to show."""

    name: str
    argument: str
    does: str
    run: Callable[[ChatView, str], str]
    applies: Callable[[ChatView], bool] = lambda _view: True
    complete: Callable[[ChatView, str], Iterable[str]] = lambda _view, _text: ()
    """The words that can stand at the end of the argument so far."""


def something_said(view: ChatView) -> bool:
    """Tell whether a conversation is going on."""
    return bool(view.session.tree.head)


def replied(view: ChatView) -> bool:
    """Tell whether the last message is a reply."""
    path = view.session.tree.path()
    return bool(path) and path[-1].role == "assistant"


def number(text: str, what: str) -> int:
    """Read a number that was typed. Raises: ConfigError."""
    if not text.isdecimal():
        raise ConfigError(f"{what} must be a number, not {text!r}" if text else f"which {what}? give its number")
    return int(text)
