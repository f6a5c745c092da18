"""Training as it is seen: a progress bar in a terminal, one line an interval elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mychat.events import CorpusRead, Finished, Notice, Planned, Saved, StageStarted, Stepped, TrainEvent, Validated
from mychat.terminal.console import Terminal
from mychat.terminal.tables import print_figures

LINE_INTERVAL_SECONDS = 10.0


def draw_training(terminal: Terminal, events: Iterable[TrainEvent], *, as_json: bool) -> Finished | None:
    """Consume a run's events; with `as_json`, each is a line on stdout. Return how it ended."""
    finished: Finished | None = None
    view = _JsonView(terminal) if as_json else _TextView(terminal)
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
        self.terminal.json({"event": type(event).__name__, **asdict(event)})

    def close(self) -> None:
        """Nothing is left open."""


class _TextView:
    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.last_line = 0.0
        self.validated = ""

    def show(self, event: TrainEvent) -> None:
        """Draw one event."""
        match event:
            case Stepped():
                self._step(event)
            case StageStarted():
                self._stage(event)
            case Validated():
                self.validated = f"validation {event.loss:.3f} ({event.bits_per_byte:.3f} bits per byte)"
                self._line(
                    f"{event.stage} step {event.step}: {self.validated}{', the best so far' if event.best else ''}"
                )
            case CorpusRead():
                self._line(describe_corpus(event))
            case Planned():
                self._line(describe_plan(event))
            case Notice():
                self._line(event.text)
            case Saved():
                pass
            case Finished():
                self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _line(self, text: str) -> None:
        self.terminal.note(text, style="")

    def _stage(self, event: StageStarted) -> None:
        self.close()
        if sys.stderr.isatty():
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.completed}/{task.total}"),
                TextColumn("{task.fields[figures]}"), TimeRemainingColumn(), console=self.terminal.err,
            )  # fmt: skip
            self.task = self.bar.add_task(event.stage, total=event.steps, completed=event.step, figures="")
            self.bar.start()
        else:
            self._line(f"{event.stage}: {event.steps} steps")

    def _step(self, event: Stepped) -> None:
        figures = f"loss {event.loss:.3f}  {event.tokens_per_second:,.0f} tokens/s"
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=event.step, figures=figures)
        elif time.monotonic() - self.last_line >= LINE_INTERVAL_SECONDS:
            self.last_line = time.monotonic()
            self._line(f"{event.stage} step {event.step}/{event.steps}  {figures}")


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


def describe_plan(event: Planned) -> str:
    """Say in a line what will be done, and until when."""
    steps = ", ".join(f"{stage} {count:,} steps" for stage, count in event.steps.items())
    epochs = sum(event.steps.values()) * event.batch_tokens / max(1, event.train_tokens)
    line = (
        f"plan: {event.parameters / 1e6:.1f} M parameters, {event.n_layer} layers of {event.n_embd}, "
        f"vocabulary {event.vocab_size:,}, context {event.context_length}; {steps}: "
        f"{epochs:.1f} epochs of {event.train_tokens / 1e6:.2f} M tokens; {event.precision} on {event.device}"
    )
    if event.seconds_per_step:
        done = datetime.now() + timedelta(seconds=sum(event.steps.values()) * event.seconds_per_step)
        line += f"; done at about {done:%H:%M}"
    return line


def report_training(terminal: Terminal, finished: Finished, name: str) -> None:
    """Say where the result is, how good it is, and what to type next."""
    minutes, seconds = divmod(round(finished.seconds), 60)
    terminal.note(f"\ndone in {minutes} min {seconds:02d} s: {finished.path}", style="good")
    print_figures(terminal, finished.metrics)
    terminal.note(
        f"now type: mychat chat {name}" if finished.chat else f"now type: mychat sample --raw -c {name} 'Once upon'"
    )
