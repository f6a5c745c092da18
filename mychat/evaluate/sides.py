"""One side of a split as rows, and the figures measured on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mychat.corpus.split import Side
from mychat.evaluate.accuracy import Answer, persona_accuracy, sit_exams
from mychat.evaluate.likelihood import measure_likelihood
from mychat.generate.engine import Engine
from mychat.model.batch import Rows, pack_rows, scored_losses
from mychat.model.host import autocast
from mychat.tokenizer.chat_format import ChatFormat, Rendered

CONVERSATIONS_AT_A_TIME = 10_000


def chat_rows(side: Side, chat_format: ChatFormat, context_length: int, file: Path | None = None) -> Rows:
    """Pack the conversations of a side; the assistant's words are scored."""
    return _pack(_windows(side, chat_format, context_length, everything=False), chat_format, context_length, file)


def all_rows(side: Side, chat_format: ChatFormat, context_length: int, file: Path | None = None) -> Rows:
    """Pack conversations and texts of a side; every id is scored but in messages that are not."""
    windows = _windows(side, chat_format, context_length, everything=True)
    texts = (chat_format.render_text(str(text)) for text in side.texts)
    return _pack(itertools.chain(windows, texts), chat_format, context_length, file)


def _windows(side: Side, chat_format: ChatFormat, context_length: int, *, everything: bool) -> Iterator[Rendered]:
    for start in range(0, len(side.conversations), CONVERSATIONS_AT_A_TIME):
        some = side.conversations[start : start + CONVERSATIONS_AT_A_TIME]
        yield from chat_format.render_windows(some, context_length + 1, everything=everything)


def _pack(rendered: Iterable[Rendered], chat_format: ChatFormat, context_length: int, file: Path | None) -> Rows:
    vocab_size = chat_format.tokenizer.vocab_size
    return pack_rows(rendered, context_length, pad=chat_format.pad, vocab_size=vocab_size, file=file)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a side, and the answers behind persona accuracy."""

    metrics: dict[str, float]
    answers: list[Answer]


def evaluate_side(engine: Engine, side: Side, precision: str, *, chat: bool) -> Evaluation:
    """Measure a side: likelihood of what the assistant says (or of all text), and the exams."""
    make_rows = chat_rows if chat else all_rows
    rows = make_rows(side, engine.format, engine.context_length)
    context = autocast(engine.device, precision)
    losses_of = partial(scored_losses, engine.model)
    metrics = measure_likelihood(losses_of, rows, engine.tokenizer, engine.device, context).metrics()
    answers = sit_exams(engine, side.exams)
    if answers:
        metrics |= {"persona_accuracy": persona_accuracy(answers), "exam_questions": float(len(answers))}
    return Evaluation(metrics, answers)
