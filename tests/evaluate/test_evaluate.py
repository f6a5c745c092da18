from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch

from mychat.corpus.messages import Conversation, Message
from mychat.evaluate.accuracy import persona_accuracy, sit_exams
from mychat.evaluate.evaluate import evaluate
from mychat.evaluate.likelihood import measure_likelihood
from mychat.evaluate.sides import chat_rows
from mychat.generate.engine import Engine
from mychat.model.batch import scored_losses
from mychat.model.checkpoint import load_checkpoint
from mychat.model.host import autocast


def test_figures_are_what_they_say(tiny: Path) -> None:
    """Bits per byte and perplexities against a sum done by hand, one token at a time."""
    from mychat.corpus.split import Side

    engine = Engine(load_checkpoint(tiny))
    talks = [("hi", "Hello! I am Pip."), ("who are you", "My name is Pip, naïve 你好.")]
    side = Side([Conversation((Message("user", asked), Message("assistant", said))) for asked, said in talks])
    measured = measure_likelihood(
        partial(scored_losses, engine.model),
        chat_rows(side, engine.format, engine.context_length),
        engine.tokenizer,
        "cpu",
        autocast("cpu", "fp32"),
    )
    nats = text_nats = 0.0
    tokens = 0
    for asked, said in talks:
        prompt = engine.prompt_ids([Message("user", asked)])
        reply = [*engine.tokenizer.encode(said), engine.format.end]
        with torch.inference_mode():
            losses = -engine.model(torch.tensor([prompt + reply]))[0].log_softmax(-1)
        for place, id_ in enumerate(reply):
            loss = float(losses[len(prompt) - 1 + place, id_])
            nats += loss
            tokens += 1
            text_nats += loss if id_ != engine.format.end else 0.0
    size = sum(len(said.encode()) for _, said in talks)
    assert measured.tokens == tokens
    assert measured.text_bytes == size
    assert measured.loss == pytest.approx(nats / tokens, rel=1e-4)
    assert measured.bits_per_byte == pytest.approx(text_nats / math.log(2) / size, rel=1e-4)
    assert measured.perplexity_per_token == pytest.approx(math.exp(nats / tokens), rel=1e-3)
    assert measured.words == 4 + 5 + 3  # 你 and 好 are a word each, and the full stop after them
    assert measured.perplexity_per_word == pytest.approx(math.exp(nats / measured.words), rel=1e-3)


def test_exams_count_right_answers(tiny: Path) -> None:
    result = evaluate(load_checkpoint(tiny), [tiny.parent / "pip"])
    assert result.answers
    assert result.metrics["persona_accuracy"] == persona_accuracy(result.answers)
    assert result.metrics["exam_questions"] == len(result.answers)
    for answer in result.answers:
        assert answer.right == answer.exam.accepts(answer.reply)
    engine = Engine(load_checkpoint(tiny))
    again = sit_exams(engine, [answer.exam for answer in result.answers])
    assert [answer.reply for answer in again] == [answer.reply for answer in result.answers]
