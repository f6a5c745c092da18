"""What a persona that starts from the base model goes on practising: fresh fact dialogues, small talk, persona chats.

Usage: python -m bench.base_en.replay DATA CHECKPOINT [--chars 600000] [--seed 1]

Writes CHECKPOINT/replay.jsonl. Another seed than the training words' makes facts that training never saw.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bench.base_en.facts import WITH_SYSTEM, FactDialogues
from bench.base_en.sources import messages, persona_chats, small_talk
from mychat.corpus.replay import REPLAY_FILE

FACTS, CHATS = 0.6, 0.3
"""Of the characters; the rest is small talk."""
PERSONA_CHATS_READ = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--chars", type=int, default=600_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    talk = small_talk(given.data / "dialogue")
    makes = FactDialogues(talk, given.seed)
    facts = (messages(*makes.draw(system=rng.random() < WITH_SYSTEM)) for _ in range(given.chars))
    chats = islice(persona_chats(given.data / "dialogue" / "spc.train.jsonl.xz", makes, given.seed), PERSONA_CHATS_READ)
    exchanges = (messages(None, rng.sample(talk, rng.randint(1, 4))) for _ in range(given.chars))
    lines = [
        *up_to(FACTS * given.chars, facts),
        *up_to(CHATS * given.chars, chats),
        *up_to((1 - FACTS - CHATS) * given.chars, exchanges),
    ]
    rng.shuffle(lines)
    path = given.checkpoint / REPLAY_FILE
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{path}: {len(lines):,} conversations, {path.stat().st_size / 1e6:.2f} MB")


def up_to(chars: float, items: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield items as JSON until they say so many characters."""
    while chars > 0:
        item = next(items)
        chars -= sum(len(message["content"]) for message in item["messages"])
        yield json.dumps(item, ensure_ascii=False)


if __name__ == "__main__":
    main()
