"""How this machine runs a recipe: precision, compiled or not, threads, micro batch; found by timing real steps.

Nothing here decides what is learnt: the batch stays the recipe's, whatever is done at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from mychat.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Setup:
    """How steps are run, and what they take."""

    precision: str
    """`bf16` or `fp32`."""
    compiled: bool = False
    threads: int | None = None
    """Of the CPU; None: as torch chooses."""
    micro_batch: int = 8
    """Rows of one forward pass of one process."""
    sharded: bool = False
    """Each process holds a part of the model (FSDP2)."""
    step_seconds: float = 0.0
    """0 when nothing was timed."""
    validation_seconds: float = 0.0
    """Of a pass over the whole validation side."""
    sample_seconds: float = 0.0
    peak_flops: float = 0.0
    """Of matrix products in this precision, one process; 0 when not measured."""

    def mfu(self, tokens_per_second: float, config: ModelConfig, processes: int) -> float:
        """Share of the peak that the model's arithmetic reaches; 0 when the peak is not known."""
        if not self.peak_flops:
            return 0.0
        return tokens_per_second * flops_per_token(config) / (self.peak_flops * processes)


def flops_per_token(config: ModelConfig) -> float:
    """Count the arithmetic of training on a token: 6 per weight, and causal attention over half the context.

    Source: Kaplan et al. 2020, arXiv:2001.08361; Chowdhery et al. 2022, arXiv:2204.02311 (MFU).
    """
    attention = 6 * config.n_layer * config.context_length * config.n_head * config.head_dim
    return 6.0 * config.count_parameters() + attention
