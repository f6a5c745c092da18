"""Keys while nobody reads a line: Ctrl-C as a wish, and what is typed ahead kept for the next line."""

from __future__ import annotations

import contextlib
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self

TWICE_SECONDS = 2.0


class StopKey:
    """Ctrl-C ends the reply, and never strikes between a reply and the next prompt; twice within two seconds it leaves.

    A closed terminal and a polite kill are taken like both: the reply ends, is kept, and the chat leaves. While a line
    is read, prompt-toolkit takes Ctrl-C and reports it here. Input from a pipe keeps the shell's habits.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.leave = False
        self.on_leave: Callable[[], None] = lambda: None
        """Called when the chat is told to leave while a line may be read."""
        self._last = 0.0
        self._before: dict[int, Any] = {}

    def press(self) -> None:
        """Take note of a Ctrl-C."""
        now = time.monotonic()
        self.pressed = True
        self.leave = self.leave or now - self._last < TWICE_SECONDS
        self._last = now

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.press()
        if number != signal.SIGINT:
            self.leave = True
            self.on_leave()
        elif self.leave:
            raise KeyboardInterrupt  # also out of work that yields nothing, such as a search

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Do not echo what is typed meanwhile; it waits for the next line, Ctrl-D included."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = termios.tcgetattr(sys.stdin)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
