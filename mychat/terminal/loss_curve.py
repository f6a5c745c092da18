"""Loss curves in a terminal: a plot of dots that knows how to draw itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

MOST_POINTS = 4096
LABEL_WIDTH = 6
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot in a cell of 4 rows and 2 columns."""


@dataclass(slots=True)
class Series:
    """Points of a curve at rising x; when there are very many, neighbours are averaged."""

    points: list[tuple[float, float]] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """Take a point; one whose y is no number is left out."""
        if not math.isfinite(y):
            return
        self.points.append((x, y))
        if len(self.points) > MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            self.points = [((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in pairs]

    def by_column(self, steps: int, columns: int) -> Iterator[tuple[int, float]]:
        """Yield the mean of the points that fall into each column of a plot `steps` wide."""
        gathered: dict[int, list[float]] = {}
        for x, y in self.points:
            gathered.setdefault(_scaled(x / max(1, steps), columns), []).append(y)
        for column, values in gathered.items():
            yield column, sum(values) / len(values)


def _scaled(share: float, places: int) -> int:
    """Turn a share from 0 to 1 into one of so many places."""
    return min(places - 1, max(0, round(share * (places - 1))))


@dataclass(slots=True)
class LossCurve:
    """Training loss in dots and validation loss in marks, in nats per token over the steps of a run."""

    steps: int
    """Where the x axis ends."""
    height: int = 8
    training: Series = field(default_factory=Series)
    validation: Series = field(default_factory=Series)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as wide as there is room: labels of the y axis, the curves, the steps below."""
        plain = not _shows_braille(console)
        width = max(8, options.max_width - LABEL_WIDTH - 1)
        low, high = self._range()
        for row, cells in enumerate(self._cells(width, low, high, plain=plain)):
            value = high - row / max(1, self.height - 1) * (high - low)
            label = f"{value:.2f}" if row in (0, self.height // 2, self.height - 1) else ""
            yield Segment(f"{label:>{LABEL_WIDTH}} ", console.get_style("dim"))
            for text in cells:
                marked = text in "●o"
                yield Segment(text, console.get_style("curve.validation" if marked else "curve.training"))
            yield Segment.line()
        key = "0  . training  o validation" if plain else "0  ⠒ training  ● validation"
        end = f"step {self.steps:,}"
        foot = f"{key}{end:>{max(len(end) + 2, width - len(key))}}"
        yield Segment(f"{'':{LABEL_WIDTH}} {foot[:width]}", console.get_style("dim"))
        yield Segment.line()

    def _range(self) -> tuple[float, float]:
        values = [y for series in (self.training, self.validation) for _, y in series.points]
        low, high = min(values, default=0.0), max(values, default=1.0)
        return (low, high) if high - low > 1e-6 else (low - 0.5, low + 0.5)

    def _cells(self, width: int, low: float, high: float, *, plain: bool) -> list[list[str]]:
        """Return a character for each cell, row by row from the top."""
        down, across = (1, 1) if plain else (4, 2)
        bits = [[0] * width for _ in range(self.height)]
        for column, y in self.training.by_column(self.steps, width * across):
            row = _scaled((high - y) / (high - low), self.height * down)
            bits[row // down][column // across] |= 1 if plain else _BRAILLE[row % 4][column % 2]
        cells = [[("." if plain else chr(0x2800 + one)) if one else " " for one in row] for row in bits]
        for column, y in self.validation.by_column(self.steps, width):
            cells[_scaled((high - y) / (high - low), self.height)][column] = "o" if plain else "●"
        return cells


def _shows_braille(console: Console) -> bool:
    try:
        "⠒●".encode(console.encoding)
    except UnicodeEncodeError:
        return False
    return not console.legacy_windows
