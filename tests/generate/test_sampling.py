"""Every way of choosing against an independent definition: transformers', or the formula written out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from mychat.config import SamplingOptions
from mychat.errors import ConfigError
from mychat.generate.sampling import (
    Chooser,
    Logits,
    add_biases,
    ban_repeats,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    penalise_counts,
    penalise_repetition,
)

CASES = settings(max_examples=200, deadline=None)
seeds = st.integers(0, 2**31)
replies = st.lists(st.integers(0, 5), max_size=30)


def draw(seed: int, size: int = 300) -> Tensor:
    """Random logits of the size of a model's, no two alike."""
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


def ours(function: Callable[..., Logits], logits: Tensor, *arguments: Any) -> Tensor:
    """Call one of our functions; what it is given must stay as it is."""
    before = logits.clone()
    result = torch.from_numpy(function(logits.numpy(), *arguments))
    assert torch.equal(logits, before)
    return result


def chooser(options: SamplingOptions, reply: list[int] | None = None, seed: int = 0) -> Chooser:
    made = Chooser(options, seed)
    made.reply += reply or []
    return made


NONE = torch.empty(1, 0, dtype=torch.long)


@CASES
@given(seeds, st.integers(1, 400), st.floats(0.01, 0.999), st.floats(0, 0.5))
def test_filters_are_those_of_transformers(seed: int, k: int, p: float, min_p: float) -> None:
    logits = draw(seed)
    assert torch.equal(ours(keep_top_k, logits, k), TopKLogitsWarper(k)(NONE, logits[None])[0])
    kept = ours(keep_min_p, logits, min_p)
    assert torch.equal(kept, MinPLogitsWarper(min_p)(NONE, logits[None])[0] if min_p else logits)
    for mine, theirs in (
        (ours(keep_top_p, logits, p), TopPLogitsWarper(p)(NONE, logits[None])[0]),
        (ours(keep_typical, logits, p), TypicalLogitsWarper(p)(NONE, logits[None])[0]),
    ):
        differing = (mine > -math.inf) ^ (theirs > -math.inf)
        assert differing.sum() <= 1  # the last one in, where a sum meets p within rounding
        assert torch.equal(mine[~differing], theirs[~differing])


@CASES
@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30), st.integers(1, 40), st.floats(0.01, 1))
def test_filters_keep_what_their_definitions_say(row: list[float], k: int, p: float) -> None:
    logits = torch.tensor(row)
    probabilities = logits.softmax(-1)
    kept = ours(keep_top_k, logits, k) > float("-inf")
    assert kept.sum() >= min(k, len(row))
    assert logits[kept].min() >= logits.sort(descending=True).values[min(k, len(row)) - 1]
    kept = ours(keep_top_p, logits, p) > float("-inf")
    if p < 1:
        assert probabilities[kept].sum() >= p - 1e-5
        assert probabilities[kept].sum() - probabilities[kept].min() < p + 1e-5  # one less would not do


@CASES
@given(seeds, replies, st.floats(0.5, 2))
def test_the_repetition_penalty_is_that_of_transformers(seed: int, reply: list[int], penalty: float) -> None:
    logits = draw(seed, 6)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([reply], dtype=torch.long), logits[None].clone())
    torch.testing.assert_close(ours(penalise_repetition, logits, reply, penalty), theirs[0])


@CASES
@given(seeds, replies, st.floats(-2, 2), st.floats(-2, 2))
def test_count_penalties_are_the_formula(seed: int, reply: list[int], frequency: float, presence: float) -> None:
    logits, counts = draw(seed, 6), Counter(reply)
    wanted = [
        value - counts[id_] * frequency - (counts[id_] > 0) * presence for id_, value in enumerate(logits.tolist())
    ]
    torch.testing.assert_close(ours(penalise_counts, logits, reply, frequency, presence), torch.tensor(wanted))


@CASES
@given(replies, st.integers(1, 4))
def test_no_stretch_comes_twice_as_transformers_defines_it(reply: list[int], n: int) -> None:
    logits = torch.arange(6.0)
    theirs = NoRepeatNGramLogitsProcessor(n)(torch.tensor([reply], dtype=torch.long), logits[None].clone())[0]
    assert torch.equal(ours(ban_repeats, logits, reply, n), theirs)
    assert torch.equal(ours(ban_repeats, logits, reply, 0), logits)


stretches = st.dictionaries(
    st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple), st.floats(-5, 5, width=16), min_size=1, max_size=4
)


@CASES
@given(replies, stretches)
def test_biases_are_those_of_transformers(reply: list[int], biases: dict[tuple[int, ...], float]) -> None:
    logits = torch.arange(6.0)
    theirs = SequenceBiasLogitsProcessor([[list(stretch), bias] for stretch, bias in biases.items()])
    wanted = theirs(torch.tensor([reply], dtype=torch.long), logits[None].clone())[0]
    torch.testing.assert_close(ours(add_biases, logits, reply, biases), wanted)


@CASES
@given(seeds, replies)
def test_all_together_are_the_same_in_the_same_order(seed: int, reply: list[int]) -> None:
    options = SamplingOptions(
        temperature=0.8, top_k=40, top_p=0.9, min_p=0.02, typical_p=0.95, repetition_penalty=1.2, no_repeat_ngram=3
    )
    logits = draw(seed)
    said = torch.tensor([reply], dtype=torch.long)
    wanted = logits[None].clone()
    if reply:
        wanted = RepetitionPenaltyLogitsProcessor(1.2)(said, wanted)
        wanted = NoRepeatNGramLogitsProcessor(3)(said, wanted)
    wanted = wanted / 0.8
    for warper in (TopKLogitsWarper(40), TopPLogitsWarper(0.9), MinPLogitsWarper(0.02), TypicalLogitsWarper(0.95)):
        wanted = warper(said, wanted)
    torch.testing.assert_close(ours(chooser(options, reply).scores, logits), wanted[0])


def test_greedy_takes_the_best_after_penalties() -> None:
    logits = torch.tensor([2.0, -1.0, 1.9])
    assert chooser(SamplingOptions(temperature=0)).choose(logits.numpy()) == 0
    assert chooser(SamplingOptions(temperature=0, repetition_penalty=2.0), [0]).choose(logits.numpy()) == 2


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, -5.0])
    drawing = chooser(SamplingOptions(temperature=0.8, no_repeat_ngram=0))
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[drawing.choose(logits.numpy())] += 1
        drawing.reply.clear()
    assert (counts / 4000 - (logits / 0.8).softmax(-1)).abs().max() < 0.03


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": 1e-45},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"temprature": 1},
        {"typical_p": 0},
        {"frequency_penalty": 11},
        {"beams": 0},
        {"beams": 2, "best_of": 2},
        {"stop": ""},
        {"ban": 3},
        {"bias": "sea"},
        {"bias": "sea=nan"},
        {"top_p": 0},
        {"top_p": 2},
        {"min_p": -1},
        {"top_k": -1},
        {"no_repeat_ngram": -1},
        {"top_k": 1.5},
        {"max_new_tokens": 0},
        {"seed": -1},
        {"repetition_penalty": 0},
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        SamplingOptions().updated(wrong)


def test_texts_are_given_one_or_many() -> None:
    assert SamplingOptions().updated({"stop": "\n"}).stop == ("\n",)
    assert SamplingOptions().updated({"ban": ["a", "b"]}).ban == ("a", "b")
    assert SamplingOptions(ban=("a",)).updated({"ban": "off"}).ban == ()
    assert SamplingOptions(bias=("a=b=-1.5", "c=2")).biases() == {"a=b": -1.5, "c": 2.0}
