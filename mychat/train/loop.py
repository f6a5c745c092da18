"""The one training loop. It knows a stage only as data, and yields what happens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mychat.config import ModelConfig, TrainSettings
from mychat.evaluate.likelihood import Likelihood, measure_likelihood
from mychat.events import StageStarted, Stepped, StoppedEarly, TrainEvent, Validated
from mychat.model.batch import Rows
from mychat.model.host import autocast
from mychat.tokenizer.bpe import Tokenizer
from mychat.train.network import eager, full_weights
from mychat.train.optimizer import SplitOptimizer
from mychat.train.recipe import Recipe
from mychat.train.setup import Setup
from mychat.train.stage import Stage
from mychat.train.watch import LossWatch
from mychat.train.world import World

GROUP_SECONDS, LONGEST_GROUP = 0.2, 32
"""On a GPU, losses are read after so many seconds' steps: reading one waits for all before it."""


@dataclass(slots=True)
class Progress:
    """Where a run stands: all that is not weights or optimizer state."""

    stage: int = 0
    step: int = 0
    """Steps done in this stage."""
    steps_before: int = 0
    """Steps of the stages before."""
    best_loss: float = math.inf
    best_step: int = 0
    validated: int = 0
    """The overall step of the last validation pass."""
    worse: int = 0
    """Validation passes since the best."""
    rate_scale: float = 1.0
    """Of the planned rate; every rollback halves it."""
    trained_seconds: float = 0.0
    unvalidated_loss: float = 0.0
    """Sum of the training losses since the last validation pass, and how many."""
    unvalidated_steps: int = 0
    watch: LossWatch = field(default_factory=LossWatch)
    metrics: list[dict[str, float | int | str]] = field(default_factory=list)

    def next_stage(self) -> None:
        """Step over to the stage after this one."""
        self.stage, self.steps_before, self.step = self.stage + 1, self.steps_before + self.step, 0
        self.watch = LossWatch()

    @property
    def overall(self) -> int:
        """Steps done in all stages."""
        return self.steps_before + self.step


@dataclass(slots=True)
class Run:
    """A run in memory: everything a step reads or changes."""

    network: nn.Module
    optimizer: SplitOptimizer
    config: ModelConfig
    tokenizer: Tokenizer
    settings: TrainSettings
    recipe: Recipe
    setup: Setup
    device: str
    world: World
    train: dict[str, Rows]
    """By what the loss is taken on: `all`, `assistant`."""
    validation: Rows
    progress: Progress = field(default_factory=Progress)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    """On rank 0."""

    @property
    def batch_rows(self) -> int:
        """Rows of one optimizer step, all processes together."""
        return max(1, self.recipe.batch_tokens // self.config.context_length)

    def validate(self) -> Likelihood:
        """Measure the validation side, each process its share."""
        self.network.eval()
        with eager():
            mine = measure_likelihood(
                self.network, self.validation, self.tokenizer, self.device, autocast(self.device, self.setup.precision),
                batch=self.setup.micro_batch, share=(self.world.rank, self.world.size),
            )  # fmt: skip
        self.network.train()
        sums = self.world.sum([mine.nats, mine.text_nats, mine.tokens, mine.text_bytes, mine.words], self.device)
        return Likelihood(sums[0], sums[1], round(sums[2]), round(sums[3]), round(sums[4]))


class Diverged(Exception):
    """The loss broke away at this step; the run must go back. Never leaves `train`."""


@lru_cache(maxsize=2)
def _epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def rows_of_step(count: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Choose the rows of a step: every epoch is a new shuffle, cut into batches end to end.

    It depends on nothing but its arguments, so a resumed run goes on with the same rows.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // count
    chosen = np.empty(batch, np.int64)
    for epoch in np.unique(epochs):
        chosen[epochs == epoch] = _epoch_order(count, seed, int(epoch))[places[epochs == epoch] % count]
    return chosen


def train_step(run: Run, rows: Rows, index: NDArray[np.int64], rate_share: float) -> tuple[Tensor, Tensor]:
    """One optimizer step on the rows `index`, shared out among the processes.

    Returns this process's part of the mean loss and the gradient norm, both () and on the device.
    """
    world, scored = run.world, max(1, rows.count_scored(index))
    mine = np.array_split(index, world.size)[world.rank]
    passes = max(1, -(-len(index) // world.size // run.setup.micro_batch))
    total = torch.zeros((), device=run.device)
    micros = np.array_split(mine, min(passes, max(1, len(mine))))
    for place, micro in enumerate(micros):
        last = place == len(micros) - 1
        with autocast(run.device, run.setup.precision), _gradients_later(run.network, later=not last):
            loss = run.network(rows.take(micro, run.device)) / scored
            # the processes' gradients are averaged, but each holds the loss of its own rows only
            (loss * world.size).backward()
        total += loss.detach()
    return total, run.optimizer.step(rate_share, run.settings.clip_norm)


def _gradients_later(network: Any, *, later: bool) -> Any:
    """Keep the processes from exchanging gradients until the last forward pass of a step."""
    if hasattr(network, "set_requires_gradient_sync"):
        network.set_requires_gradient_sync(not later)
    elif later and hasattr(network, "no_sync"):
        return network.no_sync()
    return nullcontext()


def run_stage(run: Run, planned: Callable[[], Stage], *, keeps_best: bool) -> Iterator[TrainEvent]:
    """Train one stage from where it stands, yielding what happens; the caller may save after any event.

    `planned` is asked for the stage before every step: the caller may have changed how many there are.

    Every step seeds its own randomness, so a step's number, the weights and the
    optimizer's state are all there is to resume.
    Raises: Diverged.
    """
    progress, patience = run.progress, run.settings.patience
    stage = planned()
    rows = run.train[stage.loss_on]
    interval = stage.interval
    yield StageStarted(stage.name, progress.step, stage.steps)
    run.network.train()
    while True:
        stage = planned()
        at_interval = progress.step % interval == 0 and stage.steps - progress.step >= interval // 2
        due = progress.step > 0 and (at_interval or progress.step == stage.steps)
        if due and progress.validated < progress.overall:
            yield _validate(run, stage, keeps_best)
        if progress.step == stage.steps:
            return
        if patience and keeps_best and progress.worse >= patience:
            yield StoppedEarly(stage.name, progress.step, progress.best_step)
            return
        yield from _steps(run, stage, rows, min(_group(run), interval - progress.step % interval))


def _group(run: Run) -> int:
    if not run.device.startswith("cuda"):
        return 1
    return max(1, min(LONGEST_GROUP, int(GROUP_SECONDS / max(1e-6, run.setup.step_seconds))))


def _steps(run: Run, stage: Stage, rows: Rows, count: int) -> list[Stepped]:
    """Take steps without waiting for the device in between, then read what they gave."""
    settings, progress = run.settings, run.progress
    started = time.perf_counter()
    taken, tokens = [], 0
    for step in range(progress.step, min(progress.step + count, stage.steps)):
        overall = progress.steps_before + step
        torch.manual_seed((settings.seed * 1_000_003 + overall * run.world.size + run.world.rank) % 2**63)
        index = rows_of_step(len(rows), run.batch_rows, overall, settings.seed)
        rate_share = stage.rate_share(step, settings.final_rate_share) * progress.rate_scale
        taken.append((rate_share, *train_step(run, rows, index, rate_share)))
        tokens += int((rows.document[index, :-1] >= 0).sum())
    losses = run.world.sum([float(loss) for _, loss, _ in taken], run.device)
    seconds = time.perf_counter() - started
    progress.trained_seconds += seconds
    speed = tokens / seconds
    mfu = run.setup.mfu(speed, run.config, run.world.size)
    events = []
    for (rate_share, _, norm), loss in zip(taken, losses, strict=True):
        if fault := progress.watch.fault(loss, float(norm)):
            raise Diverged(fault)
        progress.step += 1
        progress.unvalidated_loss += loss
        progress.unvalidated_steps += 1
        _log(progress, stage, "train", loss, tokens_per_second=round(speed))
        rate = run.recipe.matrix_learning_rate * rate_share
        events.append(Stepped(stage.name, progress.step, stage.steps, loss, rate, speed, float(norm), mfu))
    return events


def _validate(run: Run, stage: Stage, keeps_best: bool) -> Validated:
    progress = run.progress
    likelihood = run.validate()
    best = keeps_best and likelihood.loss < progress.best_loss
    if keeps_best:
        progress.worse = 0 if best else progress.worse + 1
    if best:
        progress.best_loss, progress.best_step = likelihood.loss, progress.overall
        run.best_weights = full_weights(run.network)
    progress.validated = progress.overall
    train_loss = progress.unvalidated_loss / max(1, progress.unvalidated_steps)
    progress.unvalidated_loss, progress.unvalidated_steps = 0.0, 0
    _log(progress, stage, "validation", likelihood.loss, bits_per_byte=round(likelihood.bits_per_byte, 6))
    return Validated(stage.name, progress.step, likelihood.loss, likelihood.bits_per_byte, train_loss, best)


def _log(progress: Progress, stage: Stage, side: str, loss: float, **figures: float) -> None:
    progress.metrics.append(
        {"stage": stage.name, "step": progress.overall, "side": side, "loss": round(loss, 6), **figures}
    )
