"""How fast a run goes, of late."""

from __future__ import annotations

import time
from collections import deque

LOOKS_PER_INTERVAL = 6
"""Looks at the clock between two validation passes, and those a pace is taken over: one pass is then in it."""
FEWEST_LOOKS = 3


class Pace:
    """Seconds a step, whatever else stood between the steps included."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=LOOKS_PER_INTERVAL + 1)

    def restart(self, step: int) -> None:
        """Begin at a step of the whole run."""
        self._looks.clear()
        self._looks.append((time.monotonic(), step))

    def look(self, step: int) -> float | None:
        """Take note of the step that is reached; return the seconds a step, once there are looks enough."""
        self._looks.append((time.monotonic(), step))
        (since, first), (now, last) = self._looks[0], self._looks[-1]
        return (now - since) / (last - first) if len(self._looks) > FEWEST_LOOKS and last > first else None
