"""Slash commands for what speaks and how: sampling options, system text, persona, model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace

from mychat.config import SAMPLING_NAMES, SamplingOptions, list_names
from mychat.errors import ConfigError, suggest
from mychat.terminal.command import SlashCommand
from mychat.terminal.view import ChatView


def _system(view: ChatView, argument: str) -> str:
    session = view.session
    if argument in ("off", "none"):
        session.system = None
        return "no system text"
    if argument:
        session.system = argument
    return f"system text: {session.system}" if session.system else "no system text; /system TEXT sets one"


def _set(view: ChatView, argument: str) -> str:
    session = view.session
    if not argument:
        return "\n".join(f"{name} = {_shown(session.options, name)}" for name in SAMPLING_NAMES)
    name, *rest = re.split(r"[ =]", argument, maxsplit=1)
    name = name.replace("-", "_")
    value = rest[0].strip() if rest else ""
    if name not in SAMPLING_NAMES:
        raise ConfigError(f"unknown option {name!r}{suggest(name, SAMPLING_NAMES)}; /set lists them")
    if not value:
        return f"{name} = {_shown(session.options, name)}; /set {name} VALUE changes it"
    session.options = session.options.updated({name: value})
    return f"{name} = {_shown(session.options, name)}"


def _shown(options: SamplingOptions, name: str) -> str:
    value = getattr(options, name)
    return (", ".join(map(repr, value)) or "off") if isinstance(value, tuple) else str(value)


def _seed(view: ChatView, argument: str) -> str:
    if not argument:
        made = view.session.tree.path()[-1].made if view.session.tree.head else {}
        last = f"; the last reply had {made['seed']}" if made else ""
        return f"seed = {view.session.options.seed}{last}"
    if argument == "off":
        view.session.options = replace(view.session.options, seed=None)
        return "another seed for every reply"
    return _set(view, f"seed {argument}")


def _persona(view: ChatView, argument: str) -> str:
    if not argument:
        return f"{view.name} speaks; /persona NAME calls another"
    speaker = view.speaker = view.call(argument)
    session = view.session
    session.use(speaker.engine, speaker.by)
    session.options = SamplingOptions().updated(speaker.persona.sampling).updated(view.given)
    session.system = speaker.character.system
    session.new()
    view.greet()
    return ""


def _model(view: ChatView, argument: str) -> str:
    if not argument:
        return f"{view.speaker.character.checkpoint} answers; /model CHECKPOINT lets another go on"
    speaker = view.call(argument)
    if speaker.character.persona:
        raise ConfigError(f"{argument} is a persona that is not trained yet; /persona {argument} talks to it")
    view.speaker = speaker
    view.session.use(speaker.engine, speaker.by)
    return f"{speaker.character.checkpoint} goes on from here"


def _option_words(_view: ChatView, text: str) -> Iterable[str]:
    name, space, _ = text.partition(" ")
    if not space:
        return [f"{option} " for option in SAMPLING_NAMES]
    default = next((field.default for field in fields(SamplingOptions) if field.name == name), None)
    return [str(default)] if isinstance(default, int | float) else []


def _speakers(_view: ChatView, _text: str) -> Iterable[str]:
    return sorted({*list_names("checkpoints"), *list_names("personas")})


def _checkpoints(_view: ChatView, _text: str) -> Iterable[str]:
    return list_names("checkpoints")


COMMANDS = [
    SlashCommand("set", "[NAME VALUE]", "show or change how replies are chosen (temperature, top_p, ...)", _set,
                 complete=_option_words),
    SlashCommand("seed", "[N|off]", "show the last seed, fix one, or let it go again", _seed),
    SlashCommand("system", "[TEXT|off]", "show, set or remove the system text", _system),
    SlashCommand("persona", "[NAME]", "talk to somebody else", _persona, complete=_speakers),
    SlashCommand("model", "[CHECKPOINT]", "let another model go on with this conversation", _model,
                 complete=_checkpoints),
]  # fmt: skip
