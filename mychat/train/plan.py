"""From a budget to a plan: model size, vocabulary, steps."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from mychat.config import PRESETS, ModelConfig, TrainSettings
from mychat.evaluate.likelihood import measure_likelihood
from mychat.model.batch import Rows
from mychat.model.gpt import GPT
from mychat.model.host import autocast
from mychat.tokenizer.bpe import Tokenizer
from mychat.train.loop import Progress, Run, train_step
from mychat.train.optimizer import SplitOptimizer

DEFAULT_MINUTES = 5.0
SIZE_BY_MINUTES = ((1.0, "nano"), (20.0, "micro"), (120.0, "mini"))
"""The largest size that still sees enough steps on two CPU cores (docs/log.md); `small` beyond."""
CHARS_PER_MINUTE = 1_200_000
MOST_CHARS = 40_000_000
WARM_STEPS, TIMED_STEPS = 3, 6
FEWEST_STEPS = 10


def pick_size(settings: TrainSettings) -> str:
    """Choose a preset for the budget; `--size` wins."""
    if settings.size is not None:
        return settings.size
    if settings.minutes is None and settings.steps is not None:
        return "micro"
    minutes = settings.minutes or DEFAULT_MINUTES
    return next((size for most, size in SIZE_BY_MINUTES if minutes <= most), "small")


def pick_vocab_size(settings: TrainSettings, chars: int) -> int:
    """Choose the vocabulary: the preset's, less when the corpus is so small that tokens would be rare."""
    preset = PRESETS[pick_size(settings)]
    return settings.vocab_size or max(512, min(preset.vocab_size, chars // 100))


def chars_to_draw(settings: TrainSettings) -> int:
    """How many characters of a persona's expansions to draw; a run sees them about once or twice."""
    if settings.steps is not None:
        batch = settings.micro_batch * settings.grad_accum_steps
        length = settings.context_length or PRESETS[pick_size(settings)].context_length
        wanted = settings.steps * batch * length * 4
    else:
        wanted = int((settings.minutes or DEFAULT_MINUTES) * CHARS_PER_MINUTE)
    return max(200_000, min(MOST_CHARS, wanted))


@dataclass(frozen=True, slots=True)
class Timing:
    """What a step and a validation pass take here."""

    step_seconds: float
    validation_seconds: float


def time_steps(
    config: ModelConfig,
    settings: TrainSettings,
    rows: Rows,
    validation: Rows,
    tokenizer: Tokenizer,
    device: str,
    precision: str,
) -> Timing:
    """Take a few real steps on a throw-away model."""
    model = GPT(config, settings.dropout).to(device)
    model.init_weights()
    run = Run(
        model, SplitOptimizer(model, settings), tokenizer, settings, device, precision, {}, validation, Progress(), {}
    )
    batch = settings.micro_batch * settings.grad_accum_steps
    seconds = []
    for step in range(WARM_STEPS + TIMED_STEPS):
        started = time.perf_counter()
        train_step(run, rows, np.arange(step * batch, (step + 1) * batch) % len(rows), 0.1)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    few = validation.head(settings.micro_batch)
    started = time.perf_counter()
    measure_likelihood(model, few, tokenizer, device, autocast(device, precision), settings.micro_batch)
    a_pass = (time.perf_counter() - started) * len(validation) / max(1, len(few))
    return Timing(statistics.median(seconds[WARM_STEPS:]), a_pass)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def steps_in(seconds: float, timing: Timing, validations: int) -> int:
    """How many steps fit, with that many validation passes among them."""
    return max(FEWEST_STEPS, int((seconds - validations * timing.validation_seconds) / timing.step_seconds))
