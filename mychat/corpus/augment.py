"""The ways one person types the same words: letter case, end marks, apostrophes, a word left out.

Only user lines vary, so a persona understands "WHATS UP" and still writes well.
"""

from __future__ import annotations

import random
from collections.abc import Collection

DROP_SHARE = 0.1
"""Of lines of four words and more, those that lose one."""


def vary_typing(text: str, rng: random.Random, keep: Collection[str] = ()) -> str:
    """Return `text` as another person might have typed it; never without the words to `keep`."""
    if rng.random() < DROP_SHARE:
        text = _drop_word(text, rng, keep)
    if rng.random() < 0.5 or not text:
        return text
    case = rng.random()
    if case < 0.4:
        text = text[0].upper() + text[1:]
    elif case < 0.7:
        text = text.lower()
    elif case < 0.72:
        text = text.upper()
    if rng.random() < 0.3:
        text = text.replace("'", "")
    end = rng.random()
    if end < 0.4:
        text = text.rstrip(".?!。？！") or text
    elif end < 0.55 and text[-1:].isalnum():
        text += rng.choice("?.!")
    return text


def _drop_word(text: str, rng: random.Random, keep: Collection[str]) -> str:
    words = text.split(" ")
    kept = {place for place, word in enumerate(words) if any(needed in word for needed in keep)}
    spare = [place for place in range(len(words)) if place not in kept]
    if len(words) < 4 or not spare:
        return text
    words.pop(rng.choice(spare))
    return " ".join(words)
