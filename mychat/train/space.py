"""What a search may change: ranges around mychat's own recipe, and what a draw from them stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mychat.config import PRESETS, TrainSettings
from mychat.train.recipe import Recipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RATES = ("matrix_learning_rate", "learning_rate")
RATE = "rate"
"""A draw: a factor on both rates. Batch, size and schedule move them together, and few trials settle few questions."""
RATE_FACTOR = 3.0
LEAST_VOCABULARY, VOCABULARY_STEP = 512, 64
MOST_DROPOUT = 0.3
"""As often as not a draw is below 0, which stands for none: a value hardly drawn otherwise, and often the best."""
LEAST_DECAY, MOST_DECAY = 0.002, 0.2

Settings = dict[str, float | int | str]


def make_ranges(recipe: Recipe, given: TrainSettings) -> dict[str, BaseDistribution]:
    """Return a range for all that nobody gave. Sizes: the recipe's and its neighbours."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sizes = list(PRESETS)
    place = sizes.index(recipe.size)
    vocabulary = max(LEAST_VOCABULARY, recipe.vocab_size // 2), 2 * recipe.vocab_size
    ranges: dict[str, BaseDistribution] = {}
    if given.size is None:
        ranges["size"] = CategoricalDistribution(sizes[max(0, place - 1) : place + 2])
    if given.vocab_size is None:
        ranges["vocab_size"] = IntDistribution(*vocabulary, log=True)
    if any(getattr(given, name) is None for name in RATES):
        ranges[RATE] = FloatDistribution(1 / RATE_FACTOR, RATE_FACTOR, log=True)
    if given.dropout is None:
        ranges["dropout"] = FloatDistribution(-MOST_DROPOUT, max(MOST_DROPOUT, recipe.dropout))
    if given.weight_decay is None:
        ranges["weight_decay"] = FloatDistribution(LEAST_DECAY, MOST_DECAY, log=True)
    return ranges


def own_settings(recipe: Recipe, given: TrainSettings) -> Settings:
    """Return what the recipe says where a search looks."""
    searched = ("size", "vocab_size", *RATES, "dropout", "weight_decay")
    return {name: getattr(recipe, name) for name in searched if getattr(given, name) is None}


def own_draw(recipe: Recipe, ranges: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return the draw that stands for the recipe, or for what is nearest to it in the ranges."""
    draw: dict[str, Any] = {name: 1.0 if name == RATE else getattr(recipe, name) for name in ranges}
    if "weight_decay" in draw:
        draw["weight_decay"] = min(MOST_DECAY, max(LEAST_DECAY, draw["weight_decay"]))
    return draw


def drawn_settings(draw: Mapping[str, Any], recipe: Recipe, given: TrainSettings) -> Settings:
    """Return the settings a draw stands for, in as few digits as mean something: these are tried and written."""
    settings: Settings = {}
    for name, value in draw.items():
        if name == "vocab_size":
            settings[name] = round(value / VOCABULARY_STEP) * VOCABULARY_STEP
        elif name == RATE:
            free = [rate for rate in RATES if getattr(given, rate) is None]
            settings |= {rate: _short(getattr(recipe, rate) * value) for rate in free}
        elif name == "dropout":
            settings[name] = max(0.0, round(value, 2))
        else:
            settings[name] = _short(value) if isinstance(value, float) else value
    return settings


def _short(value: float) -> float:
    return float(f"{value:.3g}")
