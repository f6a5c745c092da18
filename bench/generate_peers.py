"""Generation of the same weights by mychat, transformers and llama.cpp, in one run: decoding, prefill, memory.

Usage: python -m bench.generate_peers [micro mini small m135] [--rounds 5] [--tokens 128]

Random weights, rounded to bf16; greedy; one sequence. llama.cpp through llama-cpp-python, from a GGUF file of the same
weights in f32, bf16 and q8_0, with one thread and with all. Without it, or without `gguf`, it is left out. Prints
tokens per second (medians, the programs in turn) and ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.gguf_file import random_weights, write_gguf
from mychat.config import PRESETS, ModelConfig
from mychat.generate.decoder import Decoder
from mychat.generate.stream import Stream
from mychat.model.families import config_to_hf
from mychat.model.gpt import GPT
from mychat.model.host import keep_heap

M135 = ModelConfig(vocab_size=49_152, context_length=2048, n_layer=30, n_head=9, n_kv_head=3, n_embd=576, n_ff=1536)
PROMPT, LONG = 32, 256
REST_SECONDS = 0.03
"""Before each turn: the threads of the one before may still be spinning."""
Contender = Callable[[list[int], int], tuple[list[int], float, float]]
"""Prompt and number of ids -> the ids, seconds of the prompt, seconds of the rest."""


def shape_of(name: str) -> ModelConfig:
    return M135 if name == "m135" else PRESETS[name].model(min(8192, PRESETS[name].vocab_size), 1024)


def ours(config: ModelConfig, weights: dict[str, torch.Tensor], dtype: torch.dtype, threads: int) -> Contender:
    with torch.device("meta"):
        model = GPT(config)
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()}, assign=True)
    torch.set_num_threads(threads)
    stream = Stream(Decoder(model.eval()), config.context_length)
    stream.decoder.settle()

    def run(prompt: list[int], count: int) -> tuple[list[int], float, float]:
        torch.set_num_threads(threads)
        stream.rewind(0)
        started = time.perf_counter()
        said = [int(stream.decoder.logits(stream.feed(prompt)[-1:]).argmax())]
        first = time.perf_counter()
        while len(said) < count:
            said.append(int(stream.decoder.logits(stream.feed(said[-1:])).argmax()))
        return said, first - started, time.perf_counter() - first

    return run


def transformers(config: ModelConfig, weights: dict[str, torch.Tensor], dtype: torch.dtype, threads: int) -> Contender:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    told = config_to_hf(config, "float32", {"bos": 0, "end": 0, "pad": 0})
    model = Qwen3ForCausalLM(Qwen3Config(**{key: value for key, value in told.items() if key != "architectures"}))
    model.load_state_dict({f"model.{name}": tensor for name, tensor in weights.items()}, strict=False)
    model.tie_weights()
    model = model.to(dtype).eval()

    def run(prompt: list[int], count: int) -> tuple[list[int], float, float]:
        torch.set_num_threads(threads)
        ids = torch.tensor([prompt])
        seconds = []
        for most in (1, count):
            started = time.perf_counter()
            with torch.inference_mode():
                said = model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, min_new_tokens=most,
                    do_sample=False, eos_token_id=None, pad_token_id=0,
                )  # fmt: skip
            seconds.append(time.perf_counter() - started)
        return said[0, len(prompt) :].tolist(), seconds[0], seconds[1] - seconds[0]

    return run


def llama(path: Path, threads: int) -> Contender:
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads,
                            verbose=False, seed=0)  # fmt: skip
    vocab = model.n_vocab()

    def best() -> int:
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        return int(np.ctypeslib.as_array(logits, (vocab,)).argmax())

    def run(prompt: list[int], count: int) -> tuple[list[int], float, float]:
        model.reset()
        started = time.perf_counter()
        model.eval(prompt)
        said = [best()]
        first = time.perf_counter()
        while len(said) < count:
            model.eval(said[-1:])
            said.append(best())
        return said, first - started, time.perf_counter() - first

    return run


def contenders(config: ModelConfig, folder: Path) -> dict[str, Contender]:
    weights = random_weights(config)
    most = torch.get_num_threads()
    found: dict[str, Contender] = {}
    for threads in sorted({1, most}):
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            found[f"mychat {name}, {threads} thread(s)"] = ours(config, weights, dtype, threads)
            found[f"transformers {name}, {threads} thread(s)"] = transformers(config, weights, dtype, threads)
        try:
            for kind in ("f32", "bf16", "q8_0"):
                path = folder / f"{kind}.gguf"
                if not path.exists():
                    write_gguf(config, weights, path, kind)
                found[f"llama.cpp {kind}, {threads} thread(s)"] = llama(path, threads)
        except ImportError as error:
            print(f"llama.cpp is left out: {error}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("sizes", nargs="*", default=["micro", "mini", "small"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    keep_heap()
    rng = np.random.default_rng(0)
    for size in given.sizes:
        config = shape_of(size)
        prompt = rng.integers(0, config.vocab_size, LONG).tolist()
        with tempfile.TemporaryDirectory() as folder:
            runs = contenders(config, Path(folder))
            decode: dict[str, list[float]] = {name: [] for name in runs}
            prefill: dict[str, list[float]] = {name: [] for name in runs}
            texts: dict[str, list[int]] = {}
            for _ in range(given.rounds):
                for name, run in runs.items():
                    time.sleep(REST_SECONDS)
                    texts[name], _, seconds = run(prompt[:PROMPT], given.tokens)
                    decode[name].append((given.tokens - 1) / seconds)
                    prefill[name].append(LONG / run(prompt, 1)[1])
        print(f"\n{size}: {config.count_parameters() / 1e6:.1f} M parameters")
        best = next(iter(texts.values()))
        for name in sorted(runs, key=lambda one: -statistics.median(decode[one])):
            agree = next((at for at, (a, b) in enumerate(zip(best, texts[name], strict=True)) if a != b), len(best))
            print(f"  {name:36} {statistics.median(decode[name]):8,.0f} tokens/s decoding"
                  f" {statistics.median(prefill[name]):9,.0f} prefill   first {agree} ids as fp32")  # fmt: skip


if __name__ == "__main__":
    main()
