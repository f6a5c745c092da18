"""The slash commands of the chat, in one table: what they are called, when they apply, what completes them."""

from __future__ import annotations

from collections.abc import Iterable

from mychat.errors import ConfigError, suggest
from mychat.terminal import slash_files, slash_look, slash_settings, slash_talk
from mychat.terminal.command import SlashCommand
from mychat.terminal.view import ChatView


class LeaveChat(Exception):
    """`/quit` was typed."""


def _help(view: ChatView, argument: str) -> str:
    everything = argument == "all"
    shown = [command for command in COMMANDS if everything or command.applies(view)]
    rows = [(f"/{command.name} {command.argument}".rstrip(), command.does) for command in shown]
    rows += [
        ("Ctrl-C", "stop a reply; twice: leave"),
        ("Ctrl-D", "leave"),
        ("Alt-Enter", "a new line in the message"),
        ("Ctrl-R", "search what was typed before"),
        ("Ctrl-X Ctrl-E", "write the message in an editor"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {does}" for name, does in rows]
    if len(shown) < len(COMMANDS):
        lines.append(f"{len(COMMANDS) - len(shown)} more apply later; /help all lists them")
    return "\n".join(lines)


def _quit(_view: ChatView, _argument: str) -> str:
    raise LeaveChat


COMMANDS = [
    SlashCommand("help", "[all]", "list what applies now", _help, complete=lambda _view, _text: ["all"]),
    *slash_talk.COMMANDS,
    *slash_look.COMMANDS,
    *slash_settings.COMMANDS,
    *slash_files.COMMANDS,
    SlashCommand("quit", "", "leave", _quit),
]


def run_slash(view: ChatView, line: str) -> str:
    """Run a line that begins with '/'; return what to show. Raises: MychatError, LeaveChat."""
    name, _, argument = line[1:].partition(" ")
    for command in COMMANDS:
        if command.name == name.lower():
            return command.run(view, argument.strip())
    names = [f"/{command.name}" for command in COMMANDS]
    raise ConfigError(f"no command /{name}{suggest(f'/{name.lower()}', names) or '; /help lists them'}")


def complete_slash(view: ChatView, line: str) -> Iterable[tuple[str, int]]:
    """Offer what can stand at the end of a line: texts, and how many characters each replaces."""
    if not line.startswith("/") or "\n" in line:
        return
    name, space, argument = line[1:].partition(" ")
    if not space:
        for command in COMMANDS:
            if command.name.startswith(name.lower()) and command.applies(view):
                yield f"/{command.name}" + (" " if command.argument else ""), len(line)
        return
    word = argument.rpartition(" ")[2]
    for command in COMMANDS:
        if command.name == name.lower():
            yield from ((text, len(word)) for text in command.complete(view, argument) if text.startswith(word))
