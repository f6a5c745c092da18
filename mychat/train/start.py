"""Where a run sets out from: a base model that knows the language already, or nothing."""

from __future__ import annotations

from itertools import islice

from mychat.config import TrainSettings
from mychat.corpus.doctor import written_texts
from mychat.corpus.words import Words
from mychat.model.checkpoint import Checkpoint
from mychat.tokenizer.bpe import Tokenizer

SAME_LANGUAGE = 0.75
"""Of the length of the pieces that a tokenizer cuts its own words into; words of other languages fall into more."""
SAMPLE, SAMPLE_CHARS = 2000, 2000
"""Lines to look at, and how much of each."""


def misfit(base: Checkpoint, words: Words, settings: TrainSettings) -> str:
    """Say why a run should not start from the base model, though nobody asked for scratch; nothing when it fits."""
    if not words.is_chat:
        return "plain text"
    for name in ("size", "vocab_size", "context_length"):
        value, has = getattr(settings, name), getattr(base.config, name, None)
        if value is not None and value != has:
            return f"{name} {value} is another than the base model's"
    own = base.record["data"].get("chars_per_token", 0.0)
    if chars_per_token(base.tokenizer, words) < SAME_LANGUAGE * own:
        return "the base model does not speak the language of these words"
    return ""


def chars_per_token(tokenizer: Tokenizer, words: Words) -> float:
    """Measure how long a tokenizer's pieces of these words are, on some lines."""
    said = [line[:SAMPLE_CHARS] for line in islice(written_texts(words), SAMPLE)]
    return sum(map(len, said)) / max(1, sum(map(len, tokenizer.encode_batch(said))))
