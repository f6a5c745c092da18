"""A search for better settings: real runs of one length, judged by validation bits per byte alone.

The first is mychat's own rules, so the best is never worse than they are. Needs `pip install mychat[tune]`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mychat.config import SAMPLING_NAMES, TrainSettings, find_words
from mychat.corpus.split import Side
from mychat.corpus.words import load_words
from mychat.errors import ConfigError, Interrupted, TrainingError
from mychat.evaluate.sides import all_rows, chat_rows
from mychat.events import (
    Notice,
    Planned,
    TrainEvent,
    TrialEnded,
    TrialStarted,
    TrialValidated,
    Tuned,
    TuneEvent,
    Validated,
)
from mychat.model.host import keep_heap, pick_device
from mychat.tokenizer.chat_format import ChatFormat
from mychat.train.interrupt import InterruptWish
from mychat.train.job import Job
from mychat.train.pipeline import run_stages
from mychat.train.recipe import DEFAULT_MINUTES
from mychat.train.request import TrainRequest
from mychat.train.space import Settings
from mychat.train.study import Study, open_study
from mychat.train.world import World

if TYPE_CHECKING:
    from optuna.trial import Trial

TRIALS = 12
"""Whole ones, for which a budget should do when nobody says otherwise."""
SHORTEST_MINUTES = 0.5
VALIDATIONS = 4
PRUNED_FROM = 0.5
"""Share of a run. Before, a high rate or a large network looks worse than it will be when the rate has fallen."""
VALIDATION_CHARS_PER_MINUTE = 30_000


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What somebody asked to be searched."""

    sources: list[Path]
    out: Path
    """The TOML file."""
    minutes: float
    """Budget of the whole search; under `resume`, of this part of it."""
    settings: TrainSettings
    """Of every trial, its budget included; what is given here is not searched."""
    trials: int | None = None
    """At most, those of an interrupted search included."""
    resume: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def study_file(self) -> Path:
        """Where the search is kept, so that it can go on."""
        return self.out.with_name(self.out.name + ".study.db")

    @property
    def trials_folder(self) -> Path:
        """Where a trial lives while it runs."""
        return self.out.with_name(self.out.name + ".trials")

    @property
    def seconds_left(self) -> float:
        """Of the budget."""
        return self.minutes * 60 - (time.monotonic() - self.started)


def make_tune_request(source: str, options: Mapping[str, Any], started: float) -> TuneRequest:
    """Resolve names and budgets. Raises: CorpusError, ConfigError."""
    path = find_words(source)
    given = {name: options.get(name) for name in ("minutes", "seed", "device")}
    settings = TrainSettings(validations=VALIDATIONS).updated(given)
    minutes = settings.minutes or DEFAULT_MINUTES
    trials, trial_minutes = options.get("trials"), options.get("trial_minutes")
    if trials is not None and trials < 1:
        raise ConfigError(f"trials {trials} must be 1 or more")
    if trial_minutes is None:
        whole = minutes / (trials or TRIALS)
        trial_minutes = whole if trials else min(minutes / 3, max(SHORTEST_MINUTES, min(DEFAULT_MINUTES, whole)))
    if not 0 < trial_minutes <= minutes:
        raise ConfigError(f"trial_minutes {trial_minutes:g} must be above 0, and within the {minutes:g} of --minutes")
    out = Path(options.get("out") or f"{path.resolve().stem}-tuned.toml")
    if not out.name or out.is_dir():
        raise ConfigError(f"--out {out}: is a folder; give the file a name, as in --out my.toml")
    return TuneRequest(
        sources=[path],
        out=out,
        minutes=minutes,
        settings=replace(settings, minutes=trial_minutes),
        trials=trials,
        resume=bool(options.get("resume")),
        started=started,
    )


def tune(request: TuneRequest) -> Iterator[TuneEvent]:
    """Search within the budget, yielding what happens; the best so far is on disk after every trial.

    Raises: CorpusError, ConfigError, TrainingError; Interrupted after Ctrl-C.
    """
    fingerprint = load_words(request.sources, SAMPLING_NAMES).fingerprint()
    _check_places(request)
    pick_device(request.settings.device)
    keep_heap()
    search = _Search(request, open_study(request.study_file, fingerprint, request.settings))
    try:
        with closing(search.run()) as events:
            for event in events:
                with InterruptWish() as interrupt:  # Ctrl-C while the event is being drawn
                    yield event
                if interrupt.wished:
                    raise Interrupted
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted(search.describe_stop()) from None
    finally:
        shutil.rmtree(request.trials_folder, ignore_errors=True)
        search.study.close()


def _check_places(request: TuneRequest) -> None:
    """Raise ConfigError when a file is in the way."""
    if request.study_file.exists():
        if not request.resume:
            raise ConfigError(f"{request.study_file}: a search is there; --resume goes on with it, or choose --out")
        return
    for place in (request.out, request.trials_folder):
        if place.exists():
            raise ConfigError(f"{place}: is there already, and not from a search; choose another --out")


class _Search:
    def __init__(self, request: TuneRequest, study: Study) -> None:
        self.request, self.study = request, study
        self.settings = study.settings
        self.threads = torch.get_num_threads()

    def run(self) -> Generator[TuneEvent]:
        """Try one after another until the budget or their number is used up."""
        if self.study.ended:
            ended = f"{self.study.ended} trial(s) so far, more of the same length"
            yield Notice(f"going on with {self.request.study_file}: {ended}")
        if self.study.recipe is None:
            yield from self._own_rules()
        while (self.request.trials or math.inf) > self.study.ended and self._time_for_one():
            yield from self._trial()
        self._write()
        best = self.study.best
        yield Tuned(
            str(self.request.out), best.settings, best.bits_per_byte, self.study.own.bits_per_byte,
            self.study.ended, self.study.pruned, max(DEFAULT_MINUTES, self.settings.minutes or 0.0),
        )  # fmt: skip

    def _time_for_one(self) -> bool:
        longest = max(result.seconds for result in self.study.results)
        return self.request.seconds_left >= longest

    def _own_rules(self) -> Iterator[TuneEvent]:
        yield TrialStarted(0, own_rules=True, settings={})
        run = TrialRun(self.request, 0, self.settings)
        with closing(self._events(run)) as events:
            for event in events:
                if isinstance(event, Planned):
                    yield from (Notice(f"a trial: {warning}") for warning in event.warnings)
                elif isinstance(event, Validated):
                    yield TrialValidated(0, run.share, event.bits_per_byte)
        if run.best is None:
            raise TrainingError("mychat's own rules came to no validation loss that is a number; look at the words")
        result = self.study.add_own(run.job.plan.recipe, run.best, run.passes, run.seconds)
        yield self._ended(0, result.settings, run.best, run.seconds, own_rules=True)

    def _trial(self) -> Iterator[TuneEvent]:
        trial, settings = self.study.ask()
        yield TrialStarted(trial.number, own_rules=False, settings=settings)
        run, pruned = TrialRun(self.request, trial.number, self.settings.updated(settings)), False
        try:
            with closing(self._events(run)) as events:
                for event in events:
                    if isinstance(event, Validated):
                        yield TrialValidated(trial.number, run.share, event.bits_per_byte)
                        if pruned := run.falls_behind(trial):
                            break
            if pruned and run.interrupted:
                raise Interrupted
        except Interrupted:
            raise
        except TrainingError as error:  # too large for the memory, or too fast to learn anything
            yield Notice(f"trial {trial.number}: {error}")
            pruned = True
        value = None if pruned else run.best
        self.study.tell(trial, value, run.seconds)
        yield self._ended(trial.number, settings, run.best, run.seconds, pruned=value is None)

    def _events(self, run: TrialRun) -> Generator[TrainEvent]:
        """Run, and leave nothing behind that the next run would notice."""
        try:
            yield from run.events()
            if run.interrupted:
                raise Interrupted
        finally:
            torch.set_num_threads(self.threads)  # calibration starts out from what it finds
            torch.compiler.reset()  # else compiled code is kept, and after eight networks no longer made
            shutil.rmtree(self.request.trials_folder, ignore_errors=True)

    def _ended(
        self, number: int, settings: Settings, value: float | None, seconds: float, *,
        own_rules: bool = False, pruned: bool = False,
    ) -> TrialEnded:  # fmt: skip
        self._write()
        best = not pruned and self.study.best.settings == settings
        return TrialEnded(number, own_rules, settings, value, pruned, best, seconds)

    def _write(self) -> None:
        """Write the best so far; the file is the old one or the new one, never half."""
        out, study = self.request.out, self.study
        temporary = out.with_name(f".{out.name}.new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(render_best(study))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(out)
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written ({error.strerror}); --resume goes on") from None

    def describe_stop(self) -> str:
        """Say in a line what an interrupted search leaves."""
        if not self.study.results:
            return "stopped in the first trial: nothing is measured yet; type the same command with --resume"
        best = self.study.best.bits_per_byte
        return (
            f"stopped after {self.study.ended} trial(s); the best so far, {best:.4f} bits per byte, is in "
            f"{self.request.out}: type the same command with --resume to go on"
        )


class TrialRun:
    """One trial: a run of the pipeline, without what comes after the last step."""

    def __init__(self, request: TuneRequest, number: int, settings: TrainSettings) -> None:
        out = request.trials_folder / f"trial-{number}"
        self.job = Job(
            TrainRequest("train", request.sources, out, settings, follows_clock=False),
            World(),
            pick_device(settings.device),
        )
        self.share = 0.0
        self.best: float | None = None
        """Bits per byte of the weights that the run would keep."""
        self.passes: dict[int, float] = {}
        """Bits per byte of the passes of the last stage, from 1."""
        self.interrupt = InterruptWish()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.job.request.started

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C came, though the run ended before it could stop for it."""
        return self.interrupt.wished

    def events(self) -> Iterator[TrainEvent]:
        """Run, yielding what happens. Raises: Interrupted, TrainingError."""
        with InterruptWish(at_once=True) as early:
            yield from self.job.prepare()
            self._validate_on_the_same_words()
        if early.wished:
            raise Interrupted
        with self.interrupt:
            for event in run_stages(self.job, self.interrupt):
                if isinstance(event, Validated):
                    self._take_in(event)
                yield event

    def _validate_on_the_same_words(self) -> None:
        """The plan takes as many rows as it has time for; a row holds more or less text, as the vocabulary is."""
        job = self.job
        side = thin_out(job.split.validation, VALIDATION_CHARS_PER_MINUTE * (job.settings.minutes or DEFAULT_MINUTES))
        make_rows = chat_rows if job.chat else all_rows
        job.run.validation = make_rows(side, ChatFormat(job.tokenizer), job.config.context_length)

    def _take_in(self, event: Validated) -> None:
        stages = self.job.plan.stages
        before = sum(stage.steps for stage in stages[: self.job.run.progress.stage])
        self.share = (before + event.step) / self.job.plan.steps
        if event.best:
            self.best = event.bits_per_byte
        if event.stage == stages[-1].name:
            self.passes[len(self.passes) + 1] = event.bits_per_byte

    def falls_behind(self, trial: Trial) -> bool:
        """Whether it is worse than the median of the others at its last validation pass."""
        if not self.passes or self.share == 1.0:
            return False
        number = len(self.passes)
        trial.report(self.passes[number], number)
        return self.share >= PRUNED_FROM and trial.should_prune()


def thin_out(side: Side, chars: float) -> Side:
    """Keep about so many characters: every n-th conversation, the first n-th of each text. No exams."""
    total = sum(len(message.content) for one in side.conversations for message in one.messages)
    n = max(1, math.ceil((total + sum(map(len, side.texts))) / chars))
    return Side(side.conversations[::n], [str(text)[: math.ceil(len(text) / n)] for text in side.texts])


def render_best(study: Study) -> str:
    """Write the best settings as a file for `--config`."""
    best, own = study.best, study.own
    budget = study.settings
    length = f"{budget.steps} steps" if budget.steps else f"{budget.minutes:.3g} minutes"
    lines = [
        f"# Found by mychat tune: the best of {study.ended} trials ({study.pruned} given up early), each of {length}.",
        f"# Validation bits per byte: {best.bits_per_byte:.4f}; mychat's own rules: {own.bits_per_byte:.4f}.",
        *(f"{name} = {json.dumps(value)}" for name, value in best.settings.items()),
    ]
    return "\n".join(lines) + "\n"
