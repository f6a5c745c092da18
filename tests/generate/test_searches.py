"""Searches and scores against transformers and against brute force, on a real tiny model."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from mychat.config import SamplingOptions
from mychat.corpus.messages import Message
from mychat.events import ReplyDelta, ReplyEnd
from mychat.generate.ban import BannedTexts
from mychat.generate.beam import beam_search
from mychat.generate.engine import Engine
from mychat.generate.stop import TextUntil
from mychat.model.checkpoint import load_checkpoint

HI = [Message("user", "hi")]


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine(load_checkpoint(tiny))


def end_of(engine: Engine, options: SamplingOptions, alternatives: int | None = None) -> ReplyEnd:
    *_, end = engine.reply(HI, options, alternatives=alternatives)
    assert isinstance(end, ReplyEnd)
    return end


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beams_are_those_of_transformers(tiny: Path, engine: Engine, penalty: float) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    for case in range(100):
        length = int(torch.randint(2, 12, (1,), generator=generator))
        middle = torch.randint(0, engine.tokenizer.vocab_size - 6, (length,), generator=generator).tolist()
        prompt = [engine.format.bos, engine.format.role["user"], *middle, engine.format.role["assistant"]]
        found = theirs.generate(
            torch.tensor([prompt]), num_beams=3, num_return_sequences=3, do_sample=False, max_new_tokens=8,
            length_penalty=penalty, early_stopping=False, repetition_penalty=1.0, output_scores=True,
            return_dict_in_generate=True, pad_token_id=engine.format.pad,
        )  # fmt: skip
        wanted = []
        for ids in found.sequences[:, len(prompt) :].tolist():
            wanted.append(
                tuple(itertools.takewhile(lambda id_: id_ not in (engine.format.end, engine.format.pad), ids))
            )
        beams = beam_search(engine.decoder, prompt, 3, end=engine.format.end, most=8, length_penalty=penalty)
        assert [beam.ids for beam in beams] == wanted, case
        torch.testing.assert_close(
            torch.tensor([beam.score for beam in beams]), found.sequences_scores, rtol=1e-3, atol=1e-3
        )


def test_a_beam_as_wide_as_all_there_is_finds_the_best(engine: Engine) -> None:
    vocab = engine.tokenizer.vocab_size
    prompt = engine.prompt_ids(HI)
    beams = beam_search(engine.decoder, prompt, vocab, end=engine.format.end, most=2, length_penalty=0.0)
    with torch.inference_mode():
        first = engine.model(torch.tensor([prompt]))[0, -1].log_softmax(-1)
        second = engine.model(torch.tensor([[*prompt, id_] for id_ in range(vocab)]))[:, -1].log_softmax(-1)
    both = first[:, None] + second
    both[engine.format.end] = -math.inf
    best = max(float(first[engine.format.end]), float(both.max()))
    assert beams[0].score == pytest.approx(best, abs=1e-4)


def test_a_wider_search_is_never_worse_and_is_what_replies_say(engine: Engine) -> None:
    prompt = engine.prompt_ids(HI)
    scores = [engine.beams(prompt, SamplingOptions(beams=width, length_penalty=0.0))[0].score for width in (2, 4, 8)]
    assert scores == sorted(scores)
    end = end_of(engine, SamplingOptions(beams=4))
    assert end.ids == engine.beams(prompt, SamplingOptions(beams=4))[0].ids
    assert end.finish_reason == "stop"
    banned = engine.beams(prompt, SamplingOptions(beams=4, ban=("Hello", "Hi")))[0]
    assert not engine.tokenizer.decode(banned.ids).startswith(("Hello", "Hi"))


def test_best_of_keeps_the_likeliest_of_its_draws(engine: Engine) -> None:
    options = SamplingOptions(temperature=2.0, max_new_tokens=12, seed=3)
    prompt = engine.prompt_ids(HI)
    draws = engine.replies([prompt] * 6, options, seed=3)
    likelihoods = [per_id for _, per_id in engine.likelihood(prompt, [[*ids, engine.format.end] for ids in draws])]
    best = draws[likelihoods.index(max(likelihoods))]
    assert list(end_of(engine, options.updated({"best_of": 6})).ids) == best


def test_likelihoods_and_choices_by_brute_force(engine: Engine) -> None:
    texts = ["Hello! I am Pip.", "Hi. I am Pip.", "My name is Pip.", "no"]
    prompt = engine.prompt_ids(HI)
    totals = []
    for text in texts:
        ids = [*engine.tokenizer.encode(text), engine.format.end]
        with torch.inference_mode():
            logprobs = engine.model(torch.tensor([prompt + ids]))[0].log_softmax(-1)
        totals.append(sum(float(logprobs[len(prompt) - 1 + at, id_]) for at, id_ in enumerate(ids)))
    shares = torch.tensor(totals).softmax(-1).tolist()
    assert engine.choices(HI, texts) == pytest.approx(shares, abs=1e-3)


def test_scores_tell_what_the_network_thought(engine: Engine) -> None:
    end = end_of(engine, SamplingOptions(temperature=0, repetition_penalty=1.3), alternatives=3)
    prompt = engine.prompt_ids(HI)
    with torch.inference_mode():
        logprobs = engine.model(torch.tensor([[*prompt, *end.ids]]))[0, len(prompt) - 1 : -1].log_softmax(-1)
    assert [score.id for score in end.scores] == list(end.ids)
    for score, row in zip(end.scores, logprobs, strict=True):
        assert score.logprob == pytest.approx(float(row[score.id]), abs=1e-4)
        assert score.entropy == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-3)
        assert [id_ for id_, _, _ in score.alternatives] == row.topk(3).indices.tolist()
    assert "".join(score.text for score in end.scores) == end.text
    assert "".join(score.text for score in end.prompt_scores) == "<|user|>hi<|end|><|assistant|>"
    searched = end_of(engine, SamplingOptions(beams=3), alternatives=1)
    assert len(searched.scores) == len(searched.ids)
    assert end_of(engine, SamplingOptions(temperature=0)).scores == ()


def test_every_word_of_a_conversation_is_scored(engine: Engine) -> None:
    said = [*HI, Message("assistant", "Hello! I am Pip."), Message("user", "what's your name?")]
    parts, _ = engine.score(said, alternatives=1)
    assert ["".join(score.text for score in part) for part in parts] == [message.content for message in said]
    ids = engine.format.render(said).ids
    with torch.inference_mode():
        logprobs = engine.model(torch.tensor([ids]))[0].log_softmax(-1)
    flat = [score for part in parts for score in part]
    places = [at for at, id_ in enumerate(ids) if engine.tokenizer.token_bytes(id_)]
    assert [score.logprob for score in flat] == pytest.approx(
        [float(logprobs[at - 1, ids[at]]) for at in places], abs=1e-4
    )


def test_stop_texts_end_a_reply_before_them(engine: Engine) -> None:
    whole = end_of(engine, SamplingOptions(temperature=0))
    events = list(engine.reply(HI, SamplingOptions(temperature=0, stop=("am P", "zzz"))))
    end = events[-1]
    assert isinstance(end, ReplyEnd)
    assert end.text == whole.text.partition("am P")[0]
    assert end.finish_reason == "stop"
    assert "".join(event.text for event in events if isinstance(event, ReplyDelta)) == end.text
    for seed in range(5):
        assert "Pip" not in end_of(engine, SamplingOptions(temperature=1.5, ban=("Pip", "zz"), seed=seed)).text
    pushed = end_of(engine, SamplingOptions(temperature=0, bias=("M=100",), max_new_tokens=1))
    assert engine.tokenizer.decode(pushed.ids) == "M"


@settings(max_examples=200, deadline=None)
@given(text=st.text("abc é", max_size=30), stops=st.lists(st.text("abc é", min_size=1, max_size=4), max_size=3))
def test_text_ends_where_the_first_stop_begins(engine: Engine, text: str, stops: list[str]) -> None:
    until = TextUntil(engine.tokenizer, stops)
    shown = []
    for id_ in engine.tokenizer.encode(text):
        shown.append(until.push(id_))
        if until.stopped:
            break
    shown.append(until.finish())
    so_far = "".join(shown)
    assert text.startswith(so_far)
    assert until.stopped == any(stop in text for stop in stops)
    assert not any(stop in so_far for stop in stops)
    if until.stopped:
        assert any(text[len(so_far) :].startswith(stop) for stop in stops)
    else:
        assert so_far == text
    if len(stops) == 1:
        assert so_far == text.partition(stops[0])[0]


@settings(max_examples=200, deadline=None)
@given(said=st.text("Pip zé", max_size=8), banned=st.lists(st.text("Pip zé", min_size=1, max_size=4), max_size=3))
def test_what_would_complete_a_banned_text_is_banned_and_nothing_else(
    engine: Engine, said: str, banned: list[str]
) -> None:
    tokenizer = engine.tokenizer
    reply = tokenizer.encode(said)
    before = said.encode()
    texts = [text.encode() for text in banned if text not in said]
    wanted = {
        id_ for id_ in range(tokenizer.vocab_size) if any(text in before + tokenizer.token_bytes(id_) for text in texts)
    }
    assert set(BannedTexts(tokenizer, [text.decode() for text in texts]).ids(reply)) == wanted
