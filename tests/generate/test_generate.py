from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import NoRepeatNGramLogitsProcessor

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import ConfigError, ContextError
from mychat.events import ReplyDelta, ReplyEnd
from mychat.generate.engine import Engine
from mychat.generate.sample import sample
from mychat.generate.sampling import ban_repeats, keep_min_p, keep_top_k, keep_top_p, next_id, penalise_repetition
from mychat.model.checkpoint import load_checkpoint

GREEDY = SamplingOptions(temperature=0, max_new_tokens=24)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine(load_checkpoint(tiny))


def end_of(engine: Engine, text: str, options: SamplingOptions) -> ReplyEnd:
    *_, end = engine.reply([Message("user", text)], options)
    assert isinstance(end, ReplyEnd)
    return end


def without_cache(engine: Engine, text: str, most: int) -> list[int]:
    """The definition: run everything again for every token."""
    ids, said = engine.prompt_ids([Message("user", text)]), []
    with torch.inference_mode():
        while len(said) < most:
            said.append(int(engine.model(torch.tensor([ids + said]))[0, -1].argmax()))
            if said[-1] == engine.format.end:
                return said[:-1]
    return said


@settings(max_examples=25, deadline=None)
@given(text=st.text(min_size=1, max_size=20))
def test_the_cache_changes_nothing(engine: Engine, text: str) -> None:
    room = engine.context_length - engine.count_tokens([Message("user", text)])
    most = min(24, room)
    if most > 0:
        assert list(end_of(engine, text, GREEDY).ids) == without_cache(engine, text, most)


def test_sampling_with_and_without_cache_is_the_same_token_for_token(engine: Engine) -> None:
    options = SamplingOptions(temperature=1.3, top_p=0.95, max_new_tokens=20, seed=11, repetition_penalty=1.1)
    end = end_of(engine, "hi there", options)
    ids, said = engine.prompt_ids([Message("user", "hi there")]), []
    generator = torch.Generator().manual_seed(11)
    with torch.inference_mode():
        for _ in range(20):
            logits = engine.model(torch.tensor([ids + said]))[0, -1]
            id_ = next_id(logits, torch.tensor(said, dtype=torch.long), options, generator)
            if id_ == engine.format.end:
                break
            said.append(id_)
    assert list(end.ids) == said


def test_many_at_once_answer_as_one_by_one(engine: Engine) -> None:
    asked = ["hi", "hello", "what's your name?", "hey", "who are you", "good day", "tell me your name"]
    prompts = [engine.prompt_ids([Message("user", text)]) for text in asked]
    assert engine.greedy(prompts, 24) == [end_of(engine, text, GREEDY).text for text in asked]
    assert engine.greedy([[1] * engine.context_length], 5) == [""]


def test_a_seed_repeats_a_reply_and_none_is_reported(engine: Engine) -> None:
    options = SamplingOptions(temperature=1.5, max_new_tokens=24)
    first = end_of(engine, "hi", options)
    assert end_of(engine, "hi", options.updated({"seed": first.seed})).ids == first.ids
    assert len({end_of(engine, "hi", options).ids for _ in range(8)}) > 1


def test_events_add_up_and_reasons_are_right(engine: Engine) -> None:
    events = list(engine.reply([Message("user", "hi")], GREEDY))
    end = events[-1]
    assert isinstance(end, ReplyEnd)
    assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == end.text
    assert end_of(engine, "hi", GREEDY.updated({"max_new_tokens": 1})).finish_reason == "length"
    assert end_of(engine, "hi", SamplingOptions(temperature=0, max_new_tokens=64)).finish_reason == "stop"
    options = SamplingOptions(temperature=5.0, max_new_tokens=500, seed=3)
    assert end_of(engine, "hi", options).finish_reason in ("stop", "context")


def test_a_prompt_too_long_says_by_how_much(engine: Engine) -> None:
    with pytest.raises(ContextError, match="shorten it by"):
        end_of(engine, "word " * 200, GREEDY)
    with pytest.raises(ContextError, match="empty"):
        list(sample(engine, " \n ", GREEDY))


logit_rows = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30)


@given(logit_rows, st.integers(1, 40), st.floats(0.01, 1), st.floats(0, 1))
def test_filters_keep_what_their_definitions_say(row: list[float], k: int, p: float, min_p: float) -> None:
    logits = torch.tensor(row)
    probabilities = logits.softmax(-1)

    kept = keep_top_k(logits, k) > float("-inf")
    assert kept.sum() >= min(k, len(row))
    assert not kept.all() or k >= len(row) or len(set(row)) < len(row)
    assert logits[kept].min() >= logits.sort(descending=True).values[min(k, len(row)) - 1]

    kept = keep_top_p(logits, p) > float("-inf")
    if p < 1:
        assert probabilities[kept].sum() >= p - 1e-5
        assert probabilities[kept].sum() - probabilities[kept].min() < p + 1e-5  # one less would not do

    kept = keep_min_p(logits, min_p) > float("-inf")
    assert torch.equal(kept, probabilities >= min_p * probabilities.max()) or min_p == 0


def test_the_penalty_and_greedy() -> None:
    logits = torch.tensor([2.0, -1.0, 1.9])
    penalised = penalise_repetition(logits, torch.tensor([0, 1, 1]), 2.0)
    assert penalised.tolist() == pytest.approx([1.0, -2.0, 1.9])
    generator = torch.Generator().manual_seed(0)
    none = torch.tensor([], dtype=torch.long)
    assert next_id(logits, none, SamplingOptions(temperature=0), generator) == 0
    assert next_id(logits, torch.tensor([0]), SamplingOptions(temperature=0, repetition_penalty=2.0), generator) == 2


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 4))
def test_no_stretch_comes_twice_as_transformers_defines_it(reply: list[int], n: int) -> None:
    logits = torch.arange(6.0)
    ours = ban_repeats(logits, torch.tensor(reply, dtype=torch.long), n)
    theirs = NoRepeatNGramLogitsProcessor(n)(torch.tensor([reply], dtype=torch.long), logits[None].clone())[0]
    assert torch.equal(ours, theirs)
    assert torch.equal(ban_repeats(logits, torch.tensor(reply, dtype=torch.long), 0), logits)


def test_a_reply_cannot_run_in_circles(tiny_text: Path) -> None:
    engine = Engine(load_checkpoint(tiny_text))

    def stretches(n: int) -> list[tuple[int, ...]]:
        options = SamplingOptions(temperature=0, no_repeat_ngram=n, max_new_tokens=50)
        *_, end = engine.complete("Note 1: the cat", options)
        assert isinstance(end, ReplyEnd)
        return [end.ids[at : at + 3] for at in range(len(end.ids) - 2)]

    assert len(set(stretches(0))) < len(stretches(0))
    assert len(set(stretches(3))) == len(stretches(3))


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, -5.0])
    generator = torch.Generator().manual_seed(0)
    none = torch.tensor([], dtype=torch.long)
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[next_id(logits, none, SamplingOptions(temperature=0.8), generator)] += 1
    assert (counts / 4000 - (logits / 0.8).softmax(-1)).abs().max() < 0.03


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": 1e-45},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"temprature": 1},
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
