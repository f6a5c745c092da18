"""Dialogues in which facts are told and asked for: random people, so that the answer can only be read off the context.

People in recorded dialogues are seldom asked for what stands before their eyes, so a small model trained on those
alone answers with whatever is common. Here every answer is in the system text or in an earlier turn, and half of the
names belong to nobody.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mychat.corpus.augment import vary_typing

Pair = tuple[str, str]
"""A user line and its reply."""

_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_VALUE = re.compile(r"\{(?:([aA]) )?([xyz])\}")
_ONSETS = (*"bcdfghjklmnprstvwyz", "br", "ch", "dr", "fl", "gr", "kl", "pr", "qu", "sh", "sk", "st", "th", "tr")
_VOWELS = (*"aeiouaeio", "ai", "ee", "io", "ou", "ea")
_CODAS = ("", "", "", "l", "n", "r", "s", "m", "t", "nd", "rk", "x", "ck", "ll", "th")
TO_THE_OTHER = ("asks", "told", "replies", "checks")
"""Sentences in which one speaker says what the other said: "my" becomes "your"."""
_MINE = re.compile(r"\bmy\b")
INVENTED_NAMES, INVENTED_TOWNS = 0.5, 0.33
ANY_WORDS = 0.35
"""Of the values of `ANYTHING`, those that are any words at all: they can only be copied."""
ANYTHING = (
    "job", "animal", "wild", "colour", "food", "drink", "sport", "hobby", "instrument", "music", "subject", "fear",
    "car", "thing", "genre", "film", "object", "flower", "fruit", "holiday", "stuff",
    "owned", "creature",
)  # fmt: skip
LENGTHS = (1, 1, 1, 1, 2, 2, 2, 3)
"""Of such a value, in words."""
WITH_SYSTEM = 0.75
"""Of the made dialogues, those whose assistant is somebody."""
LIKED = 0.6
"""Of the made dialogues, those whose user tells something of `liked`."""
CHECKED = 0.25
"""Of the questions for a fact, those that name one: `are you a nurse?`"""
ABOUT_YOU = (
    "tell me about yourself", "who are you?", "introduce yourself", "tell me something about you", "and who are you?",
    "what should I know about you?", "can you tell me a bit about yourself?", "tell me more about you",
)  # fmt: skip
ABOUT_ME = (
    "what do you know about me?", "what have I told you about me?", "what do you remember about me?",
    "tell me what you know about me", "what did I tell you?", "do you remember what I told you about me?",
)  # fmt: skip
NO_IDEA = (
    "I don't know.", "I'm not sure.", "I never thought about that.", "Hmm, I couldn't say.", "No idea, sorry.",
    "That I don't know.", "I can't answer that.", "I have no answer to that.",
)  # fmt: skip
NOT_TOLD = (
    "You haven't told me.", "I don't know, you haven't said.", "You never told me that.", "I don't know yet. Tell me!",
    "You didn't tell me. What is it?", "How should I know? You haven't told me.",
)  # fmt: skip
REMINDERS = (
    "what did i just {say|tell you|write}?", "what was the last thing i said?", "repeat what i {said|just said}",
    "can you repeat {what i said|that|my last message}?", "what were my last words?",
)  # fmt: skip
SAID = ("You said: {}", 'You said "{}"', "You just said: {}", "{}", "Your words were: {}")
REPEATS = ("say {}", "repeat after me: {}", "please say {}", "repeat: {}", "can you say {}?", "now say: {}")


@dataclass(frozen=True, slots=True)
class Known:
    """An attribute of somebody, with its values."""

    attribute: dict[str, Any]
    x: str
    y: str = ""

    def say(self, key: str, rng: random.Random, z: str = "") -> str:
        """Draw one of the attribute's sentences, filled in."""
        x, y, z = (_MINE.sub("your", value) if key in TO_THE_OTHER else value for value in (self.x, self.y, z))
        return fill(rng.choice(self.attribute[key]), x, y, rng, z)


def fill(template: str, x: str, y: str, rng: random.Random, z: str = "") -> str:
    """Take alternatives at random and put values in; a sentence begins with a capital where the template does."""
    while found := _CHOICE.search(template):
        template = template[: found.start()] + rng.choice(found.group(1).split("|")) + template[found.end() :]
    values = {"x": x, "y": y, "z": z}

    def value(found: re.Match[str]) -> str:
        article, text = found.group(1), values[found.group(2)]
        if article:
            text = f"{article}{'n' if text[0] in 'aeiou' else ''} {text}"
        return text

    filled = " ".join(_VALUE.sub(value, template).split())
    return filled[0].upper() + filled[1:] if template[0] == "{" or template[0].isupper() else filled


class People:
    """Draws people: a few facts each, no attribute twice. `words` may be anything somebody likes, has, or is."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words
        table = tomllib.loads((Path(__file__).parent / "facts.toml").read_text("utf-8"))
        self.lists: dict[str, list[str]] = table["lists"]
        self.attributes: list[dict[str, Any]] = table["attribute"]
        self.liked: dict[str, Any] = table["liked"]

    def draw(self, count: int, rng: random.Random) -> list[Known]:
        """Draw `count` attributes; the name is among them three times out of four, and then first."""
        name, *others = self.attributes
        chosen = rng.sample(others, count)
        if rng.random() < 0.75:
            chosen = [name, *chosen[1:]]
        asked: set[str] = set()
        known = []
        for attribute in chosen:
            if asked.isdisjoint(attribute["asks"]):  # two attributes that are asked for alike would contradict
                asked.update(attribute["asks"])
                known.append(Known(attribute, *(self.value(kind, rng) for kind in attribute["of"])))
        return known

    def value(self, kind: str, rng: random.Random) -> str:
        """Draw a value of a kind."""
        if kind == "age":
            return str(rng.randint(18, 90))
        if kind in ("name", "person", "pet"):
            return invent(rng) if rng.random() < INVENTED_NAMES else rng.choice(self.lists["first_name"])
        if kind == "town":
            return invent(rng) if rng.random() < INVENTED_TOWNS else rng.choice(self.lists["city"])
        if kind in ANYTHING and self.words and rng.random() < ANY_WORDS:
            return self.phrase(rng)
        return rng.choice(self.lists[kind])

    def phrase(self, rng: random.Random) -> str:
        """Draw any words at all."""
        return " ".join(rng.choices(self.words, k=rng.choice(LENGTHS)))

    def absent(self, known: Sequence[Known], rng: random.Random) -> Known:
        """Draw an attribute that none of `known` answers."""
        asked = {question for one in known for question in one.attribute["asks"] + one.attribute["recalls"]}
        free = [one for one in self.attributes if asked.isdisjoint(one["asks"] + one["recalls"])]
        attribute = rng.choice(free)
        return Known(attribute, *(self.value(kind, rng) for kind in attribute["of"]))


def invent(rng: random.Random) -> str:
    """Make a name that nobody has."""
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    return "".join(parts).capitalize()


class FactDialogues:
    """Makes dialogues; `small_talk` are exchanges to put in between, `liked` what people like in their own words."""

    def __init__(
        self, small_talk: Sequence[Pair], seed: int, liked: Sequence[str] = (), words: Sequence[str] = ()
    ) -> None:
        self.people, self.small_talk, self.liked = People(words), small_talk, liked
        self.rng = random.Random(seed)

    def draw(self, *, system: bool) -> tuple[str | None, list[Pair]]:
        """Draw a system text (or none) and the exchanges below it."""
        rng = self.rng
        mine = self.people.draw(rng.randint(3, 9), rng) if system else []
        theirs = self.people.draw(rng.randint(1, 4), rng)
        if self.liked and rng.random() < LIKED:
            liked = self.people.liked
            theirs = [one for one in theirs if set(liked["recalls"]).isdisjoint(one.attribute["recalls"])]
            anything = self.people.words and rng.random() < ANY_WORDS
            theirs.append(Known(liked, self.people.phrase(rng) if anything else rng.choice(self.liked)))
        exchanges: list[list[Pair]] = [
            [self.ask(one)] for one in rng.sample(mine, rng.randint(min(2, len(mine)), len(mine)))
        ]
        exchanges += [self.told_and_asked(one) for one in theirs]
        exchanges += [[pair] for pair in rng.sample(self.small_talk, min(len(self.small_talk), rng.randint(0, 6)))]
        if mine and rng.random() < 0.25:
            exchanges.append([self.typed(rng.choice(ABOUT_YOU), self.summary(mine, "facts"))])
        if mine and rng.random() < 0.4:
            exchanges.append([self.typed(self.people.absent(mine, rng).say("asks", rng), rng.choice(NO_IDEA))])
        if rng.random() < 0.3:
            exchanges.append([self.typed(self.people.absent(theirs, rng).say("recalls", rng), rng.choice(NOT_TOLD))])
        if rng.random() < 0.15:
            exchanges.append([self.repeat()])
        pairs = self.shuffled(exchanges)
        if rng.random() < 0.2:
            pairs.append(self.typed(rng.choice(ABOUT_ME), self.summary(theirs, "replies")))
        if rng.random() < 0.2:
            place = rng.randrange(len(pairs))
            pairs.insert(place + 1, self.remind(pairs[place][0]))
        return (system_text(mine, rng) if mine else None), pairs

    def shuffled(self, exchanges: Sequence[Sequence[Pair]]) -> list[Pair]:
        """Put exchanges in any order, each keeping its own: what is told comes before what is asked."""
        order = [number for number, pairs in enumerate(exchanges) for _ in pairs]
        self.rng.shuffle(order)
        waiting = [iter(pairs) for pairs in exchanges]
        return [next(waiting[number]) for number in order]

    def typed(self, line: str, reply: str, keep: Sequence[str] = ()) -> Pair:
        """Let the user type as people do."""
        return vary_typing(line, self.rng, keep=[word for text in keep for word in text.split()]), reply

    def ask(self, known: Known) -> Pair:
        """Ask the assistant for a fact of its own, or whether it is another."""
        if "checks" in known.attribute and self.rng.random() < CHECKED:
            return self.check(known)
        return self.typed(known.say("asks", self.rng), known.say("answers", self.rng), (known.x, known.y))

    def check(self, known: Known) -> Pair:
        """Ask whether a fact is so."""
        other = self.people.value(known.attribute["of"][0], self.rng)
        z = known.x if self.rng.random() < 0.5 else other
        reply = known.say("yes" if z == known.x else "no", self.rng, z)
        return self.typed(known.say("checks", self.rng, z), reply, (known.x, known.y, z))

    def summary(self, known: Sequence[Known], key: str) -> str:
        """Say a few facts in a row, by the first and therefore fullest sentence for each."""
        some = self.rng.sample(known, min(len(known), self.rng.choice((2, 2, 3))))
        return " ".join(fill(one.attribute[key][0], one.x, one.y, self.rng) for one in some)

    def told_and_asked(self, known: Known) -> list[Pair]:
        """Let the user tell a fact, and ask for it once or twice."""
        rng = self.rng
        fact = known.say("facts", rng).rstrip(".")
        fact = rng.choice(("", "", "", "hi, ", "well, ", "you know, ", "by the way, ")) + fact
        told = self.typed(
            fact[0].lower() + fact[1:] if rng.random() < 0.5 else fact, known.say("told", rng), (known.x, known.y)
        )
        asked = [
            self.typed(known.say("recalls", rng), known.say("replies", rng), (known.x, known.y))
            for _ in range(rng.choice((1, 1, 2)))
        ]
        return [told, *asked]

    def remind(self, line: str) -> Pair:
        """Ask for the user's own last words."""
        return self.typed(fill(self.rng.choice(REMINDERS), "", "", self.rng), self.rng.choice(SAID).format(line))

    def repeat(self) -> Pair:
        """Ask for words to be said after one."""
        kinds = self.rng.choices(("name", "food", "colour", "town", "hobby"), k=self.rng.randint(1, 3))
        text = " ".join(self.people.value(kind, self.rng) for kind in kinds)
        return self.rng.choice(REPEATS).format(text), text


def system_text(known: Sequence[Known], rng: random.Random) -> str:
    """Write the facts of a person one after the other."""
    return " ".join(one.say("facts", rng) for one in known)
