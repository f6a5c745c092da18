"""The processes that train together, as `torchrun` starts them; one process is a world of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mychat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class World:
    """This process's place among all. Rank 0 writes and draws."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes and draws."""
        return self.rank == 0

    def device(self, picked: str) -> str:
        """Give each process of a machine its own GPU."""
        return f"cuda:{self.local_rank}" if picked == "cuda" and self.size > 1 else picked

    def sum(self, values: list[float], device: str) -> list[float]:
        """Add up each value over all processes."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float32 if device == "mps" else torch.float64, device=device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]

    def gather_values(self, value: float) -> list[float]:
        """Return each process's value, by rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def agree(self, value: Any) -> Any:
        """Return what rank 0 has, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, share: Tensor) -> Tensor:
        """Put the equal shares (n, ...) of all processes end to end: (size * n, ...)."""
        if self.size == 1:
            return share
        shares = [torch.empty_like(share) for _ in range(self.size)]
        dist.all_gather(shares, share.contiguous())
        return torch.cat(shares)


def draws() -> bool:
    """Whether this process is the one that writes and draws, before it has joined the others."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1 or int(os.environ["RANK"]) == 0


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Reads RANK, WORLD_SIZE and LOCAL_RANK. Raises: ConfigError when they cannot meet.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    rank, local_rank = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(local_rank)
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the {size} processes cannot meet ({error}); start them with torchrun") from None
    try:
        yield World(rank, size, local_rank)
    finally:
        dist.destroy_process_group()
