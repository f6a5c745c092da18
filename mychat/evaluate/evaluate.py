"""Evaluate a checkpoint: on the test side of the words it learnt from, or on other words."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mychat.config import SAMPLING_NAMES, find
from mychat.corpus.augment import Typing
from mychat.corpus.compose import CHAINED
from mychat.corpus.holdout import Exam
from mychat.corpus.split import Side, Split, split_words
from mychat.corpus.words import Words, load_words
from mychat.errors import CorpusError
from mychat.evaluate.sides import Evaluation, evaluate_side
from mychat.generate.engine import Engine
from mychat.model.checkpoint import Checkpoint


def evaluate(checkpoint: Checkpoint, data: Sequence[Path] = (), device: str = "cpu") -> Evaluation:
    """Measure in fp32. Without `data`, find the words it was trained on by their name.

    Words with the training's fingerprint are split as they were, and the test
    side is measured; all of other words is.
    Raises: CorpusError when the words are not found.
    """
    words = load_words(list(data) or _training_words(checkpoint), SAMPLING_NAMES)
    about = checkpoint.record["data"]
    if words.fingerprint() == about["fingerprint"]:
        side = split_as_trained(checkpoint, words).test
    elif not data:
        raise CorpusError(
            f"{words.files[0].parent}: changed since {about['name']} was trained; name the words with --data"
        )
    else:
        side = _whole(words)
    chat = checkpoint.is_chat and words.is_chat
    return evaluate_side(Engine(checkpoint, device), side, "fp32", chat=chat)


def split_as_trained(checkpoint: Checkpoint, words: Words) -> Split:
    """Split the words that a checkpoint was trained on as they were then."""
    about, settings = checkpoint.record["data"], checkpoint.record["settings"]
    chained = about.get("chained", CHAINED)
    return split_words(words, about["train_chars"], settings["seed"], Typing.of(settings), chained)


def _training_words(checkpoint: Checkpoint) -> list[Path]:
    names = checkpoint.record.get("data", {}).get("sources", [])
    paths = [path for name in names if (path := find("personas", name))]
    if not paths or len(paths) < len(names):
        raise CorpusError(f"the words it was trained on ({', '.join(names)}) are not here; name them with --data")
    return paths


def _whole(words: Words) -> Side:
    """Take all words as one side; each dialogue is asked once, in a random expansion."""
    side = Side(list(words.conversations), list(words.texts))
    rng = random.Random(0)
    for dialogue in words.dialogues:
        conversation, bindings = dialogue.expand(rng)
        side.conversations.append(conversation)
        before = len(conversation.messages) - 2 * len(dialogue.turns)
        for turn, bound in enumerate(bindings):
            side.exams.append(Exam(conversation.messages[: before + 2 * turn + 1], dialogue, turn, bound))
    return side
