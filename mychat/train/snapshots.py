"""Earlier states of a run, kept so that they can be asked later what the finished model is asked."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from mychat.errors import CheckpointError
from mychat.model.checkpoint import load_tensors
from mychat.model.record import STEPS_FOLDER

MOST_BYTES = 256_000_000
"""Of all of a run's; larger models keep none."""
_PREFIX = "step-"


def fits(parameters: int, validations: int) -> bool:
    """Tell whether a run's earlier states may be kept: one a validation pass, in bf16."""
    return 2 * parameters * (validations + 2) <= MOST_BYTES


def keep_step(folder: Path, step: int, weights: dict[str, Tensor]) -> None:
    """Write the weights of a step into the run's own folder, whole or, where the disk refuses, not at all."""
    path = folder / f"{_PREFIX}{step}.safetensors"
    new = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        new.write_bytes(save({name: one.to(torch.bfloat16) for name, one in weights.items()}))
        new.replace(path)
        return
    new.unlink(missing_ok=True)


def kept_steps(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Return what was kept, by the names the finished checkpoint has for them."""
    kept = {}
    for path in folder.glob(f"{_PREFIX}*.safetensors"):
        with contextlib.suppress(CheckpointError):  # one that a crash has damaged is no loss
            kept[f"{STEPS_FOLDER}/{path.name.removeprefix(_PREFIX)}"] = load_tensors(path)
    return kept
