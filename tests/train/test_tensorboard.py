from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mychat.events import Stepped
from mychat.train.pipeline import train
from mychat.train.tensorboard import logged
from tests.conftest import QUICK
from tests.train.test_train import request, stop_after


def test_the_figures_can_be_read_back(persona_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    events = list(logged(train(request(persona_folder, tmp_path / "out", replace(QUICK, steps=8))), "pip"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (tmp_path / "runs" / "pip").iterdir()
    found = EventAccumulator(str(folder))
    found.Reload()
    written = [(entry.step, entry.value) for entry in found.Scalars("loss/train")]
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert [step for step, _ in written] == list(range(1, 9))
    assert [value for _, value in written] == pytest.approx(losses, rel=1e-5)
    assert found.Scalars("bits_per_byte")[-1].step == 8


def test_a_resumed_run_goes_on_at_its_step(
    persona_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = request(persona_folder, tmp_path / "out", replace(QUICK, steps=20))
    stop_after(wanted, 10)  # in the second stage
    list(logged(train(replace(wanted, resume=True)), "pip"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(next((tmp_path / "runs" / "pip").iterdir())))
    found.Reload()
    assert [entry.step for entry in found.Scalars("loss/train")] == list(range(11, 21))


def test_without_tensorboard_it_says_what_to_install(persona_folder: Path) -> None:
    code = (
        "import sys; sys.modules['tensorboard'] = None\nfrom mychat.cli.app import main\n"
        f"sys.argv = ['mychat', 'train', {str(persona_folder)!r}, '--steps', '2', '--out', 'x', '--tensorboard']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "mychat: --tensorboard needs tensorboard; type: pip install 'mychat[tensorboard]'\n"
