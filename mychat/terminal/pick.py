"""Picking one of the conversations that were kept."""

from __future__ import annotations

import sys
import time

from prompt_toolkit import prompt

from mychat.chat.store import Kept, list_sessions
from mychat.errors import SessionError
from mychat.terminal.console import Terminal

SHOWN = 15
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def pick_session() -> str:
    """Show the latest conversations and ask for one; return its name. Raises: SessionError when there is none."""
    kept = list_sessions()[:SHOWN]
    if not kept:
        raise SessionError("there is no conversation to go on with yet; type: mychat chat")
    if not sys.stdin.isatty():
        raise SessionError(f"which conversation? --last, or one of: {', '.join(one.name for one in kept)}")
    terminal = Terminal()
    width = max(len(one.name) for one in kept)
    for number, one in enumerate(kept, 1):
        terminal.note(f"{number:>3}  {one.name:{width}}  {_age(one):>14}  {one.turns:>3} turns  {one.first[:40]!r}")
    while True:
        try:
            answer = prompt("which? ", default="1").strip()
        except EOFError:
            raise KeyboardInterrupt from None
        if answer.isdecimal() and 1 <= int(answer) <= len(kept):
            return kept[int(answer) - 1].name
        if answer in {one.name for one in kept}:
            return answer
        terminal.note(f"a number from 1 to {len(kept)}, or a name")


def _age(one: Kept) -> str:
    seconds = time.time() - one.modified
    for size, name in UNITS:
        if seconds >= size:
            count = int(seconds / size)
            return f"{count} {name}{'s' * (count > 1)} ago"
    return "just now"
