"""A line with alternatives and slots: `{hi|hello} {name=first_name}`.

A pattern is a tuple of nodes. It can be counted, expanded at random, and asked
whether a text is one of its expansions. White space is normal in every
expansion: runs of blanks are one space, and none stands at a line's ends, so
an empty alternative leaves no gap.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mychat.errors import SyntaxFault, suggest

_NAMED = re.compile(r"\{\s*([A-Za-z_]\w*)\s*(?:=\s*([A-Za-z_]\w*)\s*)?\}")
_ESCAPABLE = "{}|>#=@\\."
_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text."""

    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several patterns."""

    options: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """A word from a slot, remembered as `name` when there is one."""

    words: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """The word remembered as `name` earlier in the dialogue."""

    name: str


Node = Text | Choice | Draw | Recall
Pattern = tuple[Node, ...]
Bindings = Mapping[str, str]


class PatternParser:
    """Parse one line; `bound` holds the names its dialogue has bound so far."""

    def __init__(self, path: Path, line_number: int, line: str, slots: Mapping[str, Sequence[str]], bound: set[str]):
        self.path, self.line_number, self.line = path, line_number, line
        self.slots, self.bound = slots, bound

    def parse(self, start: int) -> Pattern:
        """Parse from column index `start` to the end of the line, and bind what it binds."""
        nodes, end, bound = self._sequence(start, frozenset(self.bound), depth=0)
        if end < len(self.line):
            raise self._fault(end, r"a '}' without its '{' (write \} for the character itself)")
        self.bound |= bound
        return nodes

    def _fault(self, index: int, problem: str) -> SyntaxFault:
        return SyntaxFault(self.path, self.line_number, index + 1, problem, self.line)

    def _sequence(self, start: int, bound: frozenset[str], depth: int) -> tuple[Pattern, int, frozenset[str]]:
        nodes: list[Node] = []
        text: list[str] = []

        def flush() -> None:
            if text:
                nodes.append(Text("".join(text)))
                text.clear()

        index = start
        while index < len(self.line):
            char = self.line[index]
            if char == "\\":
                following = self.line[index + 1 : index + 2]
                if following and following in _ESCAPABLE:
                    text.append(following)
                    index += 2
                    continue
                raise self._fault(index, r"a lone backslash (write \\ for the character itself)")
            if char == "}" or (char == "|" and depth):
                break
            if char == "|":
                raise self._fault(index, r"a '|' outside braces (write \| for the character itself)")
            if char == "{":
                flush()
                node, index, bound = self._braces(index, bound, depth + 1)
                nodes.append(node)
                continue
            text.append(char)
            index += 1
        flush()
        return tuple(nodes), index, bound

    def _braces(self, opening: int, bound: frozenset[str], depth: int) -> tuple[Node, int, frozenset[str]]:
        if depth > 50:
            raise self._fault(opening, "alternatives nested more than 50 deep")
        named = _NAMED.match(self.line, opening)
        if named:
            return self._named(opening, named, bound)
        options: list[Pattern] = []
        bound_by_all: frozenset[str] | None = None
        index = opening
        while True:
            option, index, option_bound = self._sequence(index + 1, bound, depth)
            options.append(option)
            bound_by_all = option_bound if bound_by_all is None else bound_by_all & option_bound
            if index >= len(self.line):
                raise self._fault(opening, r"an unclosed '{' (write \{ for the character itself)")
            if self.line[index] == "}":
                break
        if len(options) == 1:
            raise self._fault(opening, "braces hold alternatives {a|b}, a slot {slot} or a name {name=slot}")
        return Choice(tuple(options)), index + 1, bound_by_all or bound

    def _named(self, opening: int, named: re.Match[str], bound: frozenset[str]) -> tuple[Node, int, frozenset[str]]:
        name, slot = named.group(1), named.group(2)
        if slot is None and name in bound:
            return Recall(name), named.end(), bound
        words = self.slots.get(slot or name)
        if words is None:
            if slot is None:
                problem = f"{name!r} is neither a slot nor a name bound earlier in this dialogue"
                near = suggest(name, [*self.slots, *bound])
            else:
                problem, near = f"unknown slot {slot!r}", suggest(slot, self.slots)
            raise self._fault(opening, problem + near)
        if slot is None:
            return Draw(tuple(words)), named.end(), bound
        return Draw(tuple(words), name), named.end(), bound | {name}


def count_expansions(pattern: Pattern) -> int:
    """Count the ways to expand; equal texts reached in two ways count twice."""
    total = 1
    for node in pattern:
        if isinstance(node, Choice):
            total *= sum(count_expansions(option) for option in node.options)
        elif isinstance(node, Draw):
            total *= len(node.words)
    return total


def recalls(pattern: Pattern) -> bool:
    """Whether an expansion may say a remembered word."""
    return any(
        isinstance(node, Recall) or (isinstance(node, Choice) and any(map(recalls, node.options))) for node in pattern
    )


def normalise_blanks(text: str) -> str:
    r"""Runs of blanks become one space; none stays at a line's ends.

    `"hi   there \n you "` -> `"hi there\nyou"`
    """
    return "\n".join(" ".join(re.split("[ \t]+", line.strip(_BLANKS))) for line in text.split("\n"))


class _AtRandom:
    """Takes each alternative, and each word of a slot, as likely as its siblings."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def option(self, choice: Choice) -> Pattern:
        return self.rng.choice(choice.options)

    def word(self, words: tuple[str, ...]) -> str:
        return self.rng.choice(words)


class _ByNumber:
    """Reads the alternatives off a number in mixed radix; consecutive numbers give all expansions."""

    def __init__(self, index: int) -> None:
        self.index = index

    def option(self, choice: Choice) -> Pattern:
        counts = [count_expansions(option) for option in choice.options]
        self.index, which = divmod(self.index, sum(counts))
        for option, count in zip(choice.options, counts, strict=True):
            if which < count:
                self.index = self.index * count + which  # what is inside the option reads this back
                return option
            which -= count
        raise AssertionError("which < sum(counts)")

    def word(self, words: tuple[str, ...]) -> str:
        self.index, which = divmod(self.index, len(words))
        return words[which]


def expand(pattern: Pattern, bindings: dict[str, str], rng: random.Random) -> str:
    """Draw one expansion, each alternative as likely as its siblings; names drawn are put into `bindings`."""
    return normalise_blanks(_raw(pattern, bindings, _AtRandom(rng)))


def expand_nth(pattern: Pattern, index: int, bindings: dict[str, str]) -> str:
    """Return expansion number `index` of `count_expansions(pattern)`, in a fixed order."""
    return normalise_blanks(_raw(pattern, bindings, _ByNumber(index)))


def _raw(pattern: Pattern, bindings: dict[str, str], chooser: _AtRandom | _ByNumber) -> str:
    parts: list[str] = []
    for node in pattern:
        match node:
            case Text(text):
                parts.append(text)
            case Recall(name):
                parts.append(bindings[name])
            case Choice():
                parts.append(_raw(chooser.option(node), bindings, chooser))
            case Draw(words, name):
                word = chooser.word(words)
                if name is not None:
                    bindings[name] = word
                parts.append(word)
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a match stands: characters used, a blank waiting to be matched, names bound."""

    position: int
    blank: bool
    bindings: frozenset[tuple[str, str]]


def matches(pattern: Pattern, text: str, bindings: Bindings | None = None) -> bool:
    """Tell whether `text` is an expansion of `pattern` under these bindings.

    All places a match can stand are followed at once, so nested alternatives
    cost no backtracking.
    """
    text = normalise_blanks(text)
    start = _Place(0, False, frozenset((bindings or {}).items()))
    return any(place.position == len(text) for place in _advance(pattern, text, {start}))


def _advance(pattern: Pattern, text: str, places: set[_Place]) -> set[_Place]:
    for node in pattern:
        match node:
            case Text(literal):
                places = {after for place in places for after in _literal(literal, text, place)}
            case Recall(name):
                places = {
                    after for place in places for after in _literal(dict(place.bindings).get(name, "\0"), text, place)
                }
            case Choice(options):
                places = set().union(*(_advance(option, text, places) for option in options))
            case Draw(words, name):
                places = {
                    _bind(after, name, word)
                    for place in places
                    for word in words
                    for after in _literal(word, text, place)
                }
        if not places:
            break
    return places


def _bind(place: _Place, name: str | None, word: str) -> _Place:
    if name is None:
        return place
    rest = frozenset(pair for pair in place.bindings if pair[0] != name)
    return _Place(place.position, place.blank, rest | {(name, word)})


def _literal(literal: str, text: str, place: _Place) -> Iterator[_Place]:
    position, blank = place.position, place.blank
    for char in literal:
        if char in _BLANKS:
            blank = position > 0 and text[position - 1] != "\n"
        else:
            expected = " " + char if blank and char != "\n" else char
            if not text.startswith(expected, position):
                return
            position, blank = position + len(expected), False
    yield _Place(position, blank, place.bindings)
