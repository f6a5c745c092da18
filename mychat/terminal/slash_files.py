"""Slash commands for files and the clipboard."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from mychat.chat.transcript import FORMS, load_messages, render
from mychat.corpus.cleaning import read_text
from mychat.errors import ConfigError, SessionError
from mychat.terminal.command import SlashCommand, replied, something_said
from mychat.terminal.view import ChatView

MOST_COPIED_BYTES = 74_994
"""What terminals take in one go (xterm's limit, before base64)."""


def _path(text: str) -> Path:
    """Return the path that was typed. Raises: SessionError when it names nobody's home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SessionError(f"{text}: {error}") from None


def _save(view: ChatView, argument: str) -> str:
    name = argument.removesuffix("!").strip()
    if not name:
        raise ConfigError(f"save where? /save FILE{'|'.join(FORMS)}")
    path = _path(name)
    text = render(view.session, view.name, path.suffix)
    try:
        with path.open("w" if argument.endswith("!") else "x", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except FileExistsError:
        raise SessionError(f"{path}: is there already; /save {name}! replaces it") from None
    except (OSError, ValueError) as error:
        raise SessionError(f"{name[:80]}: cannot be written ({getattr(error, 'strerror', error)})") from None
    return f"{path}: {len(view.session.messages)} messages"


def _load(view: ChatView, argument: str) -> str:
    if not argument:
        raise ConfigError("load what? /load FILE.json or FILE.jsonl, as /save writes them")
    messages = load_messages(_path(argument))
    view.session.take_over(messages)
    for message in view.session.messages[-4:]:
        view.show(message)
    return f"{len(view.session.messages)} messages; the conversation goes on from here"


def _file(view: ChatView, argument: str) -> str:
    if not argument:
        raise ConfigError("which file? /file PATH puts its text into your next message")
    path = _path(argument)
    text = read_text(path)
    view.begun = view.sign(text, "file", path.name) + " "
    return f"{path.name} is in the line: add what you want to say about it, and press Enter"


def _copy(view: ChatView, _argument: str) -> str:
    data = view.session.last_reply.text.encode()
    if not sys.stdout.isatty():
        raise ConfigError("the clipboard belongs to a terminal, and this is none")
    if len(data) > MOST_COPIED_BYTES:
        raise ConfigError(f"the reply is too long for a terminal's clipboard; /save FILE{'|'.join(FORMS)}")
    sys.stdout.write(f"\x1b]52;c;{base64.b64encode(data).decode()}\a")
    sys.stdout.flush()
    return "copied, if your terminal lets programs copy"


def _paths(_view: ChatView, text: str) -> Iterable[str]:
    """List what is in the folder of a path that begins so."""
    word = text.rpartition(" ")[2]
    folder, _, begun = word.rpartition("/")
    try:
        place = Path(folder or ("/" if word.startswith("/") else ".")).expanduser()
        found = sorted(os.scandir(place), key=lambda entry: entry.name)[:500]
    except (OSError, RuntimeError, ValueError):
        return
    for entry in found:
        if entry.name.startswith(begun) and (begun.startswith(".") or not entry.name.startswith(".")):
            yield (
                (f"{folder}/" if folder or word.startswith("/") else "") + entry.name + ("/" if entry.is_dir() else "")
            )


COMMANDS = [
    SlashCommand("file", "PATH", "put a text file into the next message", _file, complete=_paths),
    SlashCommand("copy", "", "copy the last reply", _copy, replied),
    SlashCommand("save", f"FILE{'|'.join(FORMS)}", "write the conversation; a '!' at the end replaces", _save,
                 something_said, _paths),
    SlashCommand("load", "FILE", "go on with a saved conversation", _load, complete=_paths),
]  # fmt: skip
