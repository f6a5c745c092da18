"""Persona accuracy: asked in held-out phrasings, how often is the greedy reply a right one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mychat.config import SamplingOptions
from mychat.corpus.holdout import Exam
from mychat.generate.engine import Engine

GREEDY = SamplingOptions(temperature=0, no_repeat_ngram=0, max_new_tokens=160)


@dataclass(frozen=True, slots=True)
class Answer:
    """An exam question, the reply, and whether it is any valid expansion of the right reply."""

    exam: Exam
    reply: str
    right: bool


def sit_exams(engine: Engine, exams: Sequence[Exam]) -> list[Answer]:
    """Answer all exams greedily."""
    said = engine.replies([engine.prompt_ids(exam.asked) for exam in exams], GREEDY)
    replies = [engine.tokenizer.decode(ids) for ids in said]
    return [Answer(exam, reply, exam.accepts(reply)) for exam, reply in zip(exams, replies, strict=True)]


def persona_accuracy(answers: Sequence[Answer]) -> float:
    """Return the share of right answers."""
    return sum(answer.right for answer in answers) / max(1, len(answers))
