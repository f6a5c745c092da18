"""Training steps by mychat and by two peers, in turn, on the same rows with the same threads; CPU only.

Usage: python bench/train_peers.py [--size mini] [--rows 16] [--rounds 4] [--json]
Needs: pip install 'mychat[bench]' (transformers and accelerate)

- mychat: Muon and AdamW, in the precision it picks here; eager, and with its layers compiled.
- transformers: Trainer with Qwen3ForCausalLM of the same shape and fused AdamW. A step is timed from its
  on_step_begin to its on_step_end callback, so fetching the batch is not counted against it.
- GPT-2: a plain loop in the manner of the teaching repositories, as many weights within 5%, fused AdamW.

Every step updates the weights once on `--rows` rows. The peers run in fp32 and under bf16 autocast; mychat's setting
of the memory allocator serves all. A ratio is the median over rounds of mychat's speed over the peer's in that round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PrinterCallback, Qwen3Config, Qwen3ForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from mychat.config import PRESETS, ModelConfig, TrainSettings
from mychat.model.families import config_to_hf
from mychat.model.host import autocast, keep_heap, matmul_flops, pick_precision
from mychat.train.bench import PEAK_WIDTH, random_run
from mychat.train.calibrate import gpt_of
from mychat.train.loop import Run, train_step
from mychat.train.network import compile_layers
from mychat.train.setup import flops_per_token

STEPS = 2
"""Of one contender at a time."""
SLOW_ROUNDS = 1
"""In which contenders take part whose precision is not the faster one here."""
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.1, 1.0


@dataclass(slots=True)
class Contender:
    """One way to train, and what its steps took."""

    name: str
    precision: str
    parameters: int
    flops_per_token: float
    burst: Callable[[int], list[float]]
    """Takes so many steps and returns the seconds of each."""
    seconds: list[float] = field(default_factory=list)
    """Median step of each round it took part in."""

    def describe(self, tokens: int, peaks: dict[str, float]) -> dict[str, Any]:
        """Return its figures, by the median round."""
        speed = tokens / statistics.median(self.seconds)
        flops = speed * self.flops_per_token
        return {
            "name": self.name, "precision": self.precision, "parameters": self.parameters,
            "flops_per_token": self.flops_per_token, "training_tokens_per_second": speed,
            "flops_per_second": flops, "mfu": flops / peaks[self.precision], "rounds": len(self.seconds),
        }  # fmt: skip


def main() -> None:
    arguments = _arguments()
    keep_heap()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", module="torch.utils.data|transformers|accelerate")
    peaks = {precision: matmul_flops("cpu", precision, PEAK_WIDTH) for precision in ("fp32", "bf16")}
    fast = pick_precision("auto", "cpu")
    preset = PRESETS[arguments.size]
    settings = TrainSettings(size=arguments.size, batch_tokens=arguments.rows * preset.context_length)
    with TemporaryDirectory() as folder:
        contenders = _contenders(settings, fast, peaks, folder)
        for contender in contenders:
            _say(f"warming up: {contender.name}, {contender.precision}")
            contender.burst(1)
        for number in range(arguments.rounds):
            _say(f"round {number + 1} of {arguments.rounds}")
            for contender in contenders[:: -1 if number % 2 else 1]:  # a drift of the machine's speed cancels out
                if contender.precision == fast or number < SLOW_ROUNDS:
                    contender.seconds.append(statistics.median(contender.burst(STEPS)))
            peaks = {one: max(peak, matmul_flops("cpu", one, PEAK_WIDTH, trials=2)) for one, peak in peaks.items()}
    found = _results(contenders, arguments, preset.context_length, peaks)
    if arguments.json:
        print(json.dumps(found))
    else:
        _print(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--size", choices=list(PRESETS), default="mini")
    parser.add_argument("--rows", type=int, default=16, help="of the size's context length, in a step")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _contenders(settings: TrainSettings, fast: str, peaks: dict[str, float], folder: str) -> list[Contender]:
    eager, compiled = (random_run(settings, "cpu", fast, peaks[fast]) for _ in range(2))
    compile_layers(gpt_of(compiled))
    rows = torch.from_numpy(eager.train["all"].ids.astype(np.int64))
    found = [_mychat("mychat", eager), _mychat("mychat, compiled", compiled)]
    for precision in (fast, "bf16" if fast == "fp32" else "fp32"):
        found.append(_trainer(eager.config, rows, precision, folder))
        found.append(_gpt2(eager.config, rows, precision))
    return found


def _mychat(name: str, run: Run) -> Contender:
    rows = run.train["all"]
    index = np.arange(len(rows))

    def burst(steps: int) -> list[float]:
        taken = []
        for _ in range(steps):
            started = time.perf_counter()
            float(train_step(run, rows, index, 1.0)[0])
            taken.append(time.perf_counter() - started)
        return taken

    return Contender(name, run.setup.precision, run.config.count_parameters(), flops_per_token(run.config), burst)


# --- transformers


class _Stopwatch(TrainerCallback):
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def _trainer(config: ModelConfig, rows: Tensor, precision: str, folder: str) -> Contender:
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**config_to_hf(config, "float32", {"bos": 0, "end": 1, "pad": 2})))
    data = [{"input_ids": row, "labels": row} for row in rows[:, :-1]]
    stopwatch = _Stopwatch()

    def burst(steps: int) -> list[float]:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=len(rows), learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY, max_grad_norm=CLIP_NORM, lr_scheduler_type="constant",
            optim="adamw_torch_fused", bf16=precision == "bf16", use_cpu=True, disable_tqdm=True, report_to="none",
            save_strategy="no", logging_strategy="no",
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=data, callbacks=[stopwatch])
        trainer.remove_callback(PrinterCallback)
        stopwatch.seconds.clear()
        trainer.train()
        return list(stopwatch.seconds)

    return Contender("transformers Trainer", precision, model.num_parameters(), flops_per_token(config), burst)


# --- GPT-2, as it is taught


class _Gpt2Block(nn.Module):
    def __init__(self, width: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = (one.view(B, T, self.n_head, -1).transpose(1, 2) for one in self.qkv(self.norm_1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class _Gpt2(nn.Module):
    def __init__(self, vocab_size: int, context_length: int, n_layer: int, n_head: int, width: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab_size, width), nn.Embedding(context_length, width)
        self.blocks = nn.ModuleList(_Gpt2Block(width, n_head) for _ in range(n_layer))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def _gpt2_shape(config: ModelConfig) -> tuple[int, int, int]:
    """Choose layers, heads and width with as many weights within 5%, as wide as mychat's if that can be."""
    wanted, fits = config.count_parameters(), []
    for n_layer, head_dim, n_head in product(range(1, 2 * config.n_layer), (48, 64), range(1, 2 * config.n_head + 1)):
        width = n_head * head_dim
        count = (12 * width + 13) * width * n_layer + (config.vocab_size + config.context_length + 2) * width
        if abs(count - wanted) <= 0.05 * wanted:
            fits.append((abs(width - config.n_embd), abs(count - wanted), (n_layer, n_head, width)))
    return min(fits)[-1]


def _gpt2(config: ModelConfig, rows: Tensor, precision: str) -> Contender:
    torch.manual_seed(0)
    n_layer, n_head, width = _gpt2_shape(config)
    model = _Gpt2(config.vocab_size, config.context_length, n_layer, n_head, width)
    adamw = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY, fused=True
    )

    def burst(steps: int) -> list[float]:
        taken = []
        for _ in range(steps):
            started = time.perf_counter()
            with autocast("cpu", precision):
                loss = model(rows[:, :-1], rows[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            adamw.step()
            adamw.zero_grad(set_to_none=True)
            loss.item()
            taken.append(time.perf_counter() - started)
        return taken

    parameters = sum(parameter.numel() for parameter in model.parameters())
    multiplied = parameters - model.places.weight.numel()
    flops = 6.0 * multiplied + 6 * n_layer * config.context_length * width
    return Contender(f"GPT-2 loop ({n_layer} x {width})", precision, parameters, flops, burst)


# --- what came of it


def _results(
    contenders: list[Contender], arguments: argparse.Namespace, context_length: int, peaks: dict[str, float]
) -> dict[str, Any]:
    tokens = arguments.rows * context_length
    ours, peers = contenders[:2], contenders[2:]
    return {
        "size": arguments.size, "rows": arguments.rows, "context_length": context_length,
        "threads": torch.get_num_threads(), "matmul_fp32_flops": peaks["fp32"], "matmul_bf16_flops": peaks["bf16"],
        "contenders": [one.describe(tokens, peaks) for one in contenders],
        "ratios": [
            {
                "of": one.name, "to": peer.name, "precision": peer.precision,
                "ratio": statistics.median(b / a for a, b in zip(one.seconds, peer.seconds, strict=False)),
            }
            for one, peer in product(ours, peers)
        ],
    }  # fmt: skip


def _print(found: dict[str, Any]) -> None:
    fp32, bf16 = found["matmul_fp32_flops"] / 1e9, found["matmul_bf16_flops"] / 1e9
    print(f"{found['size']}, {found['rows']} x {found['context_length']} tokens a step, {found['threads']} threads")
    print(f"matrix products: {fp32:.0f} GFLOP/s in fp32, {bf16:.0f} GFLOP/s in bf16")
    if bf16 < fp32:
        print("bf16 is slower than fp32 here: this CPU has no bf16 arithmetic and emulates it; the fair peer is fp32")
    row = "{:24} {:9} {:>10} {:>9} {:>8} {:>12} {:>7}"
    print("\n" + row.format("", "precision", "parameters", "tokens/s", "GFLOP/s", "of the peak", "rounds"))
    for one in found["contenders"]:
        print(row.format(
            one["name"], one["precision"], f"{one['parameters'] / 1e6:.2f} M",
            f"{one['training_tokens_per_second']:,.0f}", f"{one['flops_per_second'] / 1e9:.0f}", f"{one['mfu']:.0%}",
            one["rounds"],
        ))  # fmt: skip
    print()
    for one in found["ratios"]:
        print(f"{one['of']} / {one['to']}, {one['precision']}: {one['ratio']:.2f}")


if __name__ == "__main__":
    main()
