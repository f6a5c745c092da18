"""The slash commands of the chat, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from mychat.chat.session import ChatSession
from mychat.config import SAMPLING_NAMES, SamplingOptions
from mychat.errors import ConfigError, suggest


class LeaveChat(Exception):
    """`/quit` was typed."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command: its name, what comes after it, what it does, and the doing: it returns the lines to show."""

    name: str
    argument: str
    does: str
    run: Callable[[ChatSession, str], str]


def _help(_session: ChatSession, _argument: str) -> str:
    width = max(len(f"/{command.name} {command.argument}") for command in COMMANDS)
    lines = [f"{f'/{command.name} {command.argument}':{width}}  {command.does}" for command in COMMANDS]
    return "\n".join([*lines, f"{'Ctrl-C':{width}}  stop a reply", f"{'Ctrl-D':{width}}  leave"])


def _new(session: ChatSession, _argument: str) -> str:
    session.new()
    return "new conversation"


def _system(session: ChatSession, argument: str) -> str:
    if argument in ("off", "none"):
        session.system = None
        return "no system text"
    if argument:
        session.system = argument
    return f"system text: {session.system}" if session.system else "no system text; /system TEXT sets one"


def _set(session: ChatSession, argument: str) -> str:
    if not argument:
        options = session.options
        return "\n".join(f"{field.name} = {getattr(options, field.name)}" for field in fields(SamplingOptions))
    name, _, value = argument.replace("=", " ").partition(" ")
    name = name.replace("-", "_")
    value = value.strip()
    if not value:
        if name in SAMPLING_NAMES:
            return f"{name} = {getattr(session.options, name)}; /set {name} VALUE changes it"
        raise ConfigError(f"unknown option {name!r}{suggest(name, SAMPLING_NAMES)}; /set lists them")
    session.options = session.options.updated({name: value})
    return f"{name} = {getattr(session.options, name)}"


def _quit(_session: ChatSession, _argument: str) -> str:
    raise LeaveChat


COMMANDS = [
    SlashCommand("help", "", "list these", _help),
    SlashCommand("new", "", "start a new conversation", _new),
    SlashCommand("system", "[TEXT|off]", "show, set or remove the system text", _system),
    SlashCommand("set", "[NAME VALUE]", "show or change how replies are chosen (temperature, top_p, seed, ...)", _set),
    SlashCommand("quit", "", "leave", _quit),
]


def run_slash(session: ChatSession, line: str) -> str:
    """Run a line that begins with '/'; return what to show. Raises: ConfigError, LeaveChat."""
    name, _, argument = line[1:].partition(" ")
    for command in COMMANDS:
        if command.name == name.lower():
            return command.run(session, argument.strip())
    names = [command.name for command in COMMANDS]
    raise ConfigError(f"no command /{name}{suggest(name.lower(), names)}; /help lists them")
