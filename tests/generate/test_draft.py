"""Drafts change the speed and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.speculation import p_values
from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyEnd
from mychat.generate.draft import PATIENCE, Drafter
from mychat.generate.engine import Engine
from mychat.model.checkpoint import load_checkpoint

ASKED = ["hi", "hello", "what's your name?", "my name is Ana", "good day to you", "xyz", "say my name"]


@pytest.fixture(scope="module")
def engines(tiny: Path) -> tuple[Engine, Engine]:
    return Engine(load_checkpoint(tiny)), Engine(load_checkpoint(tiny), speculate=False)


def ids_of(engine: Engine, text: str, options: SamplingOptions) -> tuple[int, ...]:
    *_, end = engine.reply([Message("user", text)], options)
    assert isinstance(end, ReplyEnd)
    return end.ids


@pytest.mark.parametrize(
    "options",
    [
        SamplingOptions(temperature=0),
        SamplingOptions(temperature=0.7, top_p=0.9, repetition_penalty=1.1),
        SamplingOptions(temperature=1.5, no_repeat_ngram=2, presence_penalty=0.5),
    ],
)
def test_replies_are_the_same_with_and_without_drafts(engines: tuple[Engine, Engine], options: SamplingOptions) -> None:
    drafting, plain = engines
    for seed in range(20):
        for text in ASKED:
            seeded = options.updated({"seed": seed, "max_new_tokens": 30})
            assert ids_of(drafting, text, seeded) == ids_of(plain, text, seeded)


def test_drafts_save_steps(engines: tuple[Engine, Engine]) -> None:
    drafting, _ = engines
    steps: list[int] = []
    feed = drafting.stream.feed
    drafting.stream.feed = lambda ids: steps.append(len(ids)) or feed(ids)  # type: ignore[method-assign,func-returns-value]
    try:
        said = ids_of(drafting, "hi", SamplingOptions(temperature=0))
    finally:
        del drafting.stream.feed  # type: ignore[method-assign]
    assert len(steps) < len(said) / 2


def test_what_the_conversation_holds_is_drafted_without_a_corpus() -> None:
    drafter = Drafter(None)
    drafter.begin([1, 2, 3, 4, 5, 9, 1, 2])
    assert drafter.draft() == []
    drafter.push(3)
    assert drafter.draft()[:3] == [4, 5, 9]
    assert drafter.draft(2) == [4, 5]


def test_drafts_that_are_never_right_are_given_up_for_a_while() -> None:
    drafter = Drafter(None)
    drafter.begin([1, 2, 3, 4, 1, 2, 3])
    waits = []
    for _ in range(200):
        drafted = drafter.draft()
        waits.append(not drafted)
        drafter.learn(len(drafted), 0)
    assert sum(waits) >= PATIENCE
    assert not all(waits[-PATIENCE - 1 :])


def test_what_is_drawn_under_drafts_follows_the_distribution(engines: tuple[Engine, Engine]) -> None:
    drafting, _ = engines
    found = p_values(drafting, [Message("user", "my name is Ana")], 1500)
    assert min(p for _, p in found) > 1e-3 / len(found), found


def test_a_conversation_that_goes_on_is_not_taken_in_again() -> None:
    going, fresh = Drafter(None), Drafter(None)
    going.begin([1, 2, 3, 4])
    going.push(5)
    for ids in ([1, 2, 3, 4, 5, 6, 2, 3, 4], [1, 2, 9, 4, 7, 2, 9, 4]):  # goes on, then begins otherwise
        going.begin(ids)
        fresh = Drafter(None)
        fresh.begin(ids)
        assert going.draft() == fresh.draft() != []
