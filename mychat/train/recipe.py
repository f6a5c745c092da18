"""What to train and how: the rules, in one place.

A setting that somebody gave always wins over a rule. What was tried stands in
docs/log.md; sizes and rates beyond micro are estimates that no sweep has checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from mychat.config import PRESETS, ModelConfig, TrainSettings

DEFAULT_MINUTES = 5.0
USED_SHARE = 0.4
"""Of the measured peak, by a run as a whole."""
SIZE_BY_FLOPS = ((60e12, "nano"), (600e12, "micro"), (4e15, "mini"), (50e15, "small"))
"""The largest size that still sees enough steps for a budget of so many operations; `base` beyond."""
BATCH_TOKENS = {"nano": 1024, "micro": 2048, "mini": 4096, "small": 8192, "base": 65536}
"""Small models learn from many small steps; large ones can wait for a better gradient."""
MATRIX_RATE = {"nano": 0.015}
OTHER_MATRIX_RATE, LEARNING_RATE = 0.02, 0.004
WEIGHT_DECAY = 0.02


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is learnt, the words and the number of steps apart."""

    size: str
    vocab_size: int
    """At most; a small corpus has fewer pairs to merge."""
    context_length: int
    batch_tokens: int
    dropout: float
    weight_decay: float
    matrix_learning_rate: float
    learning_rate: float

    def shape(self, vocab_size: int) -> ModelConfig:
        """Return the network's shape for a tokenizer's vocabulary."""
        return PRESETS[self.size].model(vocab_size, self.context_length)


def choose_recipe(settings: TrainSettings, chars: int, peak_flops: float) -> Recipe:
    """Choose for a budget, `chars` characters of training text, and a machine of `peak_flops` (all processes)."""
    size = settings.size or _size(settings, peak_flops)
    preset = PRESETS[size]
    context_length = settings.context_length or preset.context_length
    return Recipe(
        size=size,
        vocab_size=settings.vocab_size or max(512, min(preset.vocab_size, chars // 100)),
        context_length=context_length,
        batch_tokens=max(context_length, settings.batch_tokens or BATCH_TOKENS[size]),
        dropout=_given(settings.dropout, 0.0),
        weight_decay=_given(settings.weight_decay, WEIGHT_DECAY),
        matrix_learning_rate=_given(settings.matrix_learning_rate, MATRIX_RATE.get(size, OTHER_MATRIX_RATE)),
        learning_rate=_given(settings.learning_rate, LEARNING_RATE),
    )


CHARS_PER_MINUTE = 1_200_000
MOST_CHARS = 40_000_000


def chars_to_draw(settings: TrainSettings) -> int:
    """How many characters of a persona's expansions to draw; a run sees them about once or twice."""
    if settings.steps is not None:
        recipe = choose_recipe(settings, MOST_CHARS, 0.0)
        wanted = settings.steps * recipe.batch_tokens * 4
    else:
        wanted = int((settings.minutes or DEFAULT_MINUTES) * CHARS_PER_MINUTE)
    return max(200_000, min(MOST_CHARS, wanted))


def _size(settings: TrainSettings, peak_flops: float) -> str:
    if settings.minutes is None and settings.steps is not None:
        return "micro"
    flops = USED_SHARE * peak_flops * 60 * (settings.minutes or DEFAULT_MINUTES)
    return next((size for most, size in SIZE_BY_FLOPS if flops <= most), "base")


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
