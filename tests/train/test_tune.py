from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mychat.events import TuneEvent

WORST = {"rate": 1 / 3, "dropout": 0.3, "weight_decay": 0.2}


@dataclass(frozen=True, slots=True)
class Searched:
    """A small search, and what it yielded."""

    words: Path
    out: Path
    events: list[TuneEvent]

    def of[Event](self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]
