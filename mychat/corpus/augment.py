"""The ways one person types the same words: letter case, end marks, apostrophes.

Only user lines vary, so a persona understands "WHATS UP" and still writes well.
"""

from __future__ import annotations

import random


def vary_typing(text: str, rng: random.Random) -> str:
    """Return `text` as another person might have typed it; half the time unchanged."""
    if rng.random() < 0.5 or not text:
        return text
    case = rng.random()
    if case < 0.4:
        text = text[0].upper() + text[1:]
    elif case < 0.8:
        text = text.lower()
    elif case < 0.82:
        text = text.upper()
    if rng.random() < 0.3:
        text = text.replace("'", "")
    end = rng.random()
    if end < 0.4:
        text = text.rstrip(".?!。？！") or text
    elif end < 0.55 and text[-1:].isalnum():
        text += rng.choice("?.!")
    return text
