"""A run's figures for TensorBoard, beside `metrics.jsonl`. Needs `pip install mychat[tensorboard]`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mychat.errors import ConfigError
from mychat.events import Planned, Retimed, Sampled, StageStarted, Stepped, TrainEvent, Validated

LOG_FOLDER = Path("runs")
"""Where TensorBoard looks by custom: `tensorboard --logdir runs`."""


def logged(events: Iterator[TrainEvent], name: str) -> Iterator[TrainEvent]:
    """Hand events on, writing their figures to `runs/<name>/<time>`. Raises: ConfigError when it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("--tensorboard needs tensorboard; type: pip install 'mychat[tensorboard]'") from None
    return _log(events, SummaryWriter(str(LOG_FOLDER / name / time.strftime("%Y%m%d-%H%M%S"))))


def _log(events: Iterator[TrainEvent], writer: Any) -> Iterator[TrainEvent]:
    plan: Planned | None = None
    before = 0
    try:
        for event in events:
            match event:
                case Planned():
                    plan = event
                case Retimed() if plan:
                    plan = replace(plan, steps=event.steps)
                case StageStarted():
                    before = plan.steps_before(event.stage) if plan else 0
                case Stepped():
                    step = before + event.step
                    writer.add_scalar("loss/train", event.loss, step)
                    writer.add_scalar("learning_rate", event.learning_rate, step)
                    writer.add_scalar("grad_norm", event.grad_norm, step)
                    writer.add_scalar("tokens_per_second", event.tokens_per_second, step)
                case Validated():
                    writer.add_scalar("loss/validation", event.loss, before + event.step)
                    writer.add_scalar("bits_per_byte", event.bits_per_byte, before + event.step)
                case Sampled():
                    writer.add_text("sample", f"{event.prompt}\n\n{event.reply}", before + event.step)
                case _:
                    pass
            yield event
    finally:
        writer.close()
