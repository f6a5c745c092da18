"""What a checkpoint says of itself: found and read without loading the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mychat.config import CONFIG_FILE, find, list_names, search_places
from mychat.errors import CheckpointError, suggest
from mychat.model.folder import recover

FORMAT_VERSION = 1
RECORD_FILE = "mychat.json"
WEIGHTS_FILE = "model.safetensors"
TRAINING_FOLDER = "training"
STEPS_FOLDER = "steps"
"""Under `training/`: the weights of earlier steps, `<step>.safetensors`."""
Place = tuple[Path, int | None]
"""A checkpoint's folder and, where an earlier state of it is meant, the step."""


def find_checkpoint(name: str) -> Path:
    """Find a checkpoint by name or path. Raises: CheckpointError, naming the nearest."""
    for place in (Path(name), *(folder / name for folder in search_places("checkpoints"))):
        recover(place)
    path = find("checkpoints", name)
    if path is None or not (path / CONFIG_FILE).is_file():
        known = list_names("checkpoints")
        hint = suggest(name, known) or f"; known: {', '.join(known) or 'none yet, type: mychat train'}"
        what = "no such checkpoint" if path is None else f"not a checkpoint (no {CONFIG_FILE} in it)"
        raise CheckpointError(f"{name}: {what}{hint}")
    return path


def split_step(name: str) -> tuple[str, int | None]:
    """Take `name@step` apart."""
    checkpoint, at, step = name.rpartition("@")
    return (checkpoint, int(step)) if at and checkpoint and step.isdecimal() else (name, None)


def list_steps(path: Path) -> list[int]:
    """List the steps whose weights a checkpoint keeps."""
    files = (path / TRAINING_FOLDER / STEPS_FOLDER).glob("*.safetensors")
    return sorted(int(file.stem) for file in files if file.stem.isdecimal())


def find_speaker(name: str, *, chat: bool) -> Place:
    """Find a checkpoint, or `name@step`, that can do what is asked of it.

    Raises: CheckpointError, also when it cannot chat and must.
    """
    name, step = split_step(name)
    path = find_checkpoint(name)
    if chat and not can_chat(read_record(path)):
        raise CheckpointError(
            f"{name}: continues text and cannot chat; type: mychat sample --raw --checkpoint {name} TEXT"
        )
    return path, step


def weights_sha256(place: Place) -> str:
    """Return the recorded SHA-256 of a checkpoint's weights, those of a step where one is meant."""
    path, step = place
    name = WEIGHTS_FILE if step is None else f"{TRAINING_FOLDER}/{STEPS_FOLDER}/{step}.safetensors"
    return str(read_record(path).get("sha256", {}).get(name, ""))


def read_record(path: Path) -> dict[str, Any]:
    """Read a folder's record. Raises: CheckpointError when it is missing, or of another version's format."""
    record = read_json(path / RECORD_FILE)
    if record.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path / RECORD_FILE}: format {record.get('format_version')!r}, this mychat reads {FORMAT_VERSION}; "
            "update mychat or train again"
        )
    return record


def can_chat(record: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint answers; otherwise it continues text."""
    return bool(record.get("chat", True))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises: CheckpointError."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; is this a checkpoint made by mychat?") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); copy the checkpoint again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: a JSON object was expected")
    return value
