"""What to train and how: the rules, in one place.

A setting that somebody gave always wins over a rule. The sweeps behind the
rules stand in docs/log.md; what they say of `small` and `base` is carried on
from the smaller sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from mychat.config import PRESETS, ModelConfig, TrainSettings
from mychat.train.setup import flops_per_token

DEFAULT_MINUTES = 5.0

# --- what a budget holds

TRAINING_SHARE = 0.85
"""Of the whole command, for steps; the rest is start-up, validation and the end."""
PEAK_SHARE = {"nano": 0.3, "micro": 0.43, "mini": 0.52, "small": 0.55, "base": 0.55}
"""Of the matrix products' peak, what steps of a size reach on a CPU."""
CHARS_PER_TOKEN = 3.2
"""Of text, roughly."""

# --- how large

USED_SHARE = 0.4
"""Of the measured peak, by a run as a whole, for this table."""
SIZE_BY_FLOPS = ((120e12, "nano"), (600e12, "micro"), (4e15, "mini"), (50e15, "small"))
"""The largest size that still gets going on a budget of so many operations; `base` beyond."""

# --- how

FEWEST_STEPS = 1600
"""A batch doubles as long as this leaves more steps than these: larger ones run faster, and learn no worse."""
BATCH_TOKENS = {
    "nano": (1024, 4096), "micro": (2048, 8192), "mini": (4096, 16384), "small": (8192, 32768), "base": (65536, 524288)
}  # fmt: skip
"""The smallest that Muon's own work leaves worth while, and the largest."""
MATRIX_RATE = {"nano": 0.015}
OTHER_MATRIX_RATE, LEARNING_RATE = 0.02, 0.004
MATRIX_RATE_ON, LEARNING_RATE_ON = 0.01, 0.0004
"""For a model that is not to forget what its base learnt: faster ones unlearn copying words the new text lacks."""
CHAINED_FROM_BASE = 3.5
"""`mychat.corpus.compose.CHAINED` for one that starts from the base: it has the context to remember further back."""

CHARS_PER_ID, MOST_CHARS_PER_ID = 100, 1000
"""Of training text, for each id of the vocabulary and each epoch: rare ids are learnt by heart before the rest."""
MOST_IDS_DRAWN = 2048
"""For a persona's expansions, which hold few different words."""

# --- against learning by heart

FRESH_EPOCHS = 3.0
"""Words may be seen so often without harm."""
DROPOUT_PER_DOUBLING = {"nano": 0.055, "micro": 0.105, "mini": 0.15, "small": 0.18, "base": 0.18}
"""For each doubling of the epochs beyond; a large model learns by heart sooner."""
MOST_DROPOUT = 0.35
WEIGHT_DECAY, MOST_WEIGHT_DECAY = 0.05, 0.3
"""At one epoch; as much again for each doubling."""


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


def choose_recipe(
    settings: TrainSettings,
    chars: int,
    peak_flops: float,
    *,
    drawn: bool = False,
    like: ModelConfig | None = None,
    replays: bool = False,
) -> Recipe:
    """Choose for a budget, `chars` characters of training text, and a machine of `peak_flops` (all processes).

    `drawn` text is a persona's expansions: few sentences in many wordings, which are to be learnt by heart.
    `like` is the shape of the model it starts from; with `replays` it goes on practising what that one learnt.
    """
    if like:
        size = size_like(like)
        settings = replace(settings, size=size, vocab_size=like.vocab_size, context_length=like.context_length)
    size = settings.size or _size(settings, peak_flops)
    preset = PRESETS[size]
    context_length = settings.context_length or preset.context_length
    most_ids = settings.vocab_size or (MOST_IDS_DRAWN if drawn else preset.vocab_size)
    seen = _tokens_seen(settings, size, most_ids, peak_flops)
    batch_tokens = max(context_length, settings.batch_tokens or _batch_tokens(size, seen))
    epochs = 1.0 if drawn else max(1.0, seen * CHARS_PER_TOKEN / max(1, chars))
    ids = min(most_ids, int(chars / min(MOST_CHARS_PER_ID, CHARS_PER_ID * epochs)))
    doublings = math.log2(epochs)
    matrix_rate = MATRIX_RATE_ON if replays else MATRIX_RATE.get(size, OTHER_MATRIX_RATE)
    beyond = max(0.0, doublings - math.log2(FRESH_EPOCHS))
    return Recipe(
        size=size,
        vocab_size=settings.vocab_size or max(512, ids),
        context_length=context_length,
        batch_tokens=batch_tokens,
        dropout=_given(settings.dropout, round(min(MOST_DROPOUT, DROPOUT_PER_DOUBLING[size] * beyond), 2)),
        weight_decay=_given(settings.weight_decay, round(min(MOST_WEIGHT_DECAY, WEIGHT_DECAY * (1 + doublings)), 3)),
        matrix_learning_rate=_given(settings.matrix_learning_rate, matrix_rate),
        learning_rate=_given(settings.learning_rate, LEARNING_RATE_ON if replays else LEARNING_RATE),
    )


CHARS_PER_MINUTE = 1_200_000
MOST_CHARS = 40_000_000


def chars_to_draw(settings: TrainSettings) -> int:
    """How many characters of a persona's expansions to draw: a run sees them a few times at most."""
    if settings.steps is not None:
        recipe = choose_recipe(settings, MOST_CHARS, 0.0)
        wanted = settings.steps * recipe.batch_tokens * 4
    else:
        wanted = int((settings.minutes or DEFAULT_MINUTES) * CHARS_PER_MINUTE)
    return max(200_000, min(MOST_CHARS, wanted))


def size_like(config: ModelConfig) -> str:
    """Name the preset that is nearest in what its layers hold."""
    return min(PRESETS, key=lambda name: abs(math.log(_layers(PRESETS[name].model(1)) / _layers(config))))


def _layers(config: ModelConfig) -> int:
    return config.count_parameters() - config.vocab_size * config.n_embd


def _size(settings: TrainSettings, peak_flops: float) -> str:
    if settings.minutes is None and settings.steps is not None:
        return "micro"
    flops = USED_SHARE * peak_flops * 60 * (settings.minutes or DEFAULT_MINUTES)
    return next((size for most, size in SIZE_BY_FLOPS if flops <= most), "base")


def _tokens_seen(settings: TrainSettings, size: str, vocab_size: int, peak_flops: float) -> float:
    """Estimate what a run will see: in its time, or in its steps when only they are given."""
    if settings.minutes is None and settings.steps is not None:
        return float(settings.steps * (settings.batch_tokens or BATCH_TOKENS[size][0]))
    seconds = TRAINING_SHARE * 60 * (settings.minutes or DEFAULT_MINUTES)
    return PEAK_SHARE[size] * peak_flops * seconds / flops_per_token(PRESETS[size].model(vocab_size))


def _batch_tokens(size: str, seen: float) -> int:
    least, most = BATCH_TOKENS[size]
    batch = least
    while batch < most and seen >= FEWEST_STEPS * 2 * batch:
        batch *= 2
    return batch


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
