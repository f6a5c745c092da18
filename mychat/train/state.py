"""A run on disk: the files under `training/` from which it goes on, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mychat.config import TrainSettings
from mychat.errors import CheckpointError
from mychat.model.checkpoint import RECORD_FILE, TRAINING_FOLDER, load_tensors, verify_files
from mychat.train.loop import Progress, Run
from mychat.train.stage import Stage

STATE_FILE = "state.safetensors"
RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"


@dataclass(slots=True)
class SavedRun:
    """What a stopped run left."""

    settings: TrainSettings
    stages: list[Stage]
    progress: Progress
    precision: str
    tensors: dict[str, Tensor]
    request: Mapping[str, Any]
    """What must be the same to go on: data fingerprint, kind, parent, drawn characters."""

    def restore(self, run: Run) -> None:
        """Put weights, optimizer state and progress into a fresh run."""
        run.model.load_state_dict(self._under("weights"))
        run.optimizer.load_state_tensors(self._under("optimizer"))
        run.best_weights = self._under("best")
        run.progress = self.progress

    def _under(self, prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix + ":"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix + ":")
        }


def run_files(run: Run, stages: list[Stage], request: Mapping[str, Any]) -> dict[str, bytes | dict[str, Tensor]]:
    """Return the files that let the run go on."""
    tensors = {
        f"{prefix}:{name}": tensor.cpu().contiguous()
        for prefix, named in (
            ("weights", run.weights()),
            ("optimizer", run.optimizer.state_tensors()),
            ("best", run.best_weights),
        )
        for name, tensor in named.items()
    }
    record = {
        "settings": asdict(run.settings),
        "stages": [asdict(stage) for stage in stages],
        "progress": {key: value for key, value in asdict(run.progress).items() if key != "metrics"},
        "precision": run.precision,
        "request": dict(request),
    }
    return {
        STATE_FILE: tensors,
        RUN_FILE: (json.dumps(record, indent=2) + "\n").encode(),
        METRICS_FILE: metrics_file(run.progress),
    }


def metrics_file(progress: Progress) -> bytes:
    """Write the log, one JSON object a line."""
    return "".join(json.dumps(entry) + "\n" for entry in progress.metrics).encode()


def load_run(folder: Path, record: Mapping[str, Any]) -> SavedRun:
    """Read what `run_files` wrote. Raises: CheckpointError when it is damaged or not there."""
    names = tuple(f"{TRAINING_FOLDER}/{name}" for name in (STATE_FILE, RUN_FILE, METRICS_FILE))
    verify_files(folder, record, names)
    training = folder / TRAINING_FOLDER
    try:
        saved = json.loads((training / RUN_FILE).read_text("utf-8"))
        metrics = [json.loads(line) for line in (training / METRICS_FILE).read_text("utf-8").splitlines()]
        return SavedRun(
            settings=TrainSettings(**saved["settings"]),
            stages=[Stage(**stage) for stage in saved["stages"]],
            progress=Progress(**saved["progress"], metrics=metrics),
            precision=saved["precision"],
            tensors=load_tensors(training / STATE_FILE),
            request=saved["request"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{training / RUN_FILE}: not understood ({error}); {RECORD_FILE} says it is another version's"
        ) from None
