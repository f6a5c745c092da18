"""A run that is killed, starved of disk or memory, or diverges loses nothing."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mychat.errors import TrainingError
from mychat.events import Planned, RolledBack, Saved, Stepped
from mychat.model.checkpoint import load_checkpoint
from mychat.train.pipeline import train
from mychat.train.watch import SETTLING_STEPS, LossWatch
from tests.conftest import QUICK, run
from tests.train.test_train import request, same

CONFIG = """\
context_length = 64
batch_tokens = 256
vocab_size = 300
validations = 3
dropout = 0.1
"""


def command(words: Path, out: Path, config: Path, steps: int = 60) -> list[str]:
    base = [sys.executable, "-m", "mychat", "train", str(words), "--out", str(out), "--config", str(config)]
    return [*base, "--size", "nano", "--steps", str(steps), "--resume"]


def limited(kind: int, limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (limit, limit))


def test_killed_at_random_moments_and_resumed_ends_bit_identical(persona_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "saving.toml"
    config.write_text(CONFIG + "save_every_seconds = 0\n")  # nearly always in the middle of a save
    subprocess.run(command(persona_folder, tmp_path / "whole", config), check=True, capture_output=True)
    moments = random.Random(0)
    kills = 0
    while not (tmp_path / "cut").exists():
        process = subprocess.Popen(command(persona_folder, tmp_path / "cut", config), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        if kills < 4:
            for line in process.stderr:
                if "steps" in line and "plan" not in line:  # it trains
                    break
            time.sleep(moments.uniform(0.0, 0.8))
            process.kill()
            kills += 1
        _, said = process.communicate(timeout=120)
        assert "Traceback" not in said
    assert kills == 4
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert not list(tmp_path.glob(".cut*"))  # nor is anything left lying about


def test_a_full_disk_ends_the_run_and_leaves_the_last_save(persona_folder: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", tmp_path / "quick.toml"
    config.write_text(CONFIG)
    for event in train(request(persona_folder, out, replace(QUICK, save_every_seconds=0.0))):
        if isinstance(event, Saved) and event.step >= 5:
            break
    before = load_checkpoint(out.with_name("out.partial")).record["sha256"]
    refused = subprocess.run(
        command(persona_folder, out, config), capture_output=True, text=True, check=False,
        preexec_fn=limited(resource.RLIMIT_FSIZE, 1_000_000),
    )  # fmt: skip
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert load_checkpoint(out.with_name("out.partial")).record["sha256"] == before
    assert not list(tmp_path.glob(".out*"))
    run(request(persona_folder, out, resume=True))
    assert load_checkpoint(out).record["finished"]


def test_a_loss_that_is_no_number_rolls_back_and_then_gives_up(persona_folder: Path, tmp_path: Path) -> None:
    wild = replace(QUICK, learning_rate=1e30, matrix_learning_rate=1e30)
    seen: list[RolledBack] = []
    with pytest.raises(TrainingError, match="lower matrix_learning_rate"):
        for event in train(request(persona_folder, tmp_path / "out", wild)):
            if isinstance(event, RolledBack):
                seen.append(event)
    assert [event.rate_scale for event in seen] == [0.5, 0.25, 0.125]
    assert all(event.back_to < event.step for event in seen)
    left = load_checkpoint(tmp_path / "out.partial")
    assert all(bool(tensor.isfinite().all()) for tensor in left.weights.values())


def test_a_rising_loss_is_noticed_and_a_noisy_one_is_not() -> None:
    noise = random.Random(0)
    watch = LossWatch()
    assert not any(watch.fault(5.0 * 0.99**step + noise.gauss(0, 0.3), 1.0) for step in range(400))
    faults = [watch.fault(4.0, 1.0) for _ in range(30)]
    assert faults[0] is None
    assert any(fault and "rose from" in fault for fault in faults)
    assert LossWatch().fault(float("nan"), 1.0)
    assert LossWatch().fault(1.0, float("inf"))
    sparse = LossWatch()  # small batches, in some of which nothing is scored
    assert not any(sparse.fault(0.0 if step % 3 else noise.gauss(4.3, 0.8), 1.0) for step in range(300))
    early = LossWatch()
    assert not any(early.fault(float(step), 1.0) for step in range(SETTLING_STEPS))


def test_little_memory_shrinks_the_micro_batch_and_changes_nothing_else(
    persona_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(QUICK, steps=6, batch_tokens=1024)
    roomy = run(request(persona_folder, tmp_path / "roomy", settings))
    monkeypatch.setattr("mychat.train.calibrate.available_bytes", lambda device: 29_000_000)
    tight = run(request(persona_folder, tmp_path / "tight", settings))
    plans = [next(event for event in events if isinstance(event, Planned)) for events in (roomy, tight)]
    assert plans[0].micro_batch == 16
    assert plans[1].micro_batch < 16
    assert plans[0].batch_tokens == plans[1].batch_tokens
    losses = [[event.loss for event in events if isinstance(event, Stepped)] for events in (roomy, tight)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    monkeypatch.setattr("mychat.train.calibrate.available_bytes", lambda device: 10_000_000)
    with pytest.raises(TrainingError, match="too little memory"):
        run(request(persona_folder, tmp_path / "none", settings))
