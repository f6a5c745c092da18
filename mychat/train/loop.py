"""The one training loop. It knows a stage only as data, and yields what happens."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mychat.config import TrainSettings
from mychat.errors import TrainingError
from mychat.evaluate.likelihood import Likelihood, measure_likelihood
from mychat.events import StageStarted, Stepped, TrainEvent, Validated
from mychat.model.batch import Rows, scored_losses
from mychat.model.gpt import GPT
from mychat.model.host import autocast
from mychat.tokenizer.bpe import Tokenizer
from mychat.train.optimizer import SplitOptimizer
from mychat.train.stage import Stage


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
    trained_seconds: float = 0.0
    metrics: list[dict[str, float | int | str]] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """A run in memory: everything a step reads or changes."""

    model: GPT
    optimizer: SplitOptimizer
    tokenizer: Tokenizer
    settings: TrainSettings
    device: str
    precision: str
    train: dict[str, Rows]
    """By what the loss is taken on: `all`, `assistant`."""
    validation: Rows
    progress: Progress
    best_weights: dict[str, Tensor]

    def weights(self) -> dict[str, Tensor]:
        """Copy the weights."""
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def validate(self) -> Likelihood:
        """Measure the validation side."""
        context = autocast(self.device, self.precision)
        return measure_likelihood(
            self.model, self.validation, self.tokenizer, self.device, context, self.settings.micro_batch
        )


def rows_of_step(count: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Choose the rows of a step: every epoch is a new shuffle, cut into batches end to end.

    It depends on nothing but its arguments, so a resumed run goes on with the same rows.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // count
    chosen = np.empty(batch, np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch)]).permutation(count)
        chosen[epochs == epoch] = order[places[epochs == epoch] % count]
    return chosen


def train_step(run: Run, rows: Rows, index: NDArray[np.int64], rate_share: float) -> tuple[float, float]:
    """One optimizer step; return the mean loss of its scored tokens and the gradient norm."""
    scored = max(1, int(rows.scored[index, 1:].sum()))
    total = 0.0
    for micro in np.array_split(index, run.settings.grad_accum_steps):
        with autocast(run.device, run.precision):
            loss = scored_losses(run.model, rows.take(micro, run.device)).sum() / scored
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    if not math.isfinite(total):
        raise TrainingError(
            "the loss is no longer a number; train again with a lower matrix_learning_rate and learning_rate (--config)"
        )
    return total, run.optimizer.step(rate_share)


def run_stage(run: Run, stage: Stage, *, keeps_best: bool) -> Iterator[TrainEvent]:
    """Train one stage from where it stands, yielding after every step.

    The caller may save between any two events. Every step seeds its own
    randomness, so a step's number and the weights are all there is to resume.
    """
    settings, progress = run.settings, run.progress
    rows = run.train[stage.loss_on]
    batch = settings.micro_batch * settings.grad_accum_steps
    interval = max(1, stage.steps // settings.validations)
    yield StageStarted(stage.name, progress.step, stage.steps)
    run.model.train()
    while progress.step < stage.steps:
        started = time.perf_counter()
        overall = progress.steps_before + progress.step
        torch.manual_seed((settings.seed * 1_000_003 + overall) % 2**63)
        index = rows_of_step(len(rows), batch, overall, settings.seed)
        rate_share = stage.rate_share(progress.step, settings.final_rate_share)
        loss, norm = train_step(run, rows, index, rate_share)
        progress.step += 1
        seconds = time.perf_counter() - started
        progress.trained_seconds += seconds
        tokens = int((rows.document[index, :-1] >= 0).sum())
        rate = settings.matrix_learning_rate * rate_share
        _log(progress, stage, "train", loss)
        event = Stepped(stage.name, progress.step, stage.steps, loss, rate, tokens / seconds, norm)
        due = progress.step % interval == 0 and stage.steps - progress.step >= interval // 2
        if due or progress.step == stage.steps:
            yield from _validate(run, stage, keeps_best)
        yield event


def _validate(run: Run, stage: Stage, keeps_best: bool) -> Iterator[TrainEvent]:
    progress = run.progress
    likelihood = run.validate()
    best = keeps_best and likelihood.loss < progress.best_loss
    if best:
        progress.best_loss, progress.best_step = likelihood.loss, progress.steps_before + progress.step
        run.best_weights = run.weights()
    _log(progress, stage, "validation", likelihood.loss)
    yield Validated(stage.name, progress.step, likelihood.loss, likelihood.bits_per_byte, best)


def _log(progress: Progress, stage: Stage, side: str, loss: float) -> None:
    step = progress.steps_before + progress.step
    progress.metrics.append({"stage": stage.name, "step": step, "side": side, "loss": round(loss, 6)})
