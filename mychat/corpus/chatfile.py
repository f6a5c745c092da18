"""The `.chat` format: dialogues a person writes by hand. See docs/design.md."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mychat.corpus.cleaning import read_text
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.pattern import Pattern, PatternParser, Text, count_expansions, expand, expand_nth, matches
from mychat.errors import SyntaxFault

LATER = "..."


@dataclass(frozen=True, slots=True)
class Turn:
    """A user pattern and the reply pattern. `later`: other talk may come before this turn."""

    user: Pattern
    reply: Pattern
    line: int
    later: bool = False


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that stand for all their expansions."""

    topic: str
    turns: tuple[Turn, ...]
    path: Path
    line: int
    system: str | None = None

    def count(self) -> int:
        """Count the expansions (the product over all lines)."""
        return count_expansions(tuple(node for turn in self.turns for node in turn.user + turn.reply))

    def expand(self, rng: random.Random) -> tuple[Conversation, list[dict[str, str]]]:
        """Draw one expansion, and the names bound when each reply is due."""
        bindings: dict[str, str] = {}
        messages = self._system()
        at_reply = []
        for turn in self.turns:
            messages.append(Message("user", expand(turn.user, bindings, rng)))
            at_reply.append(dict(bindings))
            messages.append(Message("assistant", expand(turn.reply, bindings, rng)))
        return Conversation(tuple(messages)), at_reply

    def expand_nth(self, index: int) -> Conversation:
        """Return expansion number `index` of `count()`, in a fixed order."""
        bindings: dict[str, str] = {}
        messages = self._system()
        for turn in self.turns:
            for role, pattern in (("user", turn.user), ("assistant", turn.reply)):
                index, which = divmod(index, count_expansions(pattern))
                messages.append(Message(role, expand_nth(pattern, which, bindings)))  # type: ignore[arg-type]
        return Conversation(tuple(messages))

    def _system(self) -> list[Message]:
        return [Message("system", self.system)] if self.system is not None else []

    def accepts(self, reply: str, turn: int, bindings: Mapping[str, str]) -> bool:
        """Tell whether `reply` is any valid expansion of this turn's reply."""
        return matches(self.turns[turn].reply, reply, bindings)


def draw_distinct(dialogue: Dialogue, n: int, seed: int) -> list[Conversation]:
    """Draw up to `n` distinct expansions; fewer only when there are no more."""
    rng = random.Random(seed)
    drawn: dict[Conversation, None] = {}
    misses = 0
    while len(drawn) < n and misses < 50:
        conversation, _ = dialogue.expand(rng)
        misses = misses + 1 if conversation in drawn else 0
        drawn[conversation] = None
    total = dialogue.count()
    if len(drawn) < n and total <= 100_000:  # nearly all are drawn: walk through the rest
        for index in rng.sample(range(total), total):
            drawn[dialogue.expand_nth(index)] = None
            if len(drawn) == n:
                break
    return list(drawn)


Kind = Literal["user", "reply"]


class _Reader:
    """Reads one file line by line; `message` gathers consecutive lines of one speaker."""

    def __init__(self, path: Path, slots: Mapping[str, Sequence[str]]) -> None:
        self.path, self.slots = path, slots
        self.dialogues: list[Dialogue] = []
        self.topic = path.stem
        self._reset()

    def _reset(self) -> None:
        self.turns: list[Turn] = []
        self.bound: set[str] = set()
        self.system: str | None = None
        self.first_line = 0
        self.user: tuple[Pattern, int] | None = None
        self.later = False
        self.kind: Kind | None = None
        self.message: list[Pattern] = []
        self.message_line = 0

    def read(self, text: str) -> list[Dialogue]:
        number, line = 0, ""
        for number, line in enumerate(text.split("\n"), 1):
            self._line(number, line)
        self._end_dialogue(number, line)
        return self.dialogues

    def _line(self, number: int, line: str) -> None:
        if not line.strip():
            self._end_dialogue(number, line)
        elif line.startswith("#"):
            pass
        elif line.startswith("=="):
            self._end_dialogue(number, line)
            self.topic = line[2:].strip()
            if not self.topic:
                raise SyntaxFault(self.path, number, 3, "a topic needs a name after '=='", line)
        elif line.startswith("@"):
            self._system_line(number, line)
        elif line.rstrip() == LATER:
            self._later(number, line)
        elif line.startswith(">"):
            self._spoken("user", number, line, 1)
        else:
            self._spoken("reply", number, line, 0)

    def _system_line(self, number: int, line: str) -> None:
        if self.kind is not None:
            raise SyntaxFault(self.path, number, 1, "the system text '@' comes before the first user line", line)
        self.first_line = self.first_line or number
        text = line[1:].strip()
        self.system = text if self.system is None else f"{self.system}\n{text}"

    def _later(self, number: int, line: str) -> None:
        if self.kind != "reply":
            raise SyntaxFault(
                self.path, number, 1, r"'...' stands between a reply and a user line (a reply is \...)", line
            )
        self._end_message()
        self.later = True

    def _spoken(self, kind: Kind, number: int, line: str, start: int) -> None:
        if self.kind is None and kind == "reply" and self.user is None and not self.turns:
            raise SyntaxFault(self.path, number, 1, "a dialogue starts with the user: begin the line with '>'", line)
        if self.later and kind == "reply" and self.kind is None:
            raise SyntaxFault(self.path, number, 1, "a user line '>' comes after '...'", line)
        pattern = PatternParser(self.path, number, line, self.slots, self.bound).parse(start)
        if kind != self.kind:
            self._end_message()
            self.kind, self.message_line = kind, number
            self.first_line = self.first_line or number
        self.message.append(pattern)

    def _end_message(self) -> None:
        if self.kind is None:
            return
        lines = self.message[:1] + [(Text("\n"), *line) for line in self.message[1:]]
        pattern = tuple(node for line in lines for node in line)
        if self.kind == "user":
            self.user = (pattern, self.message_line)
        elif self.user is not None:
            self.turns.append(Turn(self.user[0], pattern, self.user[1], self.later))
            self.user, self.later = None, False
        self.kind, self.message = None, []

    def _end_dialogue(self, number: int, line: str) -> None:
        self._end_message()
        if self.user is not None:
            raise SyntaxFault(
                self.path, self.user[1], 1, "a dialogue ends with the user's line; write the reply below it"
            )
        if self.later:
            raise SyntaxFault(self.path, number, 1, "a user line '>' comes after '...'", line)
        if self.system is not None and not self.turns:
            raise SyntaxFault(
                self.path, self.first_line, 1, "a system text '@' without a dialogue below it", self.system
            )
        if self.turns:
            self.dialogues.append(Dialogue(self.topic, tuple(self.turns), self.path, self.first_line, self.system))
        self._reset()


def load_chat_file(path: Path, slots: Mapping[str, Sequence[str]]) -> list[Dialogue]:
    """Read the dialogues of one file.

    Raises: SyntaxFault (file, line, column) at the first broken line; CorpusError when it cannot be read.
    """
    return parse_chat(read_text(path), path, slots)


def parse_chat(text: str, path: Path, slots: Mapping[str, Sequence[str]]) -> list[Dialogue]:
    """Parse the text of a `.chat` file; `path` is for messages."""
    return _Reader(path, slots).read(text)
