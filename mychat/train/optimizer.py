"""Muon on the matrices, AdamW on embeddings and norms.

Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Loshchilov & Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from mychat.config import TrainSettings
from mychat.model.gpt import GPT


class SplitOptimizer:
    """The two optimizers as one: step, scale the rate, put the state out and in by parameter name."""

    def __init__(self, model: GPT, settings: TrainSettings) -> None:
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        matrices = [parameter for parameter, name in self.names.items() if is_matrix(name, parameter)]
        others = [parameter for parameter, name in self.names.items() if not is_matrix(name, parameter)]
        self.parameters = [*matrices, *others]
        self.clip_norm = settings.clip_norm
        embeddings = [parameter for parameter in others if parameter.dim() == 2]
        norms = [parameter for parameter in others if parameter.dim() != 2]
        groups = [{"params": embeddings, "weight_decay": settings.weight_decay}, {"params": norms, "weight_decay": 0.0}]
        self.muon = Muon(matrices, lr=settings.matrix_learning_rate, weight_decay=settings.weight_decay)
        self.adamw = AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=True)
        self.base_rates = [(group, float(group["lr"])) for one in (self.muon, self.adamw) for group in one.param_groups]

    def step(self, rate_share: float) -> float:
        """Clip, update at this share of the full rate, clear; return the gradient norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        for group, rate in self.base_rates:
            group["lr"] = rate * rate_share
        self.muon.step()  # type: ignore[no-untyped-call]
        self.adamw.step()
        for parameter in self.parameters:
            parameter.grad = None
        return float(norm)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the whole state, flat: `<parameter>/<entry>`."""
        return {
            f"{self.names[parameter]}/{key}": value.detach().clone()
            for optimizer in self._both()
            for parameter, state in optimizer.state.items()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""
        owner = {parameter: optimizer for optimizer in self._both() for parameter in _parameters(optimizer)}
        for parameter, name in self.names.items():
            for key, value in tensors.items():
                if key.rpartition("/")[0] == name:
                    owner[parameter].state[parameter][key.rpartition("/")[2]] = value.to(parameter.device, copy=True)

    def _both(self) -> tuple[Optimizer, Optimizer]:
        return self.muon, self.adamw


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon updates it: a weight between hidden layers, not the embedding."""
    return parameter.dim() == 2 and "embed_tokens" not in name


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
