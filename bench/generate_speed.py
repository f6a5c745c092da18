"""A checkpoint's replies by mychat (drafting or not), transformers and llama.cpp, in turn, greedy.

Usage: python -m bench.generate_speed [CHECKPOINT] [--rounds 3] [--questions 60]

The questions are those of its persona that training never saw. Prints tokens of the reply by the seconds from the
question to the reply's end, medians over the replies. llama.cpp runs the same weights as f32, bf16 and q8_0, with one
thread and with all; without llama-cpp-python or `gguf` it is left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.generate_peers import REST_SECONDS, Contender, llama, transformers
from bench.speculation import held_out_questions
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyEnd
from mychat.generate.engine import Engine
from mychat.model.checkpoint import Checkpoint, load_checkpoint
from mychat.model.host import keep_heap
from mychat.model.record import find_checkpoint

BATCH = 32


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and as ids."""

    messages: list[Message]
    ids: list[int]


Speaker = Callable[[Question, int], tuple[list[int], float]]
"""A question, rendered, and the number of ids of its reply -> the ids, seconds."""


def ours(checkpoint: Checkpoint, *, speculate: bool = True, native: bool = True) -> Speaker:
    engine = Engine(checkpoint, speculate=speculate, native=native)
    engine.decoder.settle()

    def speak(question: Question, count: int) -> tuple[list[int], float]:
        started = time.perf_counter()
        *_, end = engine.reply(question.messages, SamplingOptions(temperature=0, max_new_tokens=count))
        assert isinstance(end, ReplyEnd)
        return list(end.ids), time.perf_counter() - started

    return speak


def peer(run: Contender) -> Speaker:
    def speak(question: Question, count: int) -> tuple[list[int], float]:
        said, first, rest = run(question.ids, count)
        return said, first + rest

    return speak


def speakers(checkpoint: Checkpoint, folder: Path) -> dict[str, Speaker]:
    config, weights = checkpoint.config, {name: tensor.float() for name, tensor in checkpoint.weights.items()}
    most = torch.get_num_threads()
    found = {
        "mychat": ours(checkpoint),
        "mychat, no drafts": ours(checkpoint, speculate=False),
        "mychat, torch alone": ours(checkpoint, native=False),
        "mychat, torch alone, no drafts": ours(checkpoint, speculate=False, native=False),
    }
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        found[f"transformers {name}"] = peer(transformers(config, weights, dtype, most))
    try:
        from bench.gguf_file import write_gguf

        for kind in ("f32", "bf16", "q8_0"):
            write_gguf(config, weights, folder / f"{kind}.gguf", kind)
            for threads in sorted({1, most}):
                found[f"llama.cpp {kind}, {threads} thread(s)"] = peer(llama(folder / f"{kind}.gguf", threads))
    except ImportError as error:
        print(f"llama.cpp is left out: {error}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint", nargs="?", default="milo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=60)
    given = parser.parse_args()
    keep_heap()
    checkpoint = load_checkpoint(find_checkpoint(given.checkpoint))
    engine = Engine(checkpoint)
    every = held_out_questions(checkpoint)
    asked = every[:: max(1, len(every) // given.questions)]
    questions = [Question(messages, engine.prompt_ids(messages)) for messages in asked]
    lengths = [len(ids) or 1 for ids in engine.replies([one.ids for one in questions], SamplingOptions(temperature=0))]
    with tempfile.TemporaryDirectory() as folder:
        found = speakers(checkpoint, Path(folder))
        speeds: dict[str, list[float]] = {name: [] for name in found}
        same = dict.fromkeys(found, 0)
        for _ in range(given.rounds):
            for question, length in zip(questions, lengths, strict=True):
                said = {}
                for name, speak in found.items():
                    time.sleep(REST_SECONDS)
                    said[name], seconds = speak(question, length)
                    speeds[name].append(length / seconds)
                    same[name] += said[name] == said["mychat"]
    first = statistics.median(speeds["mychat"])
    print(f"{len(questions)} replies of {statistics.median(lengths):.0f} tokens, {given.rounds} rounds")
    for name in sorted(found, key=lambda one: -statistics.median(speeds[one])):
        speed = statistics.median(speeds[name])
        share = same[name] / len(speeds[name])
        print(f"  {name:32} {speed:8,.0f} tokens/s   mychat is {first / speed:5.2f} times as fast   same {share:4.0%}")
    abreast(checkpoint, questions[:BATCH], given.rounds)


def abreast(checkpoint: Checkpoint, questions: list[Question], rounds: int) -> None:
    """Time the questions answered all at once and one after the other."""
    engine, options = Engine(checkpoint), SamplingOptions(temperature=0)
    engine.decoder.settle()
    alone = ours(checkpoint), ours(checkpoint, speculate=False)
    found: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        started = time.perf_counter()
        said = engine.replies([one.ids for one in questions], options)
        seconds = [time.perf_counter() - started]
        seconds += [
            sum(speak(one, len(ids) or 1)[1] for one, ids in zip(questions, said, strict=True)) for speak in alone
        ]
        tokens = sum(map(len, said))
        for speeds, taken in zip(found, seconds, strict=True):
            speeds.append(tokens / taken)
    together, one_by_one, no_drafts = map(statistics.median, found)
    print(f"{len(questions)} questions: {together:,.0f} tokens/s all at once, {one_by_one:,.0f} one after the other,"
          f" {no_drafts:,.0f} so without drafts")  # fmt: skip


if __name__ == "__main__":
    main()
