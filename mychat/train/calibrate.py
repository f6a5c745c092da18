"""Find how this machine runs a recipe fastest, and within its memory, by real steps at a rate of zero."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mychat.config import ModelConfig
from mychat.errors import TrainingError
from mychat.model.batch import Rows
from mychat.model.gpt import GPT
from mychat.model.host import autocast, available_bytes, wait_for
from mychat.train.loop import Run, train_step
from mychat.train.network import compile_layers, uncompile_layers
from mychat.train.setup import Setup

COMPILE_PAYS_SECONDS = 150.0
"""Compiling takes 9 to 15 s, 3 to 9 when torch has it in its cache, and makes steps 1.1 to 1.25 times as fast
(docs/log.md)."""
TIMED_SHARE = 0.03
"""Of the budget, for the final timing: the machine's speed wavers, and the plan trusts this."""
WARM_STEPS, TRIAL_STEPS, FEWEST_TIMED, MOST_TIMED = 1, 3, 6, 400
STATE_BYTES_PER_WEIGHT = 20
"""Weight, gradient, two moments at most, the best so far; fp32 each."""
MEMORY_SHARE, SHARD_SHARE = 0.8, 0.5
ROW_SLACK = 1.5
"""The backward pass makes tensors of its own beside those that were kept."""


def calibrate(run: Run, seconds: float) -> Setup:
    """Time real steps under one set-up after another and return the fastest, with what a step takes.

    `seconds` is what the run has for training. Leaves the weights as they were and the optimizer fresh.
    """
    rows, threads = run.train["all"], torch.get_num_threads()
    best = _timed(run, rows, run.setup, TRIAL_STEPS)
    for candidate in _candidates(run, best):
        trial = _timed(run, rows, candidate, TRIAL_STEPS)
        if trial.step_seconds < 0.95 * best.step_seconds:
            best = trial
        torch.set_num_threads(best.threads or threads)
    wanted = run.settings.compile
    if wanted == "on" or (wanted == "auto" and seconds >= COMPILE_PAYS_SECONDS and not best.sharded):
        best = compile_if_possible(run, best)
    steps = int(TIMED_SHARE * seconds / best.step_seconds)
    best = _timed(run, rows, best, max(FEWEST_TIMED, min(MOST_TIMED, steps)))
    started = time.perf_counter()
    run.validate()
    elapsed = run.world.agree(time.perf_counter() - started)
    run.optimizer.forget()
    return replace(best, validation_seconds=elapsed)


def _candidates(run: Run, setup: Setup) -> Iterator[Setup]:
    """What might be faster than the set-up at hand; each is tried against the best so far."""
    threads = torch.get_num_threads()
    if run.device == "cpu" and run.settings.threads is None and threads >= 4 and run.world.size == 1:
        yield replace(setup, threads=threads // 2)  # fewer, where cores share their units or differ in speed
    if run.device == "cpu" and run.settings.micro_batch is None and setup.micro_batch >= 8:
        yield replace(setup, micro_batch=setup.micro_batch // 2)


def compile_if_possible(run: Run, eager: Setup) -> Setup:
    """Compile; without a compiler, or where `auto` gains nothing by it, stay as it is. Leaves the optimizer fresh."""
    gpt = gpt_of(run)
    compile_layers(gpt)
    try:
        compiled = _timed(run, run.train["all"], replace(eager, compiled=True), TRIAL_STEPS)
        good = run.settings.compile == "on" or compiled.step_seconds < 0.97 * eager.step_seconds
    except Exception:  # what a missing or broken compiler raises is not specified
        compiled, good = eager, False
    run.optimizer.forget()
    if run.world.agree(good):
        return compiled
    uncompile_layers(gpt)
    return eager


def gpt_of(run: Run) -> GPT:
    """Return the network inside its wrappers."""
    return next(module for module in run.network.modules() if isinstance(module, GPT))


def _timed(run: Run, rows: Rows, setup: Setup, steps: int) -> Setup:
    """Take steps under a set-up; return it with their mean time, the slowest of the processes counting."""
    run.setup = setup
    use_threads(setup)
    run.network.train()
    batch = run.batch_rows
    for step in range(WARM_STEPS + steps):
        if step == WARM_STEPS:
            wait_for(run.device)
            started = time.perf_counter()
        index = np.arange(step * batch, (step + 1) * batch) % len(rows)
        float(train_step(run, rows, index, 0.0)[0])
    wait_for(run.device)
    seconds = max(run.world.gather_values(time.perf_counter() - started))
    return replace(setup, step_seconds=seconds / steps)


def use_threads(setup: Setup) -> None:
    """Let torch use as many threads as the set-up says."""
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)


# --- memory


def fit_micro_batch(run: Run) -> Setup:
    """Halve the micro batch until a step fits in the memory that is there; the batch stays as it is.

    Raises: TrainingError when not even one row fits.
    """
    available = MEMORY_SHARE * min(run.world.gather_values(float(available_bytes(run.device))))
    states = STATE_BYTES_PER_WEIGHT * run.config.count_parameters() / (run.world.size if run.setup.sharded else 1)
    a_row = _row_bytes(run)
    rows = run.setup.micro_batch
    while rows > 1 and states + rows * a_row > available:
        rows //= 2
    if states + rows * a_row > available:
        raise TrainingError(
            f"too little memory: {run.config.count_parameters() / 1e6:.0f} M parameters and one row of "
            f"{run.config.context_length} tokens need {(states + a_row) / 1e9:.1f} GB, {available / 1e9:.1f} GB may be "
            "taken; choose a smaller --size or context_length"
        )
    return replace(run.setup, micro_batch=rows)


def needs_sharding(config: ModelConfig, device: str) -> bool:
    """Whether a process cannot hold weights, gradients and optimizer state of its own."""
    return STATE_BYTES_PER_WEIGHT * config.count_parameters() > SHARD_SHARE * available_bytes(device)


def _row_bytes(run: Run) -> float:
    """Measure what the forward pass of one row keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    run.network.train()
    with autocast(run.device, run.setup.precision), torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
        run.network(run.train["all"].take([0], run.device))
    weights = 4 * run.config.count_parameters()  # kept too, but they are no row's
    return ROW_SLACK * max(0, sum(kept.values()) - weights)
