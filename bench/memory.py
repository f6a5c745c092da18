"""Is what was told in turn 1 still right in turn 10? Generated conversations, names and things that training never saw.

Usage: python bench/memory.py CHECKPOINT [--conversations 100] [--seed 0] [--show 5]

Turn 1 tells a name or a like, turns 2 to 9 are small talk that the model answers itself, turn 10 asks. Sampled as the
checkpoint's persona wants it. Right is a reply that holds the name or the thing.
"""

from __future__ import annotations

import argparse
import random

from mychat.corpus.messages import Message
from mychat.events import ReplyEnd
from mychat.generate.engine import Engine, load_engine
from mychat.model.record import find_speaker

NAMES = (
    "Thessaly", "Bram", "Oriol", "Wilhelmina", "Casimir", "Xiomara", "Leopold", "Anneke", "Barnaby", "Ottoline",
    "Dashiell", "Marisol", "Ignatius", "Philippa", "Zebulon", "Calliope", "Roland", "Mireille", "Tobias", "Eudora",
    "Jarek", "Saoirse", "Benedikt", "Halima", "Quentin", "Rosalind", "Matthias", "Yolanda", "Cornelius", "Delphine",
)  # fmt: skip
THINGS = (
    "marzipan", "gingerbread", "artichokes", "pomegranates", "rhubarb", "gnocchi", "kimchi", "pistachios", "brioche",
    "elderflower syrup", "beekeeping", "calligraphy", "ice fishing", "tap dancing", "beach volleyball", "macrame",
    "roller derby", "paragliding", "crossword puzzles", "mushroom hunting", "weaving baskets", "puppet shows",
    "geocaching", "whittling", "trampolining", "genealogy", "kite surfing", "origami cranes", "sourdough", "radishes",
)  # fmt: skip
TELL_NAME = ("my name is {}", "I'm {}", "hi, I'm {}", "call me {}", "Hello, my name is {}.", "people call me {}")
TELL_LIKE = ("I like {}", "i love {}", "I really like {}.", "I'm a big fan of {}", "by the way, I love {}")
ASK_NAME = ("what's my name?", "do you remember my name?", "what is my name", "who am i?", "Can you tell me my name?")
ASK_LIKE = ("what do I like?", "do you remember what i like?", "what did I say I like?", "tell me what I like")
TALK = (
    "how are you?", "what's up?", "tell me something nice", "nice", "how was your day?", "what are you doing?",
    "that's funny", "what do you think about rain?", "I had a long day", "do you like music?", "good morning",
    "are you happy?", "thanks", "I see", "what can you do?", "tell me a joke", "where do you live?", "ok", "cool",
    "what's your favorite color?", "I'm a bit tired", "do you sleep?", "how old are you?", "haha", "why?",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="wrong conversations to print")
    given = parser.parse_args()
    engine = load_engine(find_speaker(given.checkpoint, chat=True), "cpu")
    rng = random.Random(given.seed)
    right = {"name": 0, "like": 0}
    asked = {"name": 0, "like": 0}
    for number in range(given.conversations):
        kind = "name" if number % 2 else "like"
        wanted = rng.choice(NAMES if kind == "name" else THINGS)
        messages = converse(engine, kind, wanted, given.turns, rng)
        asked[kind] += 1
        if wanted.lower() in messages[-1].content.lower():
            right[kind] += 1
        elif given.show > 0:
            given.show -= 1
            print("\n".join(f"{'>' if one.role == 'user' else ' '} {one.content}" for one in messages) + "\n")
    print(
        f"{sum(right.values())} of {sum(asked.values())} right in turn {given.turns}: "
        f"names {right['name']} of {asked['name']}, likes {right['like']} of {asked['like']}"
    )


def converse(engine: Engine, kind: str, wanted: str, turns: int, rng: random.Random) -> list[Message]:
    """Tell, talk, ask; return all that was said."""
    tell, ask = (TELL_NAME, ASK_NAME) if kind == "name" else (TELL_LIKE, ASK_LIKE)
    lines = [rng.choice(tell).format(wanted), *rng.sample(TALK, turns - 2), rng.choice(ask)]
    messages: list[Message] = []
    for line in lines:
        messages.append(Message("user", line))
        options = engine.defaults.updated({"seed": rng.randrange(2**31)})
        end = next(event for event in engine.reply(messages, options) if isinstance(event, ReplyEnd))
        messages.append(Message("assistant", end.text.strip()))
    return messages


if __name__ == "__main__":
    main()
