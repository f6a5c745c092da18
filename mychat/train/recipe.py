"""What to train and how: the rules, in one place.

Each rule is a reading of the sweeps in docs/log.md ("The dial"). A setting
that somebody gave always wins over a rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from mychat.config import PRESETS, ModelConfig, TrainSettings

DEFAULT_MINUTES = 5.0
SIZE_BY_MINUTES = ((3.0, "nano"), (20.0, "micro"), (120.0, "mini"))
"""The largest size that still sees enough steps on two CPU cores; `small` beyond."""


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


def choose_recipe(settings: TrainSettings, chars: int) -> Recipe:
    """Choose for a budget and `chars` characters of training text."""
    size = settings.size or _size(settings)
    preset = PRESETS[size]
    context_length = settings.context_length or preset.context_length
    return Recipe(
        size=size,
        vocab_size=settings.vocab_size or max(512, min(preset.vocab_size, chars // 100)),
        context_length=context_length,
        batch_tokens=max(context_length, settings.batch_tokens or 2048),
        dropout=_given(settings.dropout, 0.0),
        weight_decay=_given(settings.weight_decay, 0.02),
        matrix_learning_rate=_given(settings.matrix_learning_rate, 0.02),
        learning_rate=_given(settings.learning_rate, 0.004),
    )


CHARS_PER_MINUTE = 1_200_000
MOST_CHARS = 40_000_000


def chars_to_draw(settings: TrainSettings) -> int:
    """How many characters of a persona's expansions to draw; a run sees them about once or twice."""
    if settings.steps is not None:
        recipe = choose_recipe(settings, MOST_CHARS)
        wanted = settings.steps * recipe.batch_tokens * 4
    else:
        wanted = int((settings.minutes or DEFAULT_MINUTES) * CHARS_PER_MINUTE)
    return max(200_000, min(MOST_CHARS, wanted))


def _size(settings: TrainSettings) -> str:
    if settings.minutes is None and settings.steps is not None:
        return "micro"
    minutes = settings.minutes or DEFAULT_MINUTES
    return next((size for most, size in SIZE_BY_MINUTES if minutes <= most), "small")


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
