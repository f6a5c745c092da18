"""Slash commands for what speaks and how: sampling options, system text, persona, model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

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
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    name = name.replace("-", "_")
    value = value.strip()
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
    return _set(view, f"seed {argument}")


def _persona(view: ChatView, argument: str) -> str:
    if not argument:
        return f"{view.name} speaks; /persona NAME calls another"
    speaker = view.open(argument)
    view.speaker = speaker
    view.session.new()
    view.session.use(speaker.engine)
    view.session.options = SamplingOptions().updated(speaker.persona.sampling)
    view.session.system = speaker.character.system
    view.greet()
    return ""


def _model(view: ChatView, argument: str) -> str:
    if not argument:
        return f"{view.speaker.character.checkpoint} answers; /model CHECKPOINT lets another go on"
    speaker = view.open(argument)
    view.speaker = speaker
    view.session.use(speaker.engine)
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
    SlashCommand("seed", "[N]", "show the last seed, or fix one", _seed),
    SlashCommand("system", "[TEXT|off]", "show, set or remove the system text", _system),
    SlashCommand("persona", "[NAME]", "talk to somebody else", _persona, complete=_speakers),
    SlashCommand("model", "[CHECKPOINT]", "let another model go on with this conversation", _model,
                 complete=_checkpoints),
]  # fmt: skip
