"""A search as it is seen: a live table of its trials in a terminal, a line a trial elsewhere."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping

from rich.live import Live
from rich.table import Table

from mychat.events import Notice, TrialEnded, TrialStarted, TrialValidated, Tuned, TuneEvent
from mychat.terminal.console import Terminal

_HEADS = {
    "size": "size",
    "vocab_size": "vocabulary",
    "matrix_learning_rate": "Muon",
    "learning_rate": "AdamW",
    "dropout": "dropout",
    "weight_decay": "decay",
}
_OTHER_LINES = 6
"""Of a screen, beside the rows: head, rules, and the prompt."""


def draw_tuning(terminal: Terminal, events: Iterable[TuneEvent], *, as_json: bool) -> Tuned | None:
    """Consume a search's events; with `as_json`, each is a line on stdout. Return how it ended."""
    if as_json:
        for event in events:
            terminal.event(event)
        return None
    view = _TableView(terminal) if sys.stderr.isatty() else _LineView(terminal)
    tuned = None
    try:
        for event in events:
            view.show(event)
            if isinstance(event, Tuned):
                tuned = event
    finally:
        view.close()
    return tuned


class _LineView:
    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def show(self, event: TuneEvent) -> None:
        """Write a line for what is worth one."""
        if isinstance(event, TrialEnded):
            self.terminal.note(describe_trial(event), style="")
        elif isinstance(event, Notice):
            self.terminal.note(event.text)

    def close(self) -> None:
        """Nothing is left open."""


class _TableView:
    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.trials: dict[int, TrialStarted | TrialEnded] = {}
        self.now: TrialValidated | None = None
        self.best: int | None = None
        self.live = Live(console=terminal.err, auto_refresh=False)
        self.live.start()

    def show(self, event: TuneEvent) -> None:
        """Draw the table anew."""
        if isinstance(event, Notice):
            self.terminal.note(event.text)
        elif isinstance(event, TrialValidated):
            self.now = event
        elif isinstance(event, TrialStarted | TrialEnded):
            self.trials[event.number] = event
            self.now = None
            if isinstance(event, TrialEnded) and event.best:
                self.best = event.number
        self.live.update(self._table(), refresh=True)

    def close(self) -> None:
        """Leave the table as it stands."""
        self.live.stop()

    def _table(self) -> Table:
        known: Mapping[str, object] = next((one.settings for one in self.trials.values() if one.settings), {})
        names = [name for name in _HEADS if name in known]
        table = Table("trial", "bits per byte", *(_HEADS[name] for name in names), "")
        for number in self._visible():
            trial = self.trials[number]
            figures = [_figure(trial.settings.get(name)) for name in names]
            style = "good" if number == self.best else "muted" if isinstance(trial, TrialEnded) and trial.pruned else ""
            table.add_row(str(number), self._value(trial), *figures, self._remark(trial), style=style)
        return table

    def _visible(self) -> list[int]:
        """Choose the newest that fit on the screen, and the best."""
        room = max(1, self.terminal.err.height - _OTHER_LINES)
        newest = set(list(self.trials)[-room:])
        return sorted(newest | ({self.best} if self.best is not None else set()))

    def _value(self, trial: TrialStarted | TrialEnded) -> str:
        value = trial.bits_per_byte if isinstance(trial, TrialEnded) else self.now and self.now.bits_per_byte
        return "" if value is None else f"{value:.4f}"

    def _remark(self, trial: TrialStarted | TrialEnded) -> str:
        own = "own rules" if trial.own_rules else ""
        if isinstance(trial, TrialStarted):
            state = f"{self.now.share:.0%}" if self.now else "begins"
        else:
            state = "the best" if trial.number == self.best else "given up" if trial.pruned else ""
        return ", ".join(filter(None, (own, state)))


def _figure(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def describe_trial(event: TrialEnded) -> str:
    """Say in a line what a trial came to."""
    name = f"trial {event.number}" + (", mychat's own rules" if event.own_rules else "")
    value = "no figure" if event.bits_per_byte is None else f"{event.bits_per_byte:.4f} bits per byte"
    state = ", given up" if event.pruned else ", the best so far" if event.best else ""
    settings = ", ".join(f"{key} {_figure(setting)}" for key, setting in event.settings.items())
    return f"{name}: {value} in {event.seconds:.0f} s{state} ({settings})"


def report_tuning(terminal: Terminal, tuned: Tuned, persona: str) -> None:
    """Say what was found, where it is, and what to type next."""
    found = f"{tuned.trials} trials, {tuned.pruned} given up early; "
    if tuned.best < tuned.own_rules:
        found += f"the best: {tuned.best:.4f} bits per byte on validation, mychat's own rules: {tuned.own_rules:.4f}"
    else:
        found += f"none was better than mychat's own rules: {tuned.own_rules:.4f} bits per byte on validation"
    terminal.note(found, style="good")
    terminal.result(tuned.path)
    command = ["mychat", "train", persona, "--config", tuned.path, "--minutes", f"{tuned.minutes:g}"]
    terminal.note(f"now type: {shlex.join(command)}")
