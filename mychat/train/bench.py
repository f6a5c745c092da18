"""This machine's speed against its limit: matrix products and memory, then training and generation of each size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product

import numpy as np
import torch

from mychat.config import ModelConfig, SamplingOptions, TrainSettings
from mychat.corpus.persona import Persona
from mychat.errors import ConfigError
from mychat.events import (
    BenchEvent,
    BenchStarted,
    GenerationMeasured,
    LimitMeasured,
    Notice,
    TrainingMeasured,
)
from mychat.generate.engine import Engine
from mychat.model.batch import Rows
from mychat.model.checkpoint import Checkpoint
from mychat.model.gpt import GPT
from mychat.model.host import keep_heap, matmul_flops, pick_device, pick_precision, wait_for
from mychat.tokenizer.bpe import Tokenizer, train_tokenizer
from mychat.train.calibrate import fit_micro_batch, gpt_of
from mychat.train.loop import Run, train_step
from mychat.train.network import ScoredGPT, compile_layers, full_weights
from mychat.train.optimizer import SplitOptimizer
from mychat.train.recipe import MOST_CHARS, choose_recipe
from mychat.train.setup import Setup, flops_per_token
from mychat.train.world import World

DEFAULT_SIZES = ("nano", "micro", "mini")
LONGEST_SECONDS = 60.0
"""A size whose fewest steps take longer is measured only when it is named."""
LOW_MFU = 0.25
"""For that estimate."""
PEAK_WIDTH = 1024
COPY_BYTES = 1 << 28
"""Beyond any cache."""
WARM, FEWEST = 2, 3
"""Acts before the clock starts, and acts that are timed at least."""
REPEATS_GPU = 10
"""Acts between two waits for the device, so that the wait itself weighs little."""
PROMPT_WORDS, REPLY_TOKENS = 16, 96


def bench(sizes: Sequence[str], *, seconds: float, device: str, compiled: bool) -> Iterator[BenchEvent]:
    """Measure for about `seconds` a figure, yielding each as it is found; no sizes: those this machine can bear.

    Raises: ConfigError for an unknown size or device, TrainingError when a size does not fit in memory.
    """
    if seconds <= 0:
        raise ConfigError(f"seconds {seconds:g} must be above 0")
    settings = [TrainSettings(size=size) for size in sizes or DEFAULT_SIZES]
    device = pick_device(device)
    keep_heap()
    yield BenchStarted(device, torch.get_num_threads(), seconds)
    limits = {}
    for limit in _limits(device, seconds):
        limits[limit.name] = limit.value
        yield limit
    precision = pick_precision("auto", device)
    peak = limits[f"matmul_{precision}_flops"]
    for one in settings:
        estimate = estimate_seconds(one, peak)
        if not sizes and estimate > LONGEST_SECONDS:
            yield Notice(f"{one.size}: left out, {WARM + FEWEST} steps would take about {estimate:,.0f} s; "
                         f"--size {one.size} measures it all the same")  # fmt: skip
            continue
        run = random_run(one, device, precision, peak)
        yield _measure_training(run, seconds)
        if compiled:
            yield _measure_compiled(run, seconds)
        yield _measure_generation(run, seconds, limits["memory_bandwidth_bytes_per_second"])


def estimate_seconds(settings: TrainSettings, peak_flops: float) -> float:
    """Estimate the fewest steps that are taken to time a size."""
    recipe = choose_recipe(settings, MOST_CHARS, peak_flops)
    flops = recipe.batch_tokens * flops_per_token(recipe.shape(recipe.vocab_size))
    return (WARM + FEWEST) * flops / (LOW_MFU * peak_flops)


# --- the machine


def _limits(device: str, seconds: float) -> Iterator[LimitMeasured]:
    for precision in ("fp32",) if device == "mps" else ("fp32", "bf16"):
        yield LimitMeasured(f"matmul_{precision}_flops", peak_flops(device, precision, seconds))
    yield LimitMeasured("memory_bandwidth_bytes_per_second", _memory_bandwidth(device, seconds))


def peak_flops(device: str, precision: str, seconds: float) -> float:
    """Return the best that matrix products reach within so many seconds, in FLOP/s."""
    best, ends = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < ends or not best:
        best = max(best, matmul_flops(device, precision, PEAK_WIDTH, trials=FEWEST))
    return best


def _memory_bandwidth(device: str, seconds: float) -> float:
    """Copy a large tensor again and again. Source: McCalpin 1995, STREAM (Copy)."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / min(_time(lambda: target.copy_(source), device, seconds))


def _time(act: Callable[[], object], device: str, seconds: float) -> list[float]:
    """Time an act again and again for so many seconds, after a warm-up; return what each took."""
    repeats = 1 if device == "cpu" else REPEATS_GPU
    for _ in range(WARM):
        act()
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while len(taken) < FEWEST or time.perf_counter() < ends:
        wait_for(device)
        started = time.perf_counter()
        for _ in range(repeats):
            act()
        wait_for(device)
        taken.append((time.perf_counter() - started) / repeats)
    return taken


# --- the sizes


def random_run(settings: TrainSettings, device: str, precision: str, peak: float) -> Run:
    """Set up in memory what `mychat train` would for these settings, with random ids for words and one step's rows.

    Raises: TrainingError when it does not fit in memory.
    """
    recipe = choose_recipe(settings, MOST_CHARS, peak)
    tokenizer = _made_up_tokenizer(recipe.vocab_size)
    config = recipe.shape(tokenizer.vocab_size)
    gpt = GPT(config, recipe.dropout)
    gpt.init_weights(torch.Generator().manual_seed(settings.seed))
    network, world = ScoredGPT(gpt.to(device)).train(), World()
    optimizer = SplitOptimizer(network, recipe, precision, world)
    rows = random_rows(config, max(1, recipe.batch_tokens // recipe.context_length), settings.seed)
    setup = Setup(precision, micro_batch=len(rows), peak_flops=peak)
    run = Run(network, optimizer, config, tokenizer, settings, recipe, setup, device, world, {"all": rows}, rows)
    run.setup = fit_micro_batch(run)
    return run


def random_rows(config: ModelConfig, count: int, seed: int) -> Rows:
    """Draw rows of ids, every one scored."""
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, (count, config.context_length + 1))
    return Rows(ids.astype(np.uint16), np.ones(ids.shape, np.bool_), np.zeros(ids.shape, np.int16))


def _made_up_words() -> Iterator[str]:
    return ("".join(letters) for letters in product("etaoinsrhl", repeat=5))


def _made_up_tokenizer(vocab_size: int) -> Tokenizer:
    """Learn so many ids: every word stands there twice, so that there is always a pair to merge."""
    return train_tokenizer([f" {word} {word}" for word in islice(_made_up_words(), vocab_size)], vocab_size)


def _measure_training(run: Run, seconds: float) -> TrainingMeasured:
    rows = run.train["all"]
    index = np.arange(len(rows))
    taken = _time(lambda: train_step(run, rows, index, 1.0), run.device, seconds)
    speed = len(rows) * run.config.context_length / statistics.median(taken)
    return TrainingMeasured(
        run.recipe.size, run.config.count_parameters(), run.config.context_length, run.recipe.batch_tokens,
        run.setup.precision, run.setup.compiled, flops_per_token(run.config), speed,
        run.setup.mfu(speed, run.config, run.world.size),
    )  # fmt: skip


def _measure_compiled(run: Run, seconds: float) -> TrainingMeasured | Notice:
    compile_layers(gpt_of(run))
    run.setup = replace(run.setup, compiled=True)
    try:
        return _measure_training(run, seconds)
    except Exception as error:  # what a missing or broken compiler raises is not specified
        why = type(error).__name__
        return Notice(f"{run.recipe.size}: cannot be compiled here ({why}); torch needs a C++ compiler such as g++")


def _measure_generation(run: Run, seconds: float, bandwidth: float) -> GenerationMeasured:
    weights = {name: weight.bfloat16().float() for name, weight in full_weights(run.network).items()}  # as if saved
    weights["embed_tokens.weight"][run.tokenizer.marker("<|end|>")] = 0.0  # never the likeliest: no reply ends early
    checkpoint = Checkpoint(run.config, weights, run.tokenizer, Persona("bench", "Bench"))
    engine = Engine(checkpoint, run.device, speculate=False)
    engine.decoder.settle()
    options = SamplingOptions(temperature=0, max_new_tokens=REPLY_TOKENS, seed=0)
    prompt = " ".join(islice(_made_up_words(), PROMPT_WORDS))
    taken = _time(lambda: list(engine.complete(prompt, options)), run.device, seconds)
    speed = REPLY_TOKENS / statistics.median(taken)
    parameters, each = run.config.count_parameters(), engine.decoder.bytes_per_weight
    return GenerationMeasured(run.recipe.size, parameters, 8 * each, speed, speed * each * parameters / bandwidth)
