from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.errors import ContextError
from mychat.events import ReplyDelta, ReplyEnd
from mychat.generate.engine import Engine
from mychat.generate.sample import sample
from mychat.generate.sampling import Chooser
from mychat.model.checkpoint import load_checkpoint

GREEDY = SamplingOptions(temperature=0, max_new_tokens=24, no_repeat_ngram=0)


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
    chooser = Chooser(options, 11)
    with torch.inference_mode():
        for _ in range(20):
            id_ = chooser.choose(engine.model(torch.tensor([ids + said]))[0, -1].numpy())
            if id_ == engine.format.end:
                break
            said.append(id_)
    assert list(end.ids) == said


def test_many_at_once_answer_as_one_by_one(engine: Engine) -> None:
    asked = ["hi", "hello", "what's your name?", "hey", "who are you", "good day", "tell me your name"]
    prompts = [engine.prompt_ids([Message("user", text)]) for text in asked]
    assert engine.replies(prompts, GREEDY) == [list(end_of(engine, text, GREEDY).ids) for text in asked]
    assert engine.replies([[1] * engine.context_length], GREEDY) == [[]]
    drawn = SamplingOptions(temperature=1.5, top_p=0.9, max_new_tokens=24)
    alone = [list(end_of(engine, text, drawn.updated({"seed": 7 + at})).ids) for at, text in enumerate(asked)]
    assert engine.replies(prompts, drawn, seed=7) == alone
    assert len({tuple(ids) for ids in engine.replies(prompts[:1] * 40, drawn)}) > 1


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


def test_a_reply_cannot_run_in_circles(tiny_text: Path) -> None:
    engine = Engine(load_checkpoint(tiny_text))

    def stretches(n: int) -> list[tuple[int, ...]]:
        options = SamplingOptions(temperature=0, no_repeat_ngram=n, max_new_tokens=50)
        *_, end = engine.complete("Note 1: the cat", options)
        assert isinstance(end, ReplyEnd)
        return [end.ids[at : at + 3] for at in range(len(end.ids) - 2)]

    assert len(set(stretches(0))) < len(stretches(0))
    assert len(set(stretches(3))) == len(stretches(3))


def test_what_was_read_is_not_read_again(engine: Engine) -> None:
    first = [Message("user", "hi")]
    said = end_of(engine, "hi", GREEDY).text
    turn = [*first, Message("assistant", said), Message("user", "what's your name?")]
    fed: list[int] = []
    feed = engine.stream.feed
    engine.stream.feed = lambda ids: fed.append(len(ids)) or feed(ids)  # type: ignore[method-assign,func-returns-value]
    try:
        *_, end = engine.reply(turn, GREEDY)
    finally:
        del engine.stream.feed  # type: ignore[method-assign]
    assert isinstance(end, ReplyEnd)
    new = end.prompt_tokens - engine.count_tokens(first) - len(engine.tokenizer.encode(said))
    assert fed[0] in (new, new - 1)  # that the reply ends there may have been drafted, and read
    engine.stream.rewind(0)
    *_, again = engine.reply(turn, GREEDY)
    assert isinstance(again, ReplyEnd)
    assert again.ids == end.ids


def test_a_reply_left_in_the_middle_harms_nothing(engine: Engine) -> None:
    whole = end_of(engine, "hi", GREEDY).ids
    events = engine.reply([Message("user", "hi")], GREEDY)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert end_of(engine, "hi", GREEDY).ids == whole


def test_what_was_read_ahead_is_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [Message("user", "hi"), Message("assistant", "I am Pip."), Message("user", "my name is Ana")]
    engine.stream.rewind(0)
    unread = [event for event in engine.reply(said, GREEDY) if isinstance(event, ReplyEnd)]
    engine.stream.rewind(0)
    engine.read(said[:2])
    fed: list[int] = []
    feed = engine.stream.feed
    monkeypatch.setattr(engine.stream, "feed", lambda ids: fed.append(len(ids)) or feed(ids))
    (end,) = (event for event in engine.reply(said, GREEDY) if isinstance(event, ReplyEnd))
    assert end.ids == unread[0].ids
    assert fed[0] <= engine.count_tokens(said) - engine.count_tokens(said[:2]) + 2
    with pytest.raises(ContextError):
        engine.read([Message("user", "x" * 1000)])
