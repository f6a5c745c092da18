"""Train on one corpus under every combination of some settings; print a table and append to a JSONL file.

Usage: python bench/sweep.py WORDS OUT.jsonl minutes=2,5 size=nano,micro dropout=0,0.1 ...

A setting is any of mychat's training settings; `dial=1` adds a run in which the plan decides all of them.
The figure is bits per byte of the weights that were kept, on the whole validation side: a run itself looks at a part
of it, and at another part with another vocabulary. The test side is not looked at.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from mychat.config import SAMPLING_NAMES, TrainSettings, find_words
from mychat.corpus.words import load_words
from mychat.evaluate.evaluate import split_as_trained
from mychat.evaluate.sides import evaluate_side
from mychat.events import Finished, Planned, Retimed
from mychat.generate.engine import Engine
from mychat.model.checkpoint import Checkpoint, load_checkpoint
from mychat.train.pipeline import train
from mychat.train.request import TrainRequest


def main(words: str, out: str, *grid: str) -> None:
    axes = {name: values.split(",") for name, _, values in (axis.partition("=") for axis in grid)}
    dial = axes.pop("dial", None)
    runs = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if dial:
        runs = [{"minutes": minutes} for minutes in axes["minutes"]] + runs
    for given in runs:
        result = measure(words, {name: value for name, value in given.items() if value != "-"})
        with Path(out).open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(
            f"{result['bits_per_byte']:.4f} at step {result['best_step']} of {result['steps']}"
            f"  {result['seconds']:5.0f} s  {' '.join(f'{name}={value}' for name, value in given.items())}",
            flush=True,
        )


def measure(words: str, given: dict[str, str]) -> dict[str, object]:
    started = time.monotonic()
    plan: Planned | None = None
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings().updated(given)
        request = TrainRequest("train", [find_words(words)], Path(folder) / "out", settings, started=started)
        for event in train(request):
            if isinstance(event, Planned):
                plan = event
            elif isinstance(event, Retimed) and plan is not None:
                plan = replace(plan, steps=event.steps)
            elif isinstance(event, Finished):
                finished = event
        seconds = time.monotonic() - started
        figures = validation_figures(load_checkpoint(Path(folder) / "out"), words)
    assert plan is not None
    return {
        "words": Path(words).stem, **given, "bits_per_byte": figures["bits_per_byte"], "best_step": finished.best_step,
        "steps": sum(plan.steps.values()), "seconds": seconds, "parameters": plan.parameters,
        "vocab_size": plan.vocab_size, "context_length": plan.context_length, "batch_tokens": plan.batch_tokens,
        "epochs": plan.epochs, "train_tokens": plan.train_tokens, "compiled": plan.compiled,
        "planned_dropout": plan.dropout,
    }  # fmt: skip


def validation_figures(checkpoint: Checkpoint, words: str) -> dict[str, float]:
    """Measure the whole side that the run validated on."""
    read = load_words([find_words(words)], SAMPLING_NAMES)
    side = split_as_trained(checkpoint, read).validation
    return evaluate_side(Engine(checkpoint), side, "fp32", chat=checkpoint.is_chat).metrics


if __name__ == "__main__":
    main(*sys.argv[1:])
