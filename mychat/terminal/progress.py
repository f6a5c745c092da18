"""Training as it is seen: a dashboard in a terminal, one line an interval elsewhere, JSON on demand."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.live import Live

from mychat.events import (
    CorpusRead,
    Finished,
    Notice,
    Planned,
    Retimed,
    RolledBack,
    Sampled,
    StageStarted,
    Stepped,
    StoppedEarly,
    TrainEvent,
    Validated,
)
from mychat.terminal.console import Terminal
from mychat.terminal.dashboard import Dashboard, duration, speed_figures
from mychat.terminal.tables import print_figures

LINE_INTERVAL_SECONDS = 10.0
REFRESHES_PER_SECOND = 4


def draw_training(terminal: Terminal, events: Iterable[TrainEvent], *, as_json: bool) -> Finished | None:
    """Consume a run's events; with `as_json`, each is a line on stdout. Return how it ended."""
    finished: Finished | None = None
    view = _JsonView(terminal) if as_json else _DashboardView(terminal) if sys.stderr.isatty() else _LineView(terminal)
    try:
        for event in events:
            view.show(event)
            if isinstance(event, Finished):
                finished = event
    finally:
        view.close()
    return finished


class _JsonView:
    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def show(self, event: TrainEvent) -> None:
        """Write one object a line."""
        self.terminal.event(event)

    def close(self) -> None:
        """Nothing is left open."""


class _LineView:
    """A log that can be read afterwards."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.dashboard = Dashboard()
        self.last_line = 0.0

    def show(self, event: TrainEvent) -> None:
        """Write a line, where the event is worth one."""
        self.dashboard.take(event)
        for line in lines_about(event):
            self.terminal.note(line, style="")
        if isinstance(event, Planned):
            self._warn(event)
        if isinstance(event, Stepped) and time.monotonic() - self.last_line >= LINE_INTERVAL_SECONDS:
            self.last_line = time.monotonic()
            self.terminal.note(self._step_line(event), style="")

    def _warn(self, plan: Planned) -> None:
        for warning in plan.warnings:
            self.terminal.note(f"warning: {warning}", style="warn")

    def _step_line(self, event: Stepped) -> str:
        figures = [f"loss {self.dashboard.loss:.3f}", *speed_figures(event)]
        eta = self.dashboard.eta_seconds
        figures += [f"{duration(eta)} left"] if eta is not None else []
        return f"{event.stage} step {event.step}/{event.steps}  {'  '.join(figures)}"

    def close(self) -> None:
        """Nothing is left open."""


class _DashboardView(_LineView):
    """What is worth a line scrolls by above; the dashboard stays below."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self.live: Live | None = None

    def show(self, event: TrainEvent) -> None:
        """Take the event in; the screen follows by itself."""
        self.dashboard.take(event)
        if isinstance(event, StageStarted) and self.live is None:
            self.live = Live(self.dashboard, console=self.terminal.err, refresh_per_second=REFRESHES_PER_SECOND)
            self.live.start()
        if not isinstance(event, (StageStarted, Validated, Sampled)):  # these the dashboard shows
            for line in lines_about(event):
                self.terminal.note(line, style="")
        if isinstance(event, Planned):
            self._warn(event)
        if isinstance(event, Finished):
            self.close()

    def close(self) -> None:
        """Leave the dashboard as it stands."""
        if self.live is not None:
            self.live.stop()
            self.live = None


def lines_about(event: TrainEvent) -> list[str]:
    """Say in lines what happened; nothing for what happens all the time."""
    match event:
        case CorpusRead():
            return [describe_corpus(event)]
        case Planned():
            return describe_plan(event)
        case Notice():
            return [event.text]
        case Retimed():
            pace = "faster" if sum(event.steps.values()) > event.steps_before else "slower"
            return [
                f"{event.stage} step {event.step}: {pace} than timed; "
                f"{sum(event.steps.values()):,} steps instead of {event.steps_before:,}"
            ]
        case StageStarted():
            return [f"{event.stage}: {event.steps:,} steps" + (f", from step {event.step:,}" if event.step else "")]
        case Validated():
            best = ", the best so far" if event.best else ""
            return [
                f"{event.stage} step {event.step}: validation {event.loss:.3f} ({event.bits_per_byte:.3f} bits per "
                f"byte), training {event.train_loss:.3f}{best}"
            ]
        case Sampled():
            asked, reply = (" ".join(text.split()) for text in (event.prompt, event.reply))
            return [f"{event.stage} step {event.step}: {'> ' if event.chat else ''}{asked} -> {reply or '(nothing)'}"]
        case RolledBack():
            return [
                f"{event.stage} step {event.step}: {event.reason}; back to step {event.back_to}, "
                f"with {event.rate_scale:g} of the learning rate"
            ]
        case StoppedEarly():
            return [f"{event.stage} step {event.step}: no better since step {event.best_step}; stopped early"]
        case _:
            return []


def describe_corpus(event: CorpusRead) -> str:
    """Say in a line what was read."""
    parts = [f"{event.files} file(s)"]
    if event.dialogues:
        parts.append(f"{event.dialogues:,} dialogues")
    if event.conversations:
        parts.append(f"{event.conversations:,} conversations to train on")
    if event.texts:
        parts.append(f"{event.texts:,} text(s)")
    if event.skipped:
        parts.append(f"{event.skipped:,} conversations without an answer left out")
    overlap = f"train/validation overlap {event.overlap_remaining}"
    dropped = f" ({event.overlap_dropped:,} repeated lines left out of the exam)" if event.overlap_dropped else ""
    return f"corpus: {', '.join(parts)}; {overlap}{dropped}"


def describe_plan(event: Planned) -> list[str]:
    """Say in a few lines what will be done, and until when."""
    steps = ", ".join(f"{stage} {count:,} steps" for stage, count in event.steps.items())
    compiled = ", compiled" if event.compiled else ""
    run = f"{event.precision}{compiled}, {event.micro_batch} rows at a time on {event.device}"
    if event.processes > 1:
        run += f" on {event.processes} processes"
    if event.seconds_left:
        run += f"; done at about {datetime.now() + timedelta(seconds=event.seconds_left):%H:%M}"
    return [
        f"plan: {event.parameters / 1e6:.1f} M parameters, {event.n_layer} layers of {event.n_embd}, "
        f"vocabulary {event.vocab_size:,}, context {event.context_length}",
        f"      {event.epochs:.1f} epochs of {event.train_tokens / 1e6:.2f} M tokens: {steps}, "
        f"{event.batch_tokens:,} tokens a step; dropout {event.dropout:g}, weight decay {event.weight_decay:g}",
        f"      {run}",
    ]


def report_training(terminal: Terminal, finished: Finished, name: str) -> None:
    """Say where the result is, how good it is, and what to type next."""
    minutes, seconds = divmod(round(finished.seconds), 60)
    terminal.note(f"\ndone in {minutes} min {seconds:02d} s: {finished.path}", style="good")
    terminal.note(f"kept: the weights of step {finished.best_step:,}, the best on validation")
    print_figures(terminal, finished.metrics)
    terminal.note(
        f"now type: mychat chat {name}" if finished.chat else f"now type: mychat sample --raw -c {name} 'Once upon'"
    )
