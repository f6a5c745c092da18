"""The corpus doctor: what will keep a model from learning these words well, each with the file and line.

A small model learns what is said often and one way. So the doctor looks for
questions asked in too few ways, questions with two answers, answers that fit
every question, and words that do nothing.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mychat.config import PERSONA_FILE
from mychat.corpus.chatfile import Dialogue, Turn
from mychat.corpus.cleaning import find_unwanted
from mychat.corpus.holdout import FEWEST_ALTERNATIVES, line_key, list_words
from mychat.corpus.messages import Conversation
from mychat.corpus.pattern import Choice, Draw, Pattern, count_expansions, expand_nth, recalls
from mychat.corpus.words import Words
from mychat.errors import CorpusError

FEW_PHRASINGS = 6
MOST_WORDINGS = 400
"""Of a line, those that are looked at."""
SWAMP_SHARE, SWAMP_TOPICS = 0.05, 5
"""A reply that makes up so much of all, after so many different questions, drowns the others."""
UNBALANCED = 12.0
"""Times as many characters by one speaker as by the other."""
LITTLE_TEXT, FEW_DIALOGUES = 20_000, 30
SAME_LINE = "stands here twice"

Kind = Literal["problem", "advice"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, where, and what to do."""

    kind: Kind
    where: str
    """`file:line`, or the file or folder."""
    text: str


@dataclass(slots=True)
class Checkup:
    """Counts of what there is, and what was found, problems first."""

    counts: dict[str, int]
    findings: list[Finding] = field(default_factory=list)

    @property
    def problems(self) -> int:
        """How many findings will hurt."""
        return sum(finding.kind == "problem" for finding in self.findings)


def examine(words: Words) -> Checkup:
    """Look through words that could be read."""
    found = [
        *_control_characters(words.files),
        *_two_answers(words.dialogues),
        *_said_twice(words.dialogues),
        *_near_duplicates(words.dialogues),
        *_same_conversations(words.conversations),
        *_few_phrasings(words.dialogues),
        *_swamping(words),
        *_unused_slots(words),
        *_unbalanced(words),
        *_too_little(words),
    ]
    return Checkup(count_words(words), in_order(found))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sort: problems first, then by place."""
    return sorted(findings, key=lambda one: (one.kind != "problem", _place(one.where)))


def count_words(words: Words) -> dict[str, int]:
    """Count what there is."""
    turns = [turn for dialogue in words.dialogues for turn in dialogue.turns]
    return {
        "topics": len({dialogue.topic for dialogue in words.dialogues}),
        "dialogues": len(words.dialogues),
        "turns": len(turns),
        "phrasings": sum(len(_wordings(turn.user)) for turn in turns),
        "replies": sum(len(_wordings(turn.reply)) for turn in turns),
        "expansions": sum(dialogue.count() for dialogue in words.dialogues),
        "conversations": len(words.conversations),
        "messages": sum(len(conversation.messages) for conversation in words.conversations),
        "text_characters": sum(map(len, words.texts)),
    }


def _place(where: str) -> tuple[str, int]:
    path, _, line = where.rpartition(":")
    return (path, int(line)) if line.isdigit() else (where, 0)


def _at(dialogue: Dialogue, turn: Turn | None = None) -> str:
    return f"{dialogue.path}:{turn.line if turn else dialogue.line}"


def _wordings(pattern: Pattern) -> list[str]:
    """List what a line can say, slots by their first word; evenly spread when there are too many."""
    slim = _first_words(pattern)
    total = count_expansions(slim)
    step = max(1, total // MOST_WORDINGS)
    while math.gcd(step, total) > 1:  # else some alternatives would never come up
        step += 1
    bindings: dict[str, str] = defaultdict(lambda: "…")
    return [expand_nth(slim, number * step % total, bindings) for number in range(min(total, MOST_WORDINGS))]


def _first_words(pattern: Pattern) -> Pattern:
    return tuple(
        Draw(node.words[:1], node.name)
        if isinstance(node, Draw)
        else Choice(tuple(map(_first_words, node.options)))
        if isinstance(node, Choice)
        else node
        for node in pattern
    )


# --- one check each


def _control_characters(files: Sequence[Path]) -> Iterator[Finding]:
    for path in files:
        try:
            lines = path.read_text("utf-8", errors="replace").split("\n")
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read ({error.strerror})") from None
        for number, line in enumerate(lines, 1):
            if char := find_unwanted(line):
                name = unicodedata.name(char, "a control character")
                text = f"U+{ord(char):04X} ({name.lower()}) is removed when read; delete it in the file"
                yield Finding("problem", f"{path}:{number}", text)


def _openings(dialogues: Sequence[Dialogue]) -> Iterator[tuple[str, Dialogue]]:
    """Yield every wording of every first question: what comes before it does not decide the answer."""
    for dialogue in dialogues:
        if dialogue.system is None:
            for wording in _wordings(dialogue.turns[0].user):
                yield line_key(wording), dialogue


def _two_answers(dialogues: Sequence[Dialogue]) -> Iterator[Finding]:
    asked: dict[str, Dialogue] = {}
    told: set[tuple[int, int]] = set()
    for key, dialogue in _openings(dialogues):
        first = asked.setdefault(key, dialogue)
        pair = (id(first), id(dialogue))
        if first is not dialogue and pair not in told and not _answers_overlap(first, dialogue):
            told.add(pair)
            text = (
                f"{key!r} is asked here and at {_at(first)}, with other answers; ask it in one place, "
                "or give both the same answers"
            )
            yield Finding("problem", _at(dialogue), text)


def _answers_overlap(one: Dialogue, other: Dialogue) -> bool:
    if one.topic == other.topic:  # variants of one exchange: the rest of the dialogue tells them apart
        return True
    return not set(map(line_key, _wordings(one.turns[0].reply))).isdisjoint(
        map(line_key, _wordings(other.turns[0].reply))
    )


def _said_twice(dialogues: Sequence[Dialogue]) -> Iterator[Finding]:
    for dialogue in dialogues:
        for turn in dialogue.turns:
            for pattern in (turn.user, turn.reply):
                seen: set[str] = set()
                for wording in _wordings(pattern):
                    key = line_key(wording)
                    if key in seen:
                        yield Finding("advice", _at(dialogue, turn), f"{wording!r} {SAME_LINE}; once is enough")
                        break
                    seen.add(key)


def _near_duplicates(dialogues: Sequence[Dialogue]) -> Iterator[Finding]:
    """Find questions of two topics in the same words, in another order."""
    asked: dict[tuple[str, ...], tuple[str, Dialogue]] = {}
    told: set[tuple[int, int]] = set()
    for key, dialogue in _openings(dialogues):
        bag = tuple(sorted(list_words(key)))
        before, first = asked.setdefault(bag, (key, dialogue))
        pair = (id(first), id(dialogue))
        if len(bag) < 3 or before == key or first.topic == dialogue.topic or pair in told:
            continue
        if not _answers_overlap(first, dialogue):
            told.add(pair)
            text = f"{key!r} is nearly {before!r} at {_at(first)}, with other answers; a small model will mix them up"
            yield Finding("advice", _at(dialogue), text)


def _same_conversations(conversations: Sequence[Conversation]) -> Iterator[Finding]:
    """Find conversations that are the same but for case and marks."""
    seen: dict[tuple[str, ...], str] = {}
    for conversation in conversations:
        key = tuple(line_key(message.content) for message in conversation.messages)
        first = seen.setdefault(key, conversation.where)
        if first != conversation.where:
            yield Finding("advice", conversation.where, f"the same conversation as at {first}; once is enough")


def _few_phrasings(dialogues: Sequence[Dialogue]) -> Iterator[Finding]:
    for dialogue in dialogues:
        for turn in dialogue.turns:
            ways = max((len(node.options) for node in turn.user if isinstance(node, Choice)), default=1)
            slots = any(isinstance(node, Draw) for node in turn.user)
            if ways < FEWEST_ALTERNATIVES and not slots:
                text = (
                    f"asked in {ways} way{'s' if ways > 1 else ''}: other wordings will not be understood, and none is "
                    f"tested; write {FEW_PHRASINGS} and more, {{a|b|c}}"
                )
                yield Finding("problem" if turn is dialogue.turns[0] else "advice", _at(dialogue, turn), text)
            elif ways < FEW_PHRASINGS and not slots:
                yield Finding(
                    "advice", _at(dialogue, turn), f"asked in {ways} ways; {FEW_PHRASINGS} and more are safer"
                )


@dataclass(slots=True)
class _Said:
    """One reply: how much of all replies it is, after which questions, where first."""

    share: float = 0.0
    questions: set[str] = field(default_factory=set)
    where: str = ""
    text: str = ""


def _swamping(words: Words) -> Iterator[Finding]:
    """Find replies that come after everything: they do not depend on their question."""
    said: dict[str, _Said] = defaultdict(_Said)
    for where, question, replies in _exchanges(words):
        for reply in replies:
            one = said[line_key(reply)]
            one.share += 1 / len(replies)
            one.questions.add(question)
            one.where, one.text = one.where or where, one.text or reply
    total = sum(one.share for one in said.values())
    for one in said.values():
        share = one.share / total
        if len(one.questions) < SWAMP_TOPICS:
            continue
        if share >= SWAMP_SHARE:
            text = f"{one.text!r} is {share:.0%} of all replies and will come up everywhere; vary it, or say it less"
            yield Finding("problem", one.where, text)
        elif len(one.questions) >= 4 * SWAMP_TOPICS:
            text = f"{one.text!r} answers {len(one.questions)} different questions: it does not depend on them; vary it"
            yield Finding("advice", one.where, text)


def _exchanges(words: Words) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each question's place, what tells it from others, and its replies."""
    for dialogue in words.dialogues:
        for turn in dialogue.turns:
            if not recalls(turn.reply):
                yield _at(dialogue, turn), f"{dialogue.topic}/{turn.line}", _wordings(turn.reply)
    for conversation in words.conversations:
        for before, message in zip(conversation.messages, conversation.messages[1:], strict=False):
            if message.role == "assistant" and before.role == "user":
                yield conversation.where or folder_of(words), line_key(before.content), [message.content]


def _unused_slots(words: Words) -> Iterator[Finding]:
    used = {
        draw
        for dialogue in words.dialogues
        for turn in dialogue.turns
        for pattern in (turn.user, turn.reply)
        for draw in _draws(pattern)
    }
    path = next((file for file in words.files if file.name == PERSONA_FILE), None)
    for name, choices in words.persona.slots.items():
        if path and words.dialogues and tuple(choices) not in used:
            lines = path.read_text("utf-8").split("\n")
            line = next((n for n, text in enumerate(lines, 1) if re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", text)), 1)
            yield Finding("advice", f"{path}:{line}", f"slot {name!r} is used nowhere; remove it, or write {{{name}}}")


def _draws(pattern: Pattern) -> Iterator[tuple[str, ...]]:
    for node in pattern:
        if isinstance(node, Draw):
            yield node.words
        elif isinstance(node, Choice):
            for option in node.options:
                yield from _draws(option)


def _unbalanced(words: Words) -> Iterator[Finding]:
    chars = {"user": 0, "assistant": 0}
    for conversation in _one_each(words):
        for message in conversation.messages:
            if message.role in chars:
                chars[message.role] += len(message.content)
    more, less = sorted(chars, key=lambda role: -chars[role])
    if chars[less] and chars[more] > UNBALANCED * chars[less]:
        text = (
            f"the {more} says {chars[more] / chars[less]:.0f} times as much as the {less}; "
            "shorter turns, more of them, make a better talker"
        )
        yield Finding("advice", folder_of(words), text)


def _one_each(words: Words) -> Iterable[Conversation]:
    yield from words.conversations
    for dialogue in words.dialogues:
        yield dialogue.expand_nth(0)


def _too_little(words: Words) -> Iterator[Finding]:
    found = len(words.dialogues) + len(words.conversations)
    if words.is_chat and found < FEW_DIALOGUES:
        text = (
            f"{found} dialogue{'s' if found > 1 else ''}: it will know nothing else. Write {FEW_DIALOGUES} and more: "
            "greetings, who it is, what it likes, what it does not know, thanks, goodbye"
        )
        yield Finding("problem", folder_of(words), text)
    chars = sum(map(len, written_texts(words)))
    if chars < LITTLE_TEXT:
        text = (
            f"{chars:,} characters in all are little to learn a language from; more phrasings, more replies, "
            "or a .txt file of plain text in the same folder help"
        )
        yield Finding("advice", folder_of(words), text)


def folder_of(words: Words) -> str:
    """Return where words lie that are judged as a whole."""
    return str(words.files[0].parent)


def written_texts(words: Words) -> Iterator[str]:
    """Yield every line somebody wrote, each wording once, however many expansions there are."""
    for dialogue in words.dialogues:
        for turn in dialogue.turns:
            yield from _wordings(turn.user)
            yield from _wordings(turn.reply)
    for conversation in words.conversations:
        for message in conversation.messages:
            yield message.content
    for text in words.texts:
        yield str(text)
