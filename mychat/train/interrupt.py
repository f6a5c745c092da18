"""Ctrl-C as a wish: the run ends at the next step instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class InterruptWish:
    """While entered, the first SIGINT or SIGTERM sets `wished`; a second SIGINT interrupts at once.

    With `at_once` the first does so too. It is remembered all the same: where it strikes in a destructor or a
    library's callback, the exception is lost.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.wished, self.at_once = False, at_once
        self._before: dict[int, Any] = {}

    def _wish(self, number: int, _frame: FrameType | None) -> None:
        again, self.wished = self.wished, True
        if self.at_once or (again and number == signal.SIGINT):
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # signals can be set nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._wish)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
