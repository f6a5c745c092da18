"""Ctrl-C as a wish: the run ends at the next step instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class InterruptWish:
    """While entered, the first SIGINT or SIGTERM sets `wished`; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.wished = False
        self._before: dict[int, Any] = {}

    def _wish(self, number: int, _frame: FrameType | None) -> None:
        if self.wished and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wished = True

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
