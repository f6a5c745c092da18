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
from mychat.model.checkpoint import load_tensors, verify_files
from mychat.model.record import RECORD_FILE, TRAINING_FOLDER
from mychat.train.loop import Progress, Run
from mychat.train.network import full_weights, load_optimizer_tensors, load_weights, optimizer_tensors
from mychat.train.plan import Plan
from mychat.train.recipe import Recipe
from mychat.train.setup import Setup
from mychat.train.stage import Stage
from mychat.train.watch import LossWatch

STATE_FILE = "state.safetensors"
RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"


@dataclass(slots=True)
class SavedRun:
    """What a stopped run left."""

    settings: TrainSettings
    plan: Plan
    progress: Progress
    tensors: dict[str, Tensor]
    request: Mapping[str, Any]
    """What must be the same to go on: data fingerprint, kind, parent, drawn characters."""

    def restore(self, run: Run) -> None:
        """Put weights, optimizer state and progress into a run; every process must call it."""
        load_weights(run.network, self._under("weights"))
        run.optimizer.forget()
        if state := self._under("optimizer"):
            load_optimizer_tensors(run.network, run.optimizer, state)
        run.best_weights = self._under("best")
        run.progress = self.progress

    def _under(self, prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix + ":"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix + ":")
        }


def run_files(run: Run, plan: Plan, request: Mapping[str, Any]) -> dict[str, bytes | dict[str, Tensor]]:
    """Return the files that let the run go on, on rank 0; every process must call it."""
    state = {"weights": full_weights(run.network), "best": run.best_weights}
    if run.progress.overall:
        state["optimizer"] = optimizer_tensors(run.network, run.optimizer)
    tensors = {
        f"{prefix}:{name}": tensor.contiguous() for prefix, named in state.items() for name, tensor in named.items()
    }
    record = {
        "settings": asdict(run.settings),
        "plan": asdict(plan),
        "progress": {key: value for key, value in asdict(run.progress).items() if key != "metrics"},
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
            plan=_plan(saved["plan"]),
            progress=Progress(
                **saved["progress"] | {"watch": LossWatch(**saved["progress"]["watch"])}, metrics=metrics
            ),
            tensors=load_tensors(training / STATE_FILE),
            request=saved["request"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{training / RUN_FILE}: not understood ({error}); {RECORD_FILE} says it is another version's"
        ) from None


def _plan(saved: Mapping[str, Any]) -> Plan:
    return Plan(
        recipe=Recipe(**saved["recipe"]),
        setup=Setup(**saved["setup"]),
        stages=tuple(Stage(**stage) for stage in saved["stages"]),
        validation_rows=saved["validation_rows"],
        warnings=tuple(saved["warnings"]),
    )
