"""What somebody asked to be trained, resolved from names, files and settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mychat.config import TrainSettings, checkpoints_folder, find_words, is_path
from mychat.corpus.persona import load_toml
from mychat.errors import ConfigError
from mychat.model.record import find_checkpoint
from mychat.train.start import find_base

FLAGS = ("minutes", "steps", "size", "seed", "device", "dropout", "weight_decay", "patience")
"""Settings that have a flag of their own."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What somebody asked for. `kind` is the command: `train`, `pretrain` or `finetune`."""

    kind: str
    sources: list[Path]
    out: Path
    settings: TrainSettings
    parent: Path | None = None
    parent_by_default: bool = False
    """Nobody asked for the parent, so the run may do without when it does not fit."""
    resume: bool = False
    force: bool = False
    plan_only: bool = False
    tensorboard: bool = False
    follows_clock: bool = True
    """A budget in minutes is kept by fitting the steps to the clock; otherwise the first plan stays."""
    started: float = field(default_factory=time.monotonic)
    """When the command began, on the monotonic clock: the budget counts from here."""

    @property
    def partial(self) -> Path:
        """Where the run lives until it is finished."""
        return self.out.with_name(self.out.name + ".partial")

    @property
    def rows_folder(self) -> Path:
        """Where the training words lie as ids while the run goes on."""
        return self.out.with_name(self.out.name + ".rows")

    @property
    def steps_folder(self) -> Path:
        """Where the weights of earlier steps lie while the run goes on."""
        return self.out.with_name(self.out.name + ".steps")


def make_request(
    kind: str, sources: list[str], parent: str | None, options: Mapping[str, Any], started: float
) -> TrainRequest:
    """Resolve names and settings. Raises: CorpusError, CheckpointError, ConfigError."""
    paths = [find_words(source) for source in sources]
    config = options.get("config")
    settings = TrainSettings().updated(load_toml(config) if config else {})
    settings = settings.updated({name: options.get(name) for name in FLAGS})
    name = options.get("out") or paths[0].resolve().stem
    if not Path(name).name or name == "..":
        raise ConfigError(f"--out {name}: is no name for a checkpoint; give it one, as in --out demo")
    base = find_base() if kind == "train" and parent is None else None
    return TrainRequest(
        kind=kind,
        sources=paths,
        out=Path(name) if is_path(name) else checkpoints_folder() / name,
        settings=settings,
        parent=base if parent in (None, "scratch") else find_checkpoint(parent),
        parent_by_default=base is not None,
        resume=bool(options.get("resume")),
        force=bool(options.get("force")),
        plan_only=bool(options.get("plan")),
        tensorboard=bool(options.get("tensorboard")),
        started=started,
    )
