"""Everyday dialogue against the clock: pretrain on Synthetic-Persona-Chat, bits per byte on its validation file.

Usage: python bench/spc.py FOLDER_WITH_SPC MINUTES [setting=value ...]
       python bench/spc.py FOLDER_WITH_SPC OUT.jsonl       (only write its training dialogues as JSON lines)

FOLDER holds spc.train.jsonl.xz and spc.valid.jsonl.xz (Jandaghi et al. 2023, CC BY 4.0): `turns` of [speaker, text].
The first to speak is the user. Placeholders such as `[user 1's name]` are filled with names. The loss is on what both
say; the minutes are the whole command's, start-up and evaluation included.
"""

from __future__ import annotations

import json
import lzma
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mychat.config import TrainSettings
from mychat.corpus.split import Side
from mychat.corpus.words import load_words
from mychat.evaluate.likelihood import measure_likelihood
from mychat.evaluate.sides import all_rows
from mychat.events import Planned, Validated
from mychat.model.batch import scored_losses
from mychat.model.checkpoint import load_checkpoint
from mychat.model.host import autocast
from mychat.tokenizer.chat_format import ChatFormat
from mychat.train.pipeline import train
from mychat.train.request import TrainRequest

NAMES = (
    "Ada", "Ben", "Cleo", "Dan", "Ella", "Finn", "Grace", "Hugo", "Iris", "Jack", "Kim", "Leo", "Mia", "Noah", "Olga",
    "Paul", "Rosa", "Sam", "Tina", "Will", "Zoe",
)  # fmt: skip
_PLACEHOLDER = re.compile(r"\[[^\[\]]*\]")


def main(folder: str, target: str, *given: str) -> None:
    if target.endswith(".jsonl"):
        write_conversations(Path(folder) / "spc.train.jsonl.xz", Path(target))
        return
    with tempfile.TemporaryDirectory() as place:
        files = {side: Path(place) / f"{side}.jsonl" for side in ("train", "valid")}
        for side, file in files.items():
            write_conversations(Path(folder) / f"spc.{side}.jsonl.xz", file)
        settings = TrainSettings(minutes=float(target)).updated(dict(one.split("=") for one in given))
        out = Path(place) / "out"
        request = TrainRequest("pretrain", [files["train"]], out, settings, started=time.monotonic())
        for event in train(request):
            if isinstance(event, Planned):
                plan = event
            elif isinstance(event, Validated):
                print(f"step {event.step}: {event.bits_per_byte:.4f} bits per byte on its own validation side")
        seconds = time.monotonic() - request.started
        checkpoint = load_checkpoint(out)
        side = Side(conversations=load_words([files["valid"]], []).conversations)
        rows = all_rows(side, ChatFormat(checkpoint.tokenizer), checkpoint.config.context_length)
        losses_of = partial(scored_losses, checkpoint.build())
        found = measure_likelihood(losses_of, rows, checkpoint.tokenizer, "cpu", autocast("cpu", "fp32"))
    print(
        f"{found.bits_per_byte:.4f} bits per byte on {found.text_bytes:,} bytes of spc.valid after {seconds:.0f} s; "
        f"{plan.parameters / 1e6:.2f} M parameters, {plan.n_layer} x {plan.n_embd}, vocabulary {plan.vocab_size}, "
        f"context {plan.context_length}, {plan.batch_tokens} tokens a step, {plan.epochs:.2f} epochs of "
        f"{plan.train_tokens / 1e6:.2f} M tokens, {plan.precision}{', compiled' if plan.compiled else ''}"
    )


def write_conversations(source: Path, out: Path) -> None:
    """Write dialogues as JSON lines in the OpenAI form."""
    with out.open("w", encoding="utf-8") as file:
        for messages in iter_conversations(source):
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def iter_conversations(source: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield each dialogue's messages."""
    with lzma.open(source, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            turns = json.loads(line)["turns"]
            yield join_turns(fill_names(turns, number), assistant="2" if turns[0][0] == "1" else "1")


def fill_names(turns: list[list[str]], number: int) -> list[list[str]]:
    """Fill the placeholders of dialogue `number`; one stands for the same name throughout."""
    name_for = _Names(number)
    return [[speaker, _PLACEHOLDER.sub(name_for, text)] for speaker, text in turns]


def join_turns(turns: list[list[str]], *, assistant: str) -> list[dict[str, Any]]:
    """Turn [speaker, text] pairs into messages; what one speaker says in a row is one message."""
    messages: list[dict[str, Any]] = []
    for speaker, text in turns:
        role = "assistant" if speaker == assistant else "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += "\n" + text
        else:
            messages.append({"role": role, "content": text})
    return messages


class _Names:
    """Names for the placeholders of one dialogue."""

    def __init__(self, number: int) -> None:
        self.left = iter(random.Random(number).sample(NAMES, len(NAMES)))
        self.known: dict[str, str] = {}

    def __call__(self, found: re.Match[str]) -> str:
        placeholder = found.group().lower()
        if placeholder not in self.known:
            self.known[placeholder] = next(self.left, "Alex")
        return self.known[placeholder]


if __name__ == "__main__":
    main(*sys.argv[1:])
