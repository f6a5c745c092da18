"""The network as training runs it: with its loss, compiled or not, on one process or many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from mychat.model import gpt as network
from mychat.model.attention import block_attention
from mychat.model.batch import Batch, scored_hidden, scored_losses
from mychat.model.gpt import GPT
from mychat.model.loss import summed_loss
from mychat.train.optimizer import SplitOptimizer
from mychat.train.world import World

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
_PREFIX = "gpt."


class ScoredGPT(nn.Module):
    """A GPT whose forward pass ends in the loss: all of its weights are used inside, as sharding wants it."""

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt = gpt

    def forward(self, batch: Batch) -> Tensor:
        """Return the losses of the scored ids in nats: in training their sum, (); else each, (n,), without gradient."""
        if not self.training:
            return scored_losses(self.gpt, batch)
        return summed_loss(scored_hidden(self.gpt, batch), self.gpt.embed_tokens.weight, batch.targets)


def compile_layers(gpt: GPT) -> None:
    """Compile each layer on its own: they are alike, so it takes as long as one. The last norm too."""
    # Not as a decorator: that would load the compiler, seconds of it, wherever the network is imported.
    network.block_attention = torch.compiler.disable(block_attention)  # type: ignore[attr-defined,no-untyped-call]
    for part in (*gpt.layers, gpt.norm):
        part.compile(dynamic=False)


def uncompile_layers(gpt: GPT) -> None:
    """Take `compile_layers` back."""
    for part in (*gpt.layers, gpt.norm):
        part._compiled_call_impl = None


@contextmanager
def eager() -> Iterator[None]:
    """Run compiled modules as they are written: other shapes than training's are not worth a compilation."""
    with torch.compiler.set_stance("force_eager"):
        yield


def spread(scored: ScoredGPT, world: World, device: str, *, sharded: bool) -> nn.Module:
    """Wrap for a world: DDP holds the model on every process, FSDP2 a part on each."""
    if world.size == 1:
        return scored
    if not sharded:
        return DistributedDataParallel(scored, gradient_as_bucket_view=True)
    mesh = init_device_mesh(device.split(":")[0], (world.size,))
    for layer in scored.gpt.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(scored, mesh=mesh)
    return scored


def full_weights(network: nn.Module) -> dict[str, Tensor]:
    """Copy the whole weights to the CPU, on rank 0; every process must call it."""
    weights: dict[str, Any] = get_model_state_dict(network, options=_FULL)
    return {name.removeprefix(_PREFIX): tensor.clone() for name, tensor in weights.items()}


def _full_in() -> StateDictOptions:
    return StateDictOptions(full_state_dict=True, broadcast_from_rank0=dist.is_initialized())


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put rank 0's weights into every process; every process must call it."""
    named: dict[str, Any] = {_PREFIX + name: tensor for name, tensor in weights.items()}
    set_model_state_dict(network, named, options=_full_in())


def optimizer_tensors(network: nn.Module, optimizer: SplitOptimizer) -> dict[str, Tensor]:
    """Copy the whole optimizer state to the CPU, on rank 0, flat: `<parameter>/<entry>`."""
    state: Any = get_optimizer_state_dict(network, optimizer.both, options=_FULL).get("state", {})
    return {
        f"{name.removeprefix(_PREFIX)}/{key}": value.clone()
        for name, entries in state.items()
        for key, value in entries.items()
    }


def load_optimizer_tensors(network: nn.Module, optimizer: SplitOptimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take back what `optimizer_tensors` gave on rank 0; every process must call it."""
    state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(_PREFIX + parameter, {})[key] = tensor
    whole: dict[str, Any] = get_optimizer_state_dict(network, optimizer.both, options=_FULL)
    whole["state"] = state
    set_optimizer_state_dict(network, optimizer.both, whole, options=_full_in())
