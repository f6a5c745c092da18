"""A new persona to start from: a folder with its facts and a few dialogues that train as they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mychat.config import PERSONA_FILE
from mychat.corpus.cleaning import clean_argument
from mychat.corpus.persona import Persona, render_persona
from mychat.errors import ConfigError, CorpusError

_HEAD = """\
# How to write dialogues: a line that begins with '>' is the user's, the line below is the answer,
# an empty line ends the dialogue. {a|b|c} stands for any one of a, b, c. See docs/personas.md.
# `mychat persona check NAME` says what is still missing.

== greetings
> {hi|hello|hey|good morning|good evening|hi there|hello DISPLAY}
{Hello!|Hi, nice to see you.|Hello there.} {How are you?|What's on your mind?}

== name
> {what's your name|what is your name|do you have a name|tell me your name|may I ask your name|what are you called}?
{My name is DISPLAY.|I'm DISPLAY.|They call me DISPLAY.}

== who
> {who are you|what are you|tell me about yourself|introduce yourself|say something about yourself|and who are you}
WHO
"""
_HOME = """
== home
> {where do you live|where are you|where is your home|where's your home|where do you come from|what is your home like}?
HOME
"""
_LIKES = """
== likes
> {what do you like|what do you love|what do you like to do|do you have a hobby|what makes you happy|what do you enjoy}?
LIKES
"""
_TAIL = """
== remembering
> {my name is|i'm|call me|i am} {name=first_name}
{Nice to meet you, {name}!|Hello, {name}.}
...
> {what's my name|do you remember my name|what is my name|who am i|say my name|do you know my name}?
{Your name is {name}.|You are {name}.}

> {what's my name|what is my name|do you know my name|who am i|do you remember my name|say my name}?
{You haven't told me yet.|I don't know. What's your name?}

== mood
> {how are you|how are you doing|how do you do|how is it going|are you well|how do you feel today}?
{I'm fine, thank you.|Very well, thanks.} {And you?|How about you?}
> {i'm fine|good|not bad|great|i'm ok|very well}
{I'm glad to hear that.|That's good.}

== thanks
> {thanks|thank you|thank you very much|thx|many thanks|thanks a lot}
{You're welcome.|My pleasure.}

== goodbye
> {bye|goodbye|see you|good night|i have to go|see you later}
{Goodbye!|See you soon.}
"""
_NAMES = (
    "Ana", "Ben", "Chloe", "David", "Emma", "Felix", "Grace", "Hugo", "Ivan", "Julia",
    "Kofi", "Lena", "Maria", "Nina", "Omar", "Priya", "Rosa", "Sam", "Tom", "Yuki",
)  # fmt: skip
_SPECIAL = "{}|\\"


@dataclass(frozen=True, slots=True)
class Sketch:
    """What somebody says of a persona before it exists. Nothing has to be said."""

    display_name: str = ""
    who: str = ""
    """`a lighthouse keeper`, or a sentence: `I keep a lighthouse.`"""
    home: str = ""
    """`on the moon`, or a sentence."""
    likes: str = ""
    """`old maps and strong tea`, or a sentence."""
    facts: tuple[str, ...] = ()
    """More first-person sentences."""


def check_new_persona(folder: Path, name: str) -> None:
    """Raise ConfigError when the name is no file name, CorpusError when it is taken."""
    if not name or name.startswith((".", "-")) or not all(char.isalnum() or char in "_-" for char in name):
        raise ConfigError(f"{name!r}: a persona's name holds letters, digits, '_' and '-' only")
    if (folder / name).exists():
        raise CorpusError(f"{folder / name}: exists already; choose another name, or edit the files in it")


def new_persona(folder: Path, name: str, sketch: Sketch) -> Persona:
    """Write `folder/name/` with persona.toml and dialogues.chat.

    Raises: ConfigError, CorpusError, as `check_new_persona` does, and when it cannot be written.
    """
    check_new_persona(folder, name)
    display = " ".join((sketch.display_name or name.replace("_", " ").title()).split())
    if not display or any(char in _SPECIAL for char in display):
        raise ConfigError(f"{sketch.display_name!r}: a display name cannot hold braces, '|' or a backslash")
    who = _sentence(sketch.who, "I am")
    home, likes = _sentence(sketch.home, "I live"), _sentence(sketch.likes, "I like")
    persona = Persona(
        name=name,
        display_name=display,
        greeting=f"Hello, I'm {display}.",
        description=(f"My name is {display}.", *filter(None, (who, home, likes)), *sketch.facts),
        sampling={"temperature": 0.6, "top_p": 0.9},
        slots={"first_name": _NAMES},
    )
    target = folder / name
    try:
        target.mkdir(parents=True)
        (target / PERSONA_FILE).write_text(render_persona(persona), "utf-8")
        (target / "dialogues.chat").write_text(_dialogues(display, who, home, likes), "utf-8")
    except OSError as error:
        raise CorpusError(f"{target}: cannot be written ({error.strerror})") from None
    return persona


def _sentence(text: str, lead: str) -> str:
    """Make a first-person sentence of an answer.

    `("a nurse.", "I am")` -> `"I am a nurse."`
    """
    said = " ".join(clean_argument(text).split())
    if not said:
        return ""
    is_sentence = re.match(r"i\b|my ", said, re.IGNORECASE)
    said = said[0].upper() + said[1:] if is_sentence else f"{lead} {said}"
    return said if said[-1] in ".!?" else f"{said}."


def _dialogues(display: str, who: str, home: str, likes: str) -> str:
    parts = [_HEAD, _HOME if home else "", _LIKES if likes else "", _TAIL]
    said = {"WHO": who or f"I'm {display}.", "HOME": home, "LIKES": likes, "DISPLAY": display}
    plain = {place: re.sub(r"[{}|\\]", r"\\\g<0>", sentence) for place, sentence in said.items()}
    return re.sub(r"\b(WHO|HOME|LIKES|DISPLAY)\b", lambda found: plain[found.group()], "".join(parts))
