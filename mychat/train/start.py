"""Where a run sets out from: a base model that knows the language already, or nothing."""

from __future__ import annotations

from pathlib import Path

from mychat.config import BASE_CHECKPOINT, TrainSettings, list_names
from mychat.corpus.doctor import written_texts
from mychat.corpus.holdout import list_words
from mychat.corpus.words import Words
from mychat.model.checkpoint import Checkpoint
from mychat.model.record import find_checkpoint
from mychat.tokenizer.bpe import Tokenizer
from mychat.train.recipe import size_like

SAME_LANGUAGE = 1.5
"""Times as many pieces a word as of its own words, at most; those of other languages fall into more."""
SAMPLE, SAMPLE_CHARS = 2000, 2000
"""Lines to look at, and how much of each."""


def find_base() -> Path | None:
    """Find the model that a persona starts from when nobody says otherwise."""
    return find_checkpoint(BASE_CHECKPOINT) if BASE_CHECKPOINT in list_names("checkpoints") else None


def misfit(base: Checkpoint, words: Words, settings: TrainSettings) -> str:
    """Say why a run should not start from the base model, though nobody asked for scratch; nothing when it fits."""
    if not words.is_chat:
        return "plain text"
    if conflict := shape_conflict(base, settings):
        return conflict
    own = base.record["data"].get("tokens_per_word", 0.0)
    if tokens_per_word(base.tokenizer, words) > SAME_LANGUAGE * own:
        return "the base model does not speak the language of these words"
    return ""


def shape_conflict(parent: Checkpoint, settings: TrainSettings) -> str:
    """Say which setting wants another shape than the model to start from has; nothing when none does."""
    made_with = parent.record.get("settings", {})
    has = {
        "size": {size_like(parent.config)},
        "vocab_size": {parent.config.vocab_size, made_with.get("vocab_size")},
        "context_length": {parent.config.context_length},
    }
    for name, values in has.items():
        value = getattr(settings, name)
        if value is not None and value not in values:
            there = " or ".join(str(one) for one in values if one)
            return f"{name} {value} is not that of the model to start from ({there})"
    return ""


def tokens_per_word(tokenizer: Tokenizer, words: Words) -> float:
    """Measure into how many pieces a tokenizer cuts these words, on some of the lines."""
    written = list(written_texts(words))
    some = [line[:SAMPLE_CHARS] for line in written[:: max(1, len(written) // SAMPLE)]]
    found = [f" {word}" for line in some for word in list_words(line)]
    return sum(map(len, tokenizer.encode_batch(found))) / max(1, len(found))
