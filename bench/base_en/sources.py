"""Recorded dialogues and stories, as they are shipped, turned into items of JSON lines."""

from __future__ import annotations

import csv
import json
import lzma
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.base_en.facts import FactDialogues, Pair
from bench.memory import THINGS
from bench.spc import fill_names, join_turns

_SPLIT_WORD = re.compile(r"\b(I|[Ww]e|[Yy]ou|[Tt]hey|[Hh]e|[Ss]he|[Ii]t|[Tt]hat) (m|re|ve|ll|d|s)\b")
_SPLIT_NOT = re.compile(r"\b(\w+n) t\b")
_LICENCE = re.compile(r"^\* .*$", re.MULTILINE)
_ABOUT_BOTS = re.compile(
    r"\b(ro)?bots?\b|computer|software|program|electric|chatter|artificial|human|internet|code", re.I
)
_LIKED = re.compile(
    r"\bI (?:also |really |just )?(?:like|love|enjoy) "
    r"((?!(?:to|my|it|when|being|him|his|her|them|their|that|those|this|how|your|me|doing|you|all|both|too|about|for|every"
    r"|some|most)\b|a lot|the idea|going to\b)[a-z][a-z' -]{2,28}[a-z])(?=[.,!?]| too\b)"
)
_NOT_LIKED = re.compile(r"\b(ones?|it|that|and|or|too|well|place|way|them|both|kind|best|a lot)\b")
_LOWER_WORD = re.compile(r"(?<![\w'\\])[a-z]{3,14}(?![\w'])")
COMMON_WORDS, FEWEST_USES = 600, 3
BOT_SCENARIOS = ("Bot_", "Relationship_", "Criticism_")
CHATTERBOT_FILES = (
    "conversations",
    "emotion",
    "food",
    "greetings",
    "humor",
    "literature",
    "psychology",
    "sports",
)
FACTS_ADDED = 0.6
"""Of the recorded persona chats, those whose assistant is given more facts and asked for them."""
WITHOUT_SYSTEM = 0.25


def small_talk(folder: Path, *, trivia: bool = True) -> list[Pair]:
    """Collect short exchanges that any character may have, and questions that only a book answers."""
    pairs: dict[Pair, None] = {}
    for path in sorted((folder / "personality_chat").glob("Queries_Responses_*.tsv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if not row["Metadata"].removeprefix("Scenario:").startswith(BOT_SCENARIOS):
                    pairs[row["Question"].strip(), row["Answer"].strip()] = None
    for name in (*CHATTERBOT_FILES, "trivia") if trivia else CHATTERBOT_FILES:
        table = yaml.safe_load((folder / "chatterbot_english" / f"{name}.yml").read_text("utf-8"))
        for said in table["conversations"]:
            lines = [str(line).strip() for line in said]
            for user, reply in zip(lines[::2], lines[1::2], strict=False):
                if user and reply:
                    pairs[user, reply] = None
    return [(user, reply) for user, reply in pairs if not _ABOUT_BOTS.search(f"{user} {reply}")]


def persona_chats(source: Path, makes: FactDialogues, seed: int) -> Iterator[dict[str, Any]]:
    """Yield each Synthetic-Persona-Chat dialogue once; either speaker is the assistant, its facts the system text."""
    rng = random.Random(seed)
    with lzma.open(source, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            record = json.loads(line)
            me = rng.choice("12")
            facts = [mended(fact) for fact in record[f"persona_{me}"]]
            messages = join_turns(fill_names(record["turns"], number), assistant=me)
            if rng.random() < FACTS_ADDED:
                more = [one for one in makes.people.draw(rng.randint(1, 3), rng) if one.attribute["of"] != ["name"]]
                facts += [one.say("facts", rng) for one in more]
                for one in more:
                    put_in(messages, makes.ask(one), rng)
            elif rng.random() < WITHOUT_SYSTEM:
                facts = []
            rng.shuffle(facts)
            system = [{"role": "system", "content": " ".join(facts)}] if facts else []
            yield {"messages": system + messages}


def likings(source: Path) -> list[str]:
    """Collect what the speakers of Synthetic-Persona-Chat say they like, but what bench/memory.py asks for."""
    asked = re.compile("|".join(THINGS), re.I)
    found: set[str] = set()
    with lzma.open(source, "rt", encoding="utf-8") as lines:
        for line in lines:
            said = " ".join(text for _, text in json.loads(line)["turns"])
            found.update(one.removesuffix(" too") for one in _LIKED.findall(said) if len(one.split()) <= 3)
    return sorted(one for one in found if not _NOT_LIKED.search(one) and not asked.search(one))


def any_words(chats: Path, stories: Path) -> list[str]:
    """Collect the rarer words of Synthetic-Persona-Chat and TinyStories, but those bench/memory.py asks for."""
    asked = {word for thing in THINGS for word in thing.split()}
    counts: Counter[str] = Counter()
    for source in (chats, stories):
        with lzma.open(source, "rt", encoding="utf-8") as lines:
            for line in lines:
                counts.update(_LOWER_WORD.findall(line))
    rarer = (word for word, count in counts.most_common()[COMMON_WORDS:] if count >= FEWEST_USES)
    return sorted(word for word in rarer if word not in asked)


def messages(system: str | None, exchanges: Iterable[Pair]) -> dict[str, Any]:
    """Render a dialogue in the OpenAI form."""
    said = [{"role": "system", "content": system}] if system else []
    for user, reply in exchanges:
        said += [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]
    return {"messages": said}


def put_in(messages: list[dict[str, Any]], pair: Pair, rng: random.Random) -> None:
    """Put an exchange between two others, anywhere."""
    roles = [None, *(message["role"] for message in messages), None]
    places = [at for at in range(len(roles) - 1) if roles[at] != "user" and roles[at + 1] != "assistant"]
    at = rng.choice(places)
    messages[at:at] = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), pair, strict=True)]


def mended(fact: str) -> str:
    """Put lost apostrophes back.

    `"I don t know, i m shy."` -> `"I don't know, I'm shy."`
    """
    fact = re.sub(r"\bi\b", "I", fact.strip())
    return _SPLIT_NOT.sub(r"\1't", _SPLIT_WORD.sub(r"\1'\2", fact))


def topical_chats(source: Path) -> Iterator[dict[str, Any]]:
    """Yield the dialogues of Topical-Chat."""
    with lzma.open(source, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield {"messages": join_turns(json.loads(line)["turns"], assistant="agent_2")}


def tiny_stories(source: Path) -> Iterator[dict[str, str]]:
    """Yield the stories of TinyStories."""
    with lzma.open(source, "rt", encoding="utf-8") as file:
        for story in re.split(r"<\|endoftext\|>|\n\s*\n", file.read()):
            if len(story.strip()) > 100:
                yield {"text": story.strip()}


def children(source: Path) -> Iterator[dict[str, str]]:
    """Yield picture-book stories without page marks and licence lines."""
    with lzma.open(source, "rt", encoding="utf-8") as file:
        for story in file.read().split("<<<STORY>>>"):
            pages = [" ".join(page.split()) for page in _LICENCE.sub("", story).replace("# ", "").split("##")]
            yield {"text": "\n".join(page for page in pages if page)}


def classics(source: Path, chars: int) -> Iterator[dict[str, str]]:
    """Yield the beginnings of old children's books, together of so many characters."""
    with lzma.open(source, "rt", encoding="utf-8") as file:
        books = re.split(r"^===.*===$", file.read(), flags=re.MULTILINE)[1:]
    for book in books:
        yield {"text": book.replace("## ", "").strip()[: chars // len(books)]}
