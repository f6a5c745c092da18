"""One training step of the same shape by mychat and by transformers' Qwen3 with AdamW, in turn; prints the ratio.

Usage: python bench/train_speed.py [SIZE] [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from mychat.config import PRESETS, TrainSettings
from mychat.model.batch import Rows
from mychat.model.families import config_to_hf
from mychat.model.gpt import GPT
from mychat.model.host import autocast, keep_heap, pick_precision
from mychat.train.loop import Progress, Run, train_step
from mychat.train.optimizer import SplitOptimizer

ROWS, LENGTH, VOCABULARY = 8, 256, 4096


def main(size: str = "micro", rounds: str = "15") -> None:
    keep_heap()
    config = PRESETS[size].model(VOCABULARY, LENGTH)
    precision = pick_precision("auto", "cpu")
    settings = TrainSettings()
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (ROWS, LENGTH + 1)).astype(np.int32)
    rows = Rows(ids, np.ones_like(ids, np.bool_), np.zeros_like(ids, np.int16))
    model = GPT(config)
    model.init_weights(torch.Generator().manual_seed(0))
    run = Run(model, SplitOptimizer(model, settings), None, settings, "cpu", precision, {}, rows, Progress(), {})  # type: ignore[arg-type]
    peer = Qwen3ForCausalLM(Qwen3Config(**config_to_hf(config, "float32", {"bos": 0, "end": 1, "pad": 2}))).train()
    adamw = torch.optim.AdamW(peer.parameters(), fused=True)
    labels = torch.from_numpy(ids).long()
    ours, theirs = [], []
    for _ in range(int(rounds) + 3):
        started = time.perf_counter()
        train_step(run, rows, np.arange(ROWS), 1.0)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        with autocast("cpu", precision):
            loss = peer(labels[:, :-1], labels=labels[:, :-1]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        theirs.append(time.perf_counter() - started)
    ours, theirs = ours[3:], theirs[3:]
    tokens = ROWS * LENGTH
    ratio = statistics.median(other / one for one, other in zip(ours, theirs, strict=True))
    print(f"mychat (Muon + AdamW, {precision})   {tokens / statistics.median(ours):8.0f} tokens/s")
    print(f"transformers (AdamW, {precision})    {tokens / statistics.median(theirs):8.0f} tokens/s")
    print(f"ratio                        {ratio:8.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
