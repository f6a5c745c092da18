"""Several processes train as one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mychat.model.checkpoint import load_checkpoint

CONFIG = """\
context_length = 64
batch_tokens = 256
vocab_size = 300
validations = 3
save_every_seconds = 0
precision = "fp32"
"""


def trained(words: Path, out: Path, *more: str, processes: int = 1, sharding: str = "ddp") -> list[dict[str, Any]]:
    config = out.with_suffix(".toml")
    config.write_text(CONFIG + f'sharding = "{sharding}"\n')
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "mychat", "train", str(words), "--out", str(out), "--size", "nano"]
    command += ["--steps", "12", "--config", str(config), "--json", *more]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=200, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def losses(events: list[dict[str, Any]]) -> list[float]:
    return [event["loss"] for event in events if event["event"] in ("Stepped", "Validated")]


@pytest.fixture
def alone(persona_folder: Path, tmp_path: Path) -> list[dict[str, Any]]:
    return trained(persona_folder, tmp_path / "alone")


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_see_the_loss_curve_of_one(
    persona_folder: Path, tmp_path: Path, alone: list[dict[str, Any]], sharding: str
) -> None:
    together = trained(persona_folder, tmp_path / "two", processes=2, sharding=sharding)
    assert len(losses(alone)) >= 12
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)
    weights = [load_checkpoint(tmp_path / name).weights for name in ("alone", "two")]
    assert all(weights[0][name].allclose(weights[1][name], atol=2e-2) for name in weights[0])


def test_what_two_began_one_goes_on_with(persona_folder: Path, tmp_path: Path, alone: list[dict[str, Any]]) -> None:
    config = tmp_path / "two.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "mychat", "train"]
    command += [str(persona_folder), "--out", str(tmp_path / "two"), "--size", "nano", "--steps", "12", "--json"]
    process = subprocess.Popen(
        [*command, "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "Saved" and event["step"] == 6:
            process.terminate()  # torchrun hands it on
            break
    process.communicate(timeout=60)
    rest = trained(persona_folder, tmp_path / "two", "--resume")
    stepped = [event["loss"] for event in alone if event["event"] == "Stepped"]
    went_on = [event["loss"] for event in rest if event["event"] == "Stepped"]
    assert 1 <= len(went_on) <= 6
    assert went_on == pytest.approx(stepped[-len(went_on) :], rel=1e-4)


def test_more_processes_than_rows_is_refused_in_one_line(persona_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "one.toml"
    config.write_text(CONFIG.replace("256", "64"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "mychat", "train"]
    command += [str(persona_folder), "--out", str(tmp_path / "two"), "--steps", "4", "--config", str(config)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode != 0
    assert "2 processes for steps of 1 row(s)" in refused.stderr
