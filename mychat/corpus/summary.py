"""What a persona, or any words, hold: counts, and a few dialogues drawn."""

from __future__ import annotations

import math
import random
from typing import Any

from mychat.config import SAMPLING_NAMES, find_words
from mychat.corpus.chatfile import draw_distinct
from mychat.corpus.words import load_words


def summarise(source: str, examples: int, seed: int) -> dict[str, Any]:
    """Read words by name or path and describe them. Raises: CorpusError, ConfigError."""
    words = load_words([find_words(source)], SAMPLING_NAMES)
    rng = random.Random(seed)
    chosen = rng.sample(words.dialogues, min(examples, len(words.dialogues)))
    each = math.ceil(examples / max(1, len(chosen)))
    drawn = [one for dialogue in chosen for one in draw_distinct(dialogue, each, seed)][:examples]
    drawn += rng.sample(words.conversations, min(examples - len(drawn), len(words.conversations)))
    return {
        "name": words.persona.name,
        "display_name": words.persona.display_name,
        "language": words.persona.language,
        "greeting": words.persona.greeting,
        "description": list(words.persona.description),
        "sampling": dict(words.persona.sampling),
        "files": [path.name for path in words.files],
        "topics": len({dialogue.topic for dialogue in words.dialogues}),
        "dialogues": len(words.dialogues),
        "turns": sum(len(dialogue.turns) for dialogue in words.dialogues),
        "expansions": sum(dialogue.count() for dialogue in words.dialogues),
        "conversations": len(words.conversations),
        "text_characters": sum(map(len, words.texts)),
        "examples": [
            [{"role": message.role, "content": message.content} for message in conversation.messages]
            for conversation in drawn
        ],
    }
