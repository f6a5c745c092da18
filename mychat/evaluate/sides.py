"""One side of a split as rows, and the figures measured on it."""

from __future__ import annotations

from dataclasses import dataclass

from mychat.corpus.split import Side
from mychat.evaluate.accuracy import Answer, persona_accuracy, sit_exams
from mychat.evaluate.likelihood import measure_likelihood
from mychat.generate.engine import Engine
from mychat.model.batch import Rows, pack_rows
from mychat.model.host import autocast
from mychat.tokenizer.chat_format import ChatFormat


def chat_rows(side: Side, chat_format: ChatFormat, context_length: int) -> Rows:
    """Pack the conversations of a side; the assistant's words are scored."""
    rendered = chat_format.render_windows(side.conversations, context_length + 1)
    return pack_rows(rendered, context_length, chat_format.pad)


def all_rows(side: Side, chat_format: ChatFormat, context_length: int) -> Rows:
    """Pack conversations and texts of a side; every id is scored but in messages that are not."""
    rendered = chat_format.render_windows(side.conversations, context_length + 1, everything=True)
    rendered += [chat_format.render_text(text) for text in side.texts]
    return pack_rows(rendered, context_length, chat_format.pad)


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
    metrics = measure_likelihood(engine.model, rows, engine.tokenizer, engine.device, context).metrics()
    answers = sit_exams(engine, side.exams)
    if answers:
        metrics |= {"persona_accuracy": persona_accuracy(answers), "exam_questions": float(len(answers))}
    return Evaluation(metrics, answers)
