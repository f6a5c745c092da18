"""Where words come from: the training lines nearest to a reply, and the longest stretch it shares with one.

The lines lie in the checkpoint's `training/` folder. They are the words themselves: whoever shares a checkpoint and
not its words leaves that folder out.
"""

from __future__ import annotations

import heapq
import json
import lzma
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mychat.corpus.chatfile import Dialogue
from mychat.corpus.messages import Conversation
from mychat.corpus.texts import Text, name_of
from mychat.errors import CorpusError

LINES_FILE = "lines.jsonl.xz"
MOST_CHARS = 8_000_000
"""Kept of a corpus, drawn at random when there is more."""
PRESET = 3
"""How hard the file is compressed: half a second for as many, an eighth of their size."""
WORDINGS = 12
"""Of a reply with alternatives."""
CANDIDATES = 200
_WORD = re.compile(r"[\u3041-\u9fff]|[^\W\u3041-\u9fff]+(?:['’][^\W\u3041-\u9fff]+)*")
"""A word; a sign of Chinese or Japanese is one of its own."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something training taught, and the file and line it was read from."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """A training line that a reply resembles."""

    line: Line
    shared: str
    """The longest stretch of words that stands in both, as the line writes it."""
    words: int
    """Of that stretch."""


def list_lines(
    dialogues: Iterable[Dialogue], conversations: Iterable[Conversation], texts: Sequence[Text]
) -> list[Line]:
    """List what was taught, each wording once; conversations that were drawn from dialogues are left out."""
    rng = random.Random(0)
    talks = [one for one in conversations if one.where]
    lines: dict[Line, None] = {}
    room = MOST_CHARS
    for source in (
        _replies(dialogues),
        _messages(rng.sample(talks, len(talks))),
        _paragraphs(rng.sample(texts, len(texts))),  # read one after the other, until there are enough
    ):
        for line in source:
            if room > 0 and line not in lines:
                lines[line] = None
                room -= len(line.text)
            if room <= 0:
                return list(lines)
    return list(lines)


def _replies(dialogues: Iterable[Dialogue]) -> Iterator[Line]:
    rng = random.Random(0)
    for dialogue in dialogues:
        for _ in range(WORDINGS):
            conversation, _bound = dialogue.expand(rng)
            said = [message for message in conversation.messages if message.role == "assistant"]
            for turn, message in zip(dialogue.turns, said, strict=True):
                yield Line(f"{dialogue.path.name}:{turn.line}", message.content)


def _messages(conversations: Iterable[Conversation]) -> Iterator[Line]:
    for conversation in conversations:
        name = Path(conversation.where).name
        yield from (Line(name, one.content) for one in conversation.messages if one.role == "assistant")


def _paragraphs(texts: Sequence[Text]) -> Iterator[Line]:
    for text in texts:
        name = f"the text that begins {text[:30]!r}" if isinstance(text, str) else name_of(text)
        yield from (Line(name, part.strip()) for part in str(text).split("\n") if part.strip())


def write_lines(lines: Iterable[Line]) -> bytes:
    """Return the file."""
    text = "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in lines)
    return lzma.compress(text.encode(), preset=PRESET)


def load_lines(folder: Path) -> list[Line]:
    """Read the lines of a checkpoint. Raises: CorpusError when it has none, or they cannot be read."""
    path = folder / "training" / LINES_FILE
    try:
        return [Line(**json.loads(line)) for line in lzma.decompress(path.read_bytes()).decode().split("\n") if line]
    except FileNotFoundError:
        raise CorpusError(f"{path}: missing; a model trained on this machine has it") from None
    except (OSError, ValueError, TypeError, lzma.LZMAError, EOFError) as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from None


class Origins:
    """Finds the lines that a text resembles."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._holding: dict[str, list[int]] = defaultdict(list)
        for number, line in enumerate(lines):
            for word in set(_words(line.text)):
                self._holding[word].append(number)

    def closest(self, text: str, count: int = 3) -> list[Origin]:
        """Return the nearest lines, of different places: those that share the longest stretch first."""
        words = _words(text)
        weights: dict[int, float] = defaultdict(float)
        for word in set(words):
            holding = self._holding.get(word, [])
            for number in holding:
                weights[number] += math.log(1 + len(self._lines) / len(holding))
        found: dict[str, tuple[tuple[float, float], Origin]] = {}
        for number, weight in heapq.nlargest(CANDIDATES, weights.items(), key=lambda pair: pair[1]):
            line = self._lines[number]
            size, start = _longest_run(words, spans := _words(line.text))
            rank = (float(size), weight / math.sqrt(len(spans)))
            if line.where not in found or rank > found[line.where][0]:
                found[line.where] = rank, Origin(line, _cut(line.text, start, size), size)
        return [origin for _, origin in sorted(found.values(), key=lambda pair: pair[0], reverse=True)[:count]]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _longest_run(one: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """Return the length of the longest stretch that both hold, and where it begins in `other`."""
    best = begins = 0
    before = [0] * (len(other) + 1)
    for word in one:
        now = [0] * (len(other) + 1)
        for at, same in enumerate(other, 1):
            if word == same:
                now[at] = before[at - 1] + 1
                if now[at] > best:
                    best, begins = now[at], at - now[at]
        before = now
    return best, begins


def _cut(text: str, start: int, size: int) -> str:
    found = list(_WORD.finditer(text))[start : start + size]
    return text[found[0].start() : found[-1].end()] if found else ""
