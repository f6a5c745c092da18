"""Questions that begin a persona."""

from __future__ import annotations

from prompt_toolkit import prompt

from mychat.corpus.starter import Sketch
from mychat.terminal.console import Terminal


def ask_sketch(terminal: Terminal, name: str, display_name: str | None) -> Sketch:
    """Ask who it is to be; Enter leaves an answer out. Ctrl-C and Ctrl-D leave altogether, and write nothing."""
    terminal.note("A few questions; Enter leaves one out.")
    try:
        called = display_name or prompt("What does it call itself? ", default=name.replace("_", " ").title())
        who = prompt("Who is it? I am ")
        home = prompt("Where does it live? I live ")
        likes = prompt("What does it like? I like ")
    except EOFError:
        raise KeyboardInterrupt from None
    return Sketch(called, who, home, likes)
