"""What a checkpoint is, from what, how good."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mychat.model.checkpoint import load_checkpoint
from mychat.model.record import WEIGHTS_FILE


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """Load and verify a checkpoint, and gather what it says of itself. Raises: CheckpointError."""
    checkpoint = load_checkpoint(path)
    record = checkpoint.record
    return {
        "path": str(path),
        "name": checkpoint.persona.display_name,
        "description": list(checkpoint.persona.description),
        "kind": "chat" if checkpoint.is_chat else "text",
        "finished": record.get("finished", True),
        "parameters": checkpoint.config.count_parameters(),
        "weights_bytes": (path / WEIGHTS_FILE).stat().st_size,
        "model": asdict(checkpoint.config),
        **{key: record.get(key) for key in ("mychat_version", "parent", "data", "split", "stages", "metrics")},
        "trained_seconds": record.get("trained_seconds"),
        "sampling": asdict(checkpoint.sampling),
    }
