"""The ways one person types the same words: case, end marks, short forms, slips of the finger, a word left out.

Only user lines vary, so a persona understands "WHATS UP" and still writes well.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

_GROUPS = (
    ("big", "large"), ("little", "small"), ("start", "begin"), ("movie", "film"), ("picture", "image"),
    ("fast", "quick"), ("smart", "clever"), ("happy", "glad"), ("mum", "mom", "mother"), ("dad", "father"),
    ("hi", "hello", "hey"), ("kids", "children"), ("nice", "lovely"), ("funny", "amusing"), ("ok", "okay"),
    ("maybe", "perhaps"), ("also", "too"), ("scared", "afraid"), ("sad", "unhappy"), ("tired", "sleepy"),
    ("bye", "goodbye"), ("thanks", "thank you"), ("often", "a lot"), ("home", "house"), ("job", "work"),
    ("difficult", "hard"), ("favorite", "favourite"), ("color", "colour"), ("describe", "explain"),
    ("everybody", "everyone"), ("nobody", "no one"), ("actually", "really"),
)  # fmt: skip
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    word: tuple(other for other in group if other != word) for group in _GROUPS for word in group if " " not in word
}
"""English words that most questions can exchange without meaning something else."""

_LONG_FORMS = {
    "what's": "what is", "who's": "who is", "where's": "where is", "how's": "how is", "that's": "that is",
    "it's": "it is", "i'm": "i am", "you're": "you are", "we're": "we are", "they're": "they are", "i've": "i have",
    "you've": "you have", "i'll": "i will", "i'd": "i would", "don't": "do not", "doesn't": "does not",
    "didn't": "did not", "isn't": "is not", "aren't": "are not", "can't": "cannot", "won't": "will not",
    "couldn't": "could not", "let's": "let us",
}  # fmt: skip
_SHORT_FORMS = {
    "you": "u", "are": "r", "your": "ur", "please": "pls", "thanks": "thx", "because": "cuz", "really": "rly",
    "people": "ppl", "about": "abt", "want to": "wanna", "going to": "gonna", "okay": "ok", "what": "wat",
    "i do not know": "idk", "to": "2", "for": "4", "and": "&", "with": "w/", "before": "b4",
}  # fmt: skip


_OPENINGS = ("请问", "那", "那么", "嗯，", "对了，", "哎，", "话说")
_PARTICLES = "呢啊呀吧嘛哦啦"
_SPARE_CHARACTERS = "的了呢啊呀吧吗就还很"
"""Chinese ones that a question can mostly do without."""


def _table(pairs: Mapping[str, str]) -> tuple[re.Pattern[str], Mapping[str, str]]:
    longest = sorted(pairs, key=len, reverse=True)
    return re.compile(rf"(?<![\w'])({'|'.join(map(re.escape, longest))})(?![\w'])", re.IGNORECASE), pairs


_SPELLINGS = (
    _table(_LONG_FORMS),
    _table({long: short for short, long in _LONG_FORMS.items()}),
    _table(_SHORT_FORMS),
)


@dataclass(frozen=True, slots=True)
class Typing:
    """How often a user line is typed differently: the share of lines for each way."""

    drop: float = 0.1
    """A word left out, in lines of four words and more; in Chinese a small character."""
    synonym: float = 0.1
    """English words of the same meaning."""
    contraction: float = 0.2
    """`what is` for `what's`, `u` for `you`, no apostrophes; in Chinese an opening or a particle more or less."""
    typo: float = 0.05
    """Two letters exchanged, one doubled, left out, or hit beside."""
    case: float = 0.35
    """A capital, none, all of them."""
    end: float = 0.3
    """No mark at the end, or another."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Take the settings named `vary_drop`, `vary_typo` and so on; defaults for those that are missing."""
        given = {field.name: settings.get(f"vary_{field.name}") for field in fields(cls)}
        return cls(**{name: share for name, share in given.items() if share is not None})


def vary_typing(
    text: str, rng: random.Random, keep: Collection[str] = (), typing: Typing | None = None, *, language: str = "en"
) -> str:
    """Return `text` as another person might have typed it; never without the words to `keep`.

    Words and short forms vary in English (`en`) and Chinese (`zh`) alone.
    """
    typing = typing or Typing()
    respell = {"en": _respell, "zh": _respell_chinese}.get(language)
    drop = _drop_character if language == "zh" else _drop_word
    ways: list[tuple[float, Callable[[], str]]] = [
        (typing.drop, lambda: drop(text, rng, keep)),
        (typing.synonym if language == "en" else 0.0, lambda: _exchange_word(text, rng, keep)),
        (typing.contraction, lambda: respell(text, rng, keep) if respell else text),
        (typing.typo, lambda: _slip(text, rng, keep)),
        (typing.case, lambda: _change_case(text, rng)),
        (typing.end, lambda: _change_end(text, rng, language)),
    ]
    for share, typed in ways:
        if rng.random() < share and text:
            text = typed()
    return text


def _spare_words(text: str, keep: Collection[str]) -> tuple[list[str], list[int]]:
    """Return the words, and the places of those that need not stay."""
    words = text.split(" ")
    return words, [place for place, word in enumerate(words) if word and not any(needed in word for needed in keep)]


def _drop_word(text: str, rng: random.Random, keep: Collection[str]) -> str:
    words, spare = _spare_words(text, keep)
    if len(words) < 4 or not spare:
        return text
    words.pop(rng.choice(spare))
    return " ".join(words)


def _drop_character(text: str, rng: random.Random, keep: Collection[str]) -> str:
    kept = {at for word in keep for one in re.finditer(re.escape(word), text) for at in range(*one.span())}
    spare = [at for at, char in enumerate(text) if char in _SPARE_CHARACTERS and at not in kept]
    if len(text) < 5 or not spare:
        return text
    at = rng.choice(spare)
    return text[:at] + text[at + 1 :]


def _respell_chinese(text: str, rng: random.Random, keep: Collection[str]) -> str:
    if rng.random() < 0.4:
        return rng.choice(_OPENINGS) + text
    bare = text.rstrip("。？！?!.")
    end = text[len(bare) :]
    if bare[-1:] and bare[-1] in _PARTICLES and not any(bare.endswith(word) for word in keep):
        return (bare[:-1] or bare) + end
    return bare + rng.choice(_PARTICLES) + end


def _exchange_word(text: str, rng: random.Random, keep: Collection[str]) -> str:
    words, spare = _spare_words(text, keep)
    known = [place for place in spare if words[place].strip(".,?!").lower() in SYNONYMS]
    if not known:
        return text
    place = rng.choice(known)
    bare = words[place].strip(".,?!")
    words[place] = words[place].replace(bare, rng.choice(SYNONYMS[bare.lower()]))
    return " ".join(words)


def _respell(text: str, rng: random.Random, keep: Collection[str]) -> str:
    way = rng.randrange(len(_SPELLINGS) + 1)
    if way == len(_SPELLINGS):
        words, spare = _spare_words(text, keep)
        return " ".join(word.replace("'", "") if place in spare else word for place, word in enumerate(words))
    pattern, spellings = _SPELLINGS[way]
    kept = [
        (one.start(), one.end()) for one in re.finditer(r"\S+", text) if any(needed in one.group() for needed in keep)
    ]
    found = [
        one for one in pattern.finditer(text) if all(one.end() <= start or one.start() >= end for start, end in kept)
    ]
    if not found:
        return text
    one = rng.choice(found)
    return text[: one.start()] + spellings[one.group().lower()] + text[one.end() :]


_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _KEYS for at, key in enumerate(row)}


def _slip(text: str, rng: random.Random, keep: Collection[str]) -> str:
    """Slip once, in a word of four letters and more, not at its beginning."""
    words, spare = _spare_words(text, keep)
    long = [place for place in spare if len(words[place]) >= 4 and words[place].isascii() and words[place].isalpha()]
    if not long:
        return text
    place = rng.choice(long)
    word = words[place]
    at = rng.randrange(1, len(word) - 1)
    typed = rng.choice((word[at + 1] + word[at], word[at] * 2 + word[at + 1], word[at + 1], None))
    if typed is None:
        typed = rng.choice(_BESIDE.get(word[at].lower(), word[at])) + word[at + 1]
    words[place] = word[:at] + typed + word[at + 2 :]
    return " ".join(words)


def _change_case(text: str, rng: random.Random) -> str:
    case = rng.random()
    if case < 0.55:
        return text[0].upper() + text[1:]
    return text.lower() if case < 0.95 else text.upper()


def _change_end(text: str, rng: random.Random, language: str) -> str:
    if rng.random() < 0.6 or not text[-1:].isalnum():
        return text.rstrip(".?!。？！") or text
    marks = ("？", "。", "！", "?", "……") if language == "zh" else ("?", ".", "!", "??", "...", " :)")
    return text + rng.choice(marks)
