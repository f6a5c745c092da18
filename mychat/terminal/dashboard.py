"""A training run as it is watched in a terminal: drawn from events, redrawn a few times a second."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mychat.events import Planned, Retimed, Sampled, StageStarted, Stepped, TrainEvent, Validated
from mychat.terminal.loss_curve import LossCurve
from mychat.terminal.sanitise import sanitise

SMOOTHING = 0.95
NARROW, LOW = 40, 14
"""Columns and rows below which there is no room for a curve."""
SAMPLE_LINES = 2


class Dashboard:
    """What is known of a run. Taking an event in costs next to nothing; drawing happens on refresh."""

    def __init__(self) -> None:
        self.plan: Planned | None = None
        self.stage = ""
        self.before = self.done = 0
        self.started = self.last_step = time.monotonic()
        self.first_step: tuple[float, int] | None = None
        self.smoothed = 0.0
        self.smoothed_steps = 0
        self.stepped: Stepped | None = None
        self.validated: Validated | None = None
        self.best: Validated | None = None
        self.sampled: Sampled | None = None
        self.curve = LossCurve(1)

    def take(self, event: TrainEvent) -> None:
        """Remember what an event says."""
        match event:
            case Planned():
                self.plan = event
                self.curve.steps = max(1, sum(event.steps.values()))
            case Retimed() if self.plan:
                self.plan = replace(self.plan, steps=event.steps)
                self.curve.steps = sum(event.steps.values())
            case StageStarted():
                self._start_stage(event)
            case Stepped():
                self._step(event)
            case Validated():
                self.validated = event
                self.best = event if event.best else self.best
                self.curve.validation.add(self.before + event.step, event.loss)
            case Sampled():
                self.sampled = event
            case _:
                pass

    def _start_stage(self, event: StageStarted) -> None:
        names = list(self.plan.steps) if self.plan else [event.stage]
        place = names.index(event.stage) + 1
        self.stage = f"{event.stage} ({place} of {len(names)})" if len(names) > 1 else event.stage
        self.before = self.plan.steps_before(event.stage) if self.plan else 0
        self.done = self.before + event.step
        self.smoothed_steps, self.smoothed = 0, 0.0
        self.first_step = None

    def _step(self, event: Stepped) -> None:
        now = time.monotonic()
        self.first_step = self.first_step or (now, self.before + event.step)
        self.last_step, self.done, self.stepped = now, self.before + event.step, event
        self.smoothed_steps += 1
        self.smoothed = SMOOTHING * self.smoothed + (1 - SMOOTHING) * event.loss
        self.curve.training.add(self.done, self.loss)

    @property
    def loss(self) -> float:
        """Training loss, smoothed."""
        return self.smoothed / (1 - SMOOTHING ** max(1, self.smoothed_steps))

    @property
    def eta_seconds(self) -> float | None:
        """How long the steps that are left will take, by the pace so far; by the plan at first."""
        left = self.curve.steps - self.done
        if self.first_step is not None and self.done - self.first_step[1] >= 5:
            pace = (self.last_step - self.first_step[0]) / (self.done - self.first_step[1])
            return max(0.0, left * pace - (time.monotonic() - self.last_step))
        planned = self.plan.seconds_left if self.plan else 0.0
        return max(0.0, planned - (time.monotonic() - self.started)) if planned else None

    # --- drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what there is room for."""
        parts: list[RenderableType] = [self._bar(options.max_width), self._figures(options.max_width)]
        if options.max_width >= NARROW and console.height >= LOW:
            self.curve.height = 8 if console.height >= 24 else 4
            parts += [self.curve]
            parts += [self._sample(options.max_width)] if self.sampled else []
        yield Group(*parts)

    def _bar(self, width: int) -> RenderableType:
        row = Table.grid(expand=True, padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        eta = self.eta_seconds
        when = (
            f"{duration(eta)} left, done at {datetime.now() + timedelta(seconds=eta):%H:%M}" if eta is not None else ""
        )
        counted = f"{self.done:,}/{self.curve.steps:,}"
        row.add_row(self.stage, ProgressBar(self.curve.steps, self.done), f"{counted} {when if width >= 70 else ''}")
        return row

    def _figures(self, width: int) -> Text:
        figures = []
        if self.stepped is not None:
            figures.append(f"loss {self.loss:.3f}")
        if self.validated is not None:
            figures.append(f"validation {self.validated.loss:.3f} ({self.validated.bits_per_byte:.3f} bits per byte)")
        if self.best is not None and self.best is not self.validated:
            figures.append(f"best {self.best.loss:.3f} at {self.best.step:,}")
        if self.stepped is not None:
            figures += speed_figures(self.stepped)
            figures.append(f"rate {self.stepped.learning_rate:.2g}")
        return Text("\n".join(_filled(figures, width)))

    def _sample(self, width: int) -> Text:
        assert self.sampled is not None
        reply = " ".join(sanitise(self.sampled.reply).split()) or "(nothing)"
        asked = " ".join(sanitise(self.sampled.prompt).split())
        lead = "> " if self.sampled.chat else ""
        heading = Text(f"step {self.sampled.step:,}  {lead}{asked}"[:width], style="muted")
        lines = textwrap.wrap(reply, width, max_lines=SAMPLE_LINES, placeholder=" …")
        return heading + Text("\n") + Text("\n".join(lines), style="persona")


def _filled(figures: Sequence[str], width: int) -> list[str]:
    """Put figures into lines of a width, none torn apart: the terminal's own wrapping is off."""
    lines = [""]
    for figure in figures:
        longer = f"{lines[-1]}  {figure}" if lines[-1] else figure
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(figure[:width])
    return [line for line in lines if line]


def speed_figures(event: Stepped) -> list[str]:
    """Say how fast it goes, and how near to what the machine can do."""
    figures = [f"{event.tokens_per_second:,.0f} tokens/s"]
    return [*figures, f"{100 * event.mfu:.0f}% of peak"] if event.mfu > 0 else figures


def duration(seconds: float) -> str:
    """Write seconds as people say them: `3 min 10 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
