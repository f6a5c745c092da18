"""What a persona that starts from the base model goes on practising: fresh fact dialogues and persona chats.

Small talk stands below a system text alone: without one, the persona answers.

Usage: python -m bench.base_en.replay DATA CHECKPOINT [--chars 3000000] [--seed 1]

Writes CHECKPOINT/replay.jsonl.xz. Another seed than the training words' makes facts that training never saw.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bench.base_en.facts import FactDialogues
from bench.base_en.sources import any_words, likings, messages, persona_chats, small_talk
from mychat.corpus.replay import REPLAY_FILE

FACTS = 0.8
"""Of the characters; the rest is persona chats."""
WITH_SYSTEM = 0.6
"""Of the fact dialogues."""
PERSONA_CHATS_READ = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--chars", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    chats_file = given.data / "dialogue" / "spc.train.jsonl.xz"
    liked = likings(chats_file)
    words = any_words(chats_file, given.data / "text" / "tinystories.txt.xz")
    makes = FactDialogues(small_talk(given.data / "dialogue", trivia=False), given.seed, liked, words)
    without = FactDialogues((), given.seed + 1, liked, words)
    facts = (
        messages(*makes.draw(system=True) if rng.random() < WITH_SYSTEM else without.draw(system=False))
        for _ in range(given.chars)
    )
    chats = islice(persona_chats(chats_file, makes, given.seed), PERSONA_CHATS_READ)
    chats = (chat for chat in chats if chat["messages"][0]["role"] == "system")  # without one the persona answers
    lines = [*up_to(FACTS * given.chars, facts), *up_to((1 - FACTS) * given.chars, chats)]
    rng.shuffle(lines)
    path = given.checkpoint / REPLAY_FILE
    path.write_bytes(lzma.compress(("\n".join(lines) + "\n").encode("utf-8"), preset=lzma.PRESET_EXTREME | 9))
    print(f"{path}: {len(lines):,} conversations, {path.stat().st_size / 1e6:.2f} MB")


def up_to(chars: float, items: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield items as JSON until they say so many characters."""
    while chars > 0:
        item = next(items)
        chars -= sum(len(message["content"]) for message in item["messages"])
        yield json.dumps(item, ensure_ascii=False)


if __name__ == "__main__":
    main()
