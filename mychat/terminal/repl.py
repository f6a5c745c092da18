"""The chat loop: read a line, show the reply, until the person leaves."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion, WordCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import HTML
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from rich.text import Text

from mychat.chat.session import ChatSession, TurnsDropped
from mychat.config import SAMPLING_NAMES
from mychat.errors import CheckpointError, MychatError
from mychat.events import ReplyEnd
from mychat.terminal.console import Terminal
from mychat.terminal.reply_stream import ReplyStream
from mychat.terminal.sanitise import sanitise
from mychat.terminal.slash import COMMANDS, LeaveChat, run_slash


def chat_loop(terminal: Terminal, session: ChatSession, name: str, greeting: str) -> None:
    """Talk until `/quit`, Ctrl-D or the end of the input."""
    if greeting:
        stream = _begin(terminal, name)
        stream.push(greeting)
        stream.finish()
    terminal.note("/help lists the commands, Ctrl-D leaves")
    with _StopKey() as stop:
        for line in _lines():
            try:
                if line.startswith("/"):
                    terminal.note(run_slash(session, line))
                elif line.strip():
                    _answer(terminal, session, name, line, stop)
            except LeaveChat:
                return
            except CheckpointError:
                raise  # the engine could not be loaded: there is nobody to talk to
            except MychatError as error:
                terminal.note(str(error), style="error")


class _StopKey:
    """Ctrl-C as a wish: it ends the reply, and never strikes between a reply and the next prompt.

    While a line is read, prompt-toolkit takes Ctrl-C. Input from a pipe keeps the shell's habit: it ends the chat.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: Any = None

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def _answer(terminal: Terminal, session: ChatSession, name: str, line: str, stop: _StopKey) -> None:
    stop.pressed = False
    events = session.send(line)
    stream: ReplyStream | None = None
    cut = False
    for event in events:
        if isinstance(event, TurnsDropped):
            turns = "the oldest turn" if event.turns == 1 else f"the {event.turns} oldest turns"
            terminal.note(f"the context window is full: {turns} left it ({event.in_all} so far)")
        elif isinstance(event, ReplyEnd):
            cut = event.finish_reason != "stop"
        else:
            stream = stream or _begin(terminal, name)
            stream.push(event.text)
            if stop.pressed:
                events.close()
                cut = True
    if stream is not None:
        stream.finish()
    if cut:
        terminal.note("[cut]")


def _begin(terminal: Terminal, name: str) -> ReplyStream:
    label = Text(f"{sanitise(name)}: ", style="persona")
    terminal.out.print(label, end="")
    return ReplyStream(terminal.out, indent=label.cell_len)


class _SlashCompleter(Completer):
    """Completes `/commands`, and the names after `/set`."""

    def __init__(self) -> None:
        self.commands = WordCompleter([f"/{command.name}" for command in COMMANDS], sentence=True)

    def get_completions(self, document: Document, complete_event: object) -> Iterator[Completion]:
        """Offer what can follow."""
        text = document.text_before_cursor
        if text.startswith("/set "):
            start = text.removeprefix("/set ")
            yield from (Completion(name, -len(start)) for name in SAMPLING_NAMES if name.startswith(start))
        elif text.startswith("/"):
            yield from self.commands.get_completions(document, complete_event)  # type: ignore[arg-type]


def _lines() -> Iterator[str]:
    """Yield what is typed; a pipe is read line by line."""
    if not sys.stdin.isatty():
        yield from (line.decode("utf-8", "replace").rstrip("\n") for line in sys.stdin.buffer)
        return
    prompt: PromptSession[str] = PromptSession(history=_history(), completer=_SlashCompleter())
    while True:
        try:
            yield prompt.prompt(HTML("<b>you:</b> "))
        except KeyboardInterrupt:
            continue  # clears the line, as in a shell
        except EOFError:
            return


def _history() -> History:
    """Open the input history, readable by its owner only; without a place for it, remember this session only."""
    with contextlib.suppress(OSError):
        folder = Path(platformdirs.user_state_dir("mychat"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "history"
        path.touch(mode=0o600)
        path.chmod(0o600)
        return FileHistory(str(path))
    return InMemoryHistory()
