"""tinyshakespeare against the clock: bits per byte on its last 10% after so many seconds of training.

Usage: python bench/shakespeare.py tinyshakespeare.txt SECONDS [SECONDS ...] [setting=value ...]

Trains on the first 90%. Start-up, calibration and evaluation are not counted.
nanoGPT publishes 2.712 bits per character for its CPU recipe (1.88 nats) and
2.12 for three minutes on an A100 (1.4697 nats).
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from mychat.config import TrainSettings
from mychat.corpus.split import Side, split_words
from mychat.corpus.words import load_words
from mychat.evaluate.likelihood import measure_likelihood
from mychat.evaluate.sides import all_rows
from mychat.events import Planned, Stepped
from mychat.model.batch import scored_losses
from mychat.model.checkpoint import load_checkpoint
from mychat.model.host import autocast
from mychat.tokenizer.chat_format import ChatFormat
from mychat.train.pipeline import train
from mychat.train.request import TrainRequest


def main(*arguments: str) -> None:
    text = Path(arguments[0])
    budgets = [float(argument) for argument in arguments[1:] if "=" not in argument]
    given = dict(argument.split("=") for argument in arguments[1:] if "=" in argument)
    for seconds in budgets:
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainSettings().updated(given)
            if settings.steps is None:
                settings = replace(settings, minutes=seconds / 60)  # decides the recipe; steps decide the length
                settings = replace(settings, steps=_steps_in(text, Path(folder) / "plan", settings))
            _run(text, Path(folder) / "out", settings)


def _steps_in(text: Path, out: Path, settings: TrainSettings) -> int:
    """Let the dial plan for a budget as long as the training, and count the steps that the training alone takes."""
    request = TrainRequest("train", [text], out, settings, plan_only=True, started=time.monotonic())
    plan = next(event for event in train(request) if isinstance(event, Planned))
    assert settings.minutes is not None
    return int(60 * settings.minutes / plan.seconds_per_step)


def _run(text: Path, out: Path, settings: TrainSettings) -> None:
    plan: Planned | None = None
    steps = 0
    for event in train(TrainRequest("train", [text], out, settings, started=time.monotonic())):
        steps += isinstance(event, Stepped)
        plan = event if isinstance(event, Planned) else plan
    assert plan is not None
    checkpoint = load_checkpoint(out)
    split = split_words(load_words([text], []), 0, settings.seed)
    held_out = Side(texts=split.validation.texts + split.test.texts)  # the last two twentieths
    chat_format = ChatFormat(checkpoint.tokenizer)
    rows = all_rows(held_out, chat_format, checkpoint.config.context_length)
    losses_of = partial(scored_losses, checkpoint.build())
    found = measure_likelihood(losses_of, rows, checkpoint.tokenizer, "cpu", autocast("cpu", "fp32"))
    print(
        f"{checkpoint.record['trained_seconds']:5} s of training, {steps} steps: {found.bits_per_byte:.3f} bits per "
        f"byte on {found.text_bytes:,} bytes; {plan.parameters / 1e6:.2f} M parameters, {plan.n_layer} x {plan.n_embd},"
        f" vocabulary {plan.vocab_size}, context {plan.context_length}, {plan.batch_tokens} tokens a step, "
        f"{plan.epochs:.1f} epochs, dropout {plan.dropout}, weight decay {plan.weight_decay}",
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
