"""A new persona to start from: a folder with its facts and a few dialogues that train as they stand."""

from __future__ import annotations

from pathlib import Path

from mychat.corpus.persona import PERSONA_FILE, Persona, render_persona
from mychat.errors import ConfigError, CorpusError

_DIALOGUES = """\
# How to write dialogues: a line that begins with '>' is the user's, the line below is the answer,
# an empty line ends the dialogue. {{a|b|c}} stands for any one of a, b, c. See docs/personas.md.

== greetings
> {{hi|hello|hey|good morning|good evening|hi there|hello {display}}}
{{Hello!|Hi, nice to see you.|Hello there.}} {{How are you?|What's on your mind?}}

== name
> {{what's your name|what is your name|who are you|do you have a name|tell me your name|may I ask your name}}?
{{My name is {display}.|I'm {display}.|They call me {display}.}}

== remembering
> {{my name is|i'm|call me|i am}} {{name=first_name}}
{{Nice to meet you, {{name}}!|Hello, {{name}}.}}
...
> {{what's my name|do you remember my name|what is my name|who am i|say my name}}?
{{Your name is {{name}}.|You are {{name}}.}}

> {{what's my name|what is my name|do you know my name|who am i}}?
{{You haven't told me yet.|I don't know. What's your name?}}

== mood
> {{how are you|how are you doing|how do you do|how is it going|are you well|how do you feel today}}?
{{I'm fine, thank you.|Very well, thanks.}} {{And you?|How about you?}}
> {{i'm fine|good|not bad|great|i'm ok|very well}}
{{I'm glad to hear that.|That's good.}}

== thanks
> {{thanks|thank you|thank you very much|thx|many thanks}}
{{You're welcome.|My pleasure.}}

== goodbye
> {{bye|goodbye|see you|good night|i have to go|see you later}}
{{Goodbye!|See you soon.}}
"""
_NAMES = [
    "Ana",
    "Ben",
    "Chloe",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Hugo",
    "Ivan",
    "Julia",
    "Kofi",
    "Lena",
    "Maria",
    "Nina",
    "Omar",
    "Priya",
    "Rosa",
    "Sam",
    "Tom",
    "Yuki",
]


def new_persona(folder: Path, name: str, display_name: str | None = None, description: tuple[str, ...] = ()) -> Persona:
    """Write `folder/name/` with persona.toml and dialogues.chat.

    Raises: ConfigError when the name is no file name; CorpusError when it exists or cannot be written.
    """
    if not name or name.startswith((".", "-")) or not all(char.isalnum() or char in "_-" for char in name):
        raise ConfigError(f"{name!r}: a persona's name holds letters, digits, '_' and '-' only")
    display = " ".join((display_name or name.replace("_", " ").title()).split())
    if not display or any(char in "{}|\\" for char in display):
        raise ConfigError(f"{display_name!r}: a display name cannot hold braces, '|' or a backslash")
    persona = Persona(
        name=name,
        display_name=display,
        greeting=f"Hello, I'm {display}.",
        description=description or (f"My name is {display}.",),
        sampling={"temperature": 0.6, "top_p": 0.9},
        slots={"first_name": tuple(_NAMES)},
    )
    target = folder / name
    try:
        target.mkdir(parents=True)
        (target / PERSONA_FILE).write_text(render_persona(persona), "utf-8")
        (target / "dialogues.chat").write_text(_DIALOGUES.format(display=display), "utf-8")
    except FileExistsError:
        raise CorpusError(f"{target}: exists already; choose another name, or edit the files in it") from None
    except OSError as error:
        raise CorpusError(f"{target}: cannot be written ({error.strerror})") from None
    return persona
