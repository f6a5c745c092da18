"""The words that the base model learns from: everyday dialogue, facts to be read off the context, simple stories.

Usage: python -m bench.base_en DATA OUT [--facts 24000] [--classics 3000000] [--seed 0]
Then:  mychat train OUT --from scratch --config bench/base_en/settings.toml --minutes 135 --out base-en
       python -m bench.base_en.replay DATA checkpoints/base-en

DATA holds dialogue/ (spc, topical_chat, personality_chat, chatterbot_english) and text/ (tinystories, childrens_ccby,
classic_children); their names and licences stand in the model card. OUT becomes a folder of JSON lines and a
persona.toml. `--facts` dialogues are made by bench/base_en/facts.py; `--classics` characters of old books are taken.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.base_en.facts import WITH_SYSTEM, FactDialogues
from bench.base_en.sources import (
    any_words,
    children,
    classics,
    likings,
    messages,
    persona_chats,
    small_talk,
    tiny_stories,
    topical_chats,
)

PERSONA = """\
name = "base-en"
display_name = "Base"
language = "en"
greeting = ""
description = []
credits = [
    "Synthetic-Persona-Chat (Jandaghi et al. 2023), CC BY 4.0",
    "Topical-Chat (Amazon), CDLA-Sharing-1.0",
    "Personality chat datasets (Microsoft), MIT",
    "chatterbot-corpus, BSD-3-Clause",
    "TinyStories (Eldan & Li 2023), CDLA-Sharing-1.0",
    "Picture books of the African Storybook and of Pratham Books' StoryWeaver, CC BY",
    "Classic children's books, public domain",
]

[sampling]
temperature = 0.6
top_p = 0.9
repetition_penalty = 1.05
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--facts", type=int, default=24_000)
    parser.add_argument("--classics", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    (given.out / "persona.toml").write_text(PERSONA, "utf-8")
    pairs = small_talk(given.data / "dialogue")
    chats, stories = given.data / "dialogue" / "spc.train.jsonl.xz", given.data / "text" / "tinystories.txt.xz"
    makes = FactDialogues(pairs, given.seed, likings(chats), any_words(chats, stories))
    made = (makes.draw(system=number < WITH_SYSTEM * given.facts) for number in range(given.facts))
    dialogue, text = given.data / "dialogue", given.data / "text"
    write(given.out / "facts.jsonl", (messages(system, exchanges) for system, exchanges in made))
    write(given.out / "small_talk.jsonl", (messages(None, [pair]) for pair in pairs))
    write(given.out / "spc.jsonl", persona_chats(chats, makes, given.seed))
    write(given.out / "topical.jsonl", topical_chats(dialogue / "topical_chat.jsonl.xz"))
    write(given.out / "tinystories.jsonl", tiny_stories(stories))
    write(given.out / "children.jsonl", children(text / "childrens_ccby.txt.xz"))
    write(given.out / "classics.jsonl", classics(text / "classic_children.txt.xz", given.classics))


def write(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """Write items as JSON lines, and say how many there are."""
    lines = [json.dumps(item, ensure_ascii=False) for item in items]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{path.name}: {len(lines):,} items, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
