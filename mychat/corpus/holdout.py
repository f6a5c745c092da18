"""Held-out phrasings: the wordings of a persona's user lines that training never sees and the exam asks in."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mychat.corpus.chatfile import Dialogue
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.pattern import Choice, Pattern, Text, count_expansions, expand

HELD_OUT_SHARE = 0.15
"""Of a user line's alternatives; half for validation, half for test."""
FEWEST_ALTERNATIVES = 3
SHARED_WORDS = 0.5
"""Of a phrasing's words, weighed by how telling they are, those its siblings must share for it to be held out."""


def line_key(text: str) -> str:
    """Reduce a line to what two typings of it share: letters and digits, one case.

    `"What's UP?"` -> `"whats up"`
    """
    return " ".join(re.sub(r"[^\w\s]|_", "", text.casefold()).split()) or text.strip()


def rank(text: str, seed: int) -> bytes:
    """Return a hash to sort by: an order that looks random and never changes."""
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Exam:
    """A question in a held-out phrasing, with how to tell a right answer."""

    asked: tuple[Message, ...]
    dialogue: Dialogue
    turn: int
    bindings: Mapping[str, str]

    def accepts(self, reply: str) -> bool:
        """Tell whether `reply` is a valid expansion of the right reply."""
        return self.dialogue.accepts(reply, self.turn, self.bindings)


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """A user line's widest top-level choice: its place, and the options for training, validation and test."""

    place: int
    train: tuple[int, ...]
    exams: tuple[tuple[int, ...], tuple[int, ...]]

    def restrict(self, user: Pattern, kept: Sequence[int]) -> Pattern:
        """Return the line with only these options."""
        choice = user[self.place]
        assert isinstance(choice, Choice)
        options = tuple(choice.options[option] for option in kept)
        return (*user[: self.place], Choice(options), *user[self.place + 1 :])


class Holder:
    """Chooses what is held out of a persona's user lines.

    A phrasing qualifies when the other phrasings of its line still teach its
    telling words: holding out the only "sibling" would hide a word from the
    model, not a wording. Among those that qualify a hash chooses.
    """

    def __init__(self, dialogues: Sequence[Dialogue], seed: int) -> None:
        self.seed = seed
        self.phrasings: Counter[str] = Counter()
        for dialogue in dialogues:
            for turn in dialogue.turns:
                for node in turn.user:
                    for option in node.options if isinstance(node, Choice) else ():
                        self.phrasings.update(_words(option))

    def hold_out(self, user: Pattern) -> _HeldOut | None:
        """Choose what is held out of a user line; None when it has too few alternatives that qualify."""
        choices = [(len(node.options), -place, node) for place, node in enumerate(user) if isinstance(node, Choice)]
        if not choices:
            return None
        width, place, choice = max(choices, key=lambda found: found[:2])
        if width < FEWEST_ALTERNATIVES:
            return None
        qualified = [option for option in range(width) if self._is_taught(choice, option)]
        ranked = sorted(qualified, key=lambda option: rank(repr(choice.options[option]), self.seed))
        held = ranked[: max(1, round(width * HELD_OUT_SHARE))]
        first = rank(repr(user), self.seed)[0] % 2  # a single one goes to either side
        kept = tuple(option for option in range(width) if option not in held)
        return _HeldOut(-place, kept, (tuple(held[first::2]), tuple(held[1 - first :: 2]))) if held else None

    def _is_taught(self, choice: Choice, option: int) -> bool:
        """Whether the siblings share enough of an option's words, each weighed by its rarity in the persona."""
        siblings = {word for place, other in enumerate(choice.options) if place != option for word in _words(other)}
        total = max(1, self.phrasings.total())
        weights = {word: math.log(total / self.phrasings[word]) for word in _words(choice.options[option])}
        shared = sum(weight for word, weight in weights.items() if word in siblings)
        return shared >= SHARED_WORDS * sum(weights.values())


_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""Chinese and Japanese are written without spaces: there, a character counts as a word."""


def list_words(text: str) -> list[str]:
    """Split a line's key: `"Wie geht's 你好"` -> `["wie", "gehts", "你", "好"]`."""
    return _WORD.findall(line_key(text))


def _words(pattern: Pattern) -> set[str]:
    """Collect the literal words of a pattern."""
    words: set[str] = set()
    for node in pattern:
        if isinstance(node, Text):
            words |= set(list_words(node.text))
        elif isinstance(node, Choice):
            words |= {word for option in node.options for word in _words(option)}
    return words


def without_held_out(dialogue: Dialogue, holder: Holder) -> Dialogue:
    """Return the dialogue as training sees it."""
    turns = []
    for turn in dialogue.turns:
        held = holder.hold_out(turn.user)
        turns.append(replace(turn, user=held.restrict(turn.user, held.train)) if held else turn)
    return replace(dialogue, turns=tuple(turns))


def write_exams(dialogues: Sequence[Dialogue], learnt: Sequence[Dialogue], which: int, holder: Holder) -> list[Exam]:
    """Write up to two questions for each held-out phrasing of each turn of each dialogue."""
    exams: dict[tuple[Message, ...], Exam] = {}
    rng = random.Random(f"{holder.seed}/{which}")
    for dialogue, trained in zip(dialogues, learnt, strict=True):
        for index, turn in enumerate(dialogue.turns):
            held = holder.hold_out(turn.user)
            for option in held.exams[which] if held else ():
                user = held.restrict(turn.user, [option]) if held else turn.user
                asking = replace(dialogue, turns=(*trained.turns[:index], replace(turn, user=user)))
                for _ in range(min(2, count_expansions(user))):
                    conversation, bindings = asking.expand(rng)
                    asked = conversation.messages[:-1]
                    exams.setdefault(asked, Exam(asked, dialogue, index, bindings[index]))
    return list(exams.values())


def exam_conversation(exam: Exam, seed: int) -> Conversation:
    """Render the question with one right answer, the only message that is scored."""
    context = tuple(replace(message, scored=False) for message in exam.asked)
    rng = random.Random(f"{seed}/{context[-1].content}")
    reply = expand(exam.dialogue.turns[exam.turn].reply, dict(exam.bindings), rng)
    return Conversation((*context, Message("assistant", reply)))
