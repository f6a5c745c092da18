"""The chat loop: read a line, show the reply, until the person leaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from prompt_toolkit.utils import is_dumb_terminal

from mychat.errors import MychatError
from mychat.terminal.line import Line
from mychat.terminal.slash import LeaveChat, complete_slash, run_slash
from mychat.terminal.view import ChatView

SHOWN_ON_RESUME = 6
"""Messages of a conversation that goes on."""


def chat_loop(view: ChatView, *, vi: bool = False, keep_history: bool = True) -> None:
    """Talk until `/quit`, Ctrl-D, Ctrl-C twice or the end of the input. Raises: MychatError when nobody loads."""
    said = view.session.messages
    if said:
        view.terminal.note(
            f"{len(said)} messages until now" + (", the last of them:" if len(said) > SHOWN_ON_RESUME else ":")
        )
        for message in said[-SHOWN_ON_RESUME:]:
            view.show(message)
    else:
        view.greet()
    view.terminal.note("/help lists the commands, Ctrl-D leaves")
    with view.stop:
        try:
            for line, whole in _lines(view, vi=vi, keep=keep_history):
                _do(view, line, whole)
                if view.stop.leave:
                    return
        except (LeaveChat, KeyboardInterrupt):
            return


def _do(view: ChatView, line: str, whole: str) -> None:
    """Run a command, or say something. Whether it is a command is told by what was typed, not by what a sign holds."""
    try:
        if line.startswith("/"):
            if shown := run_slash(view, whole):
                view.terminal.note(shown)
        elif whole.strip():
            view.answer(view.session.send(whole))
    except MychatError as error:
        if view.speaker.engine.failed:
            raise  # there is nobody to talk to
        view.terminal.note(str(error), style="error")


def _lines(view: ChatView, *, vi: bool, keep: bool) -> Iterator[tuple[str, str]]:
    """Yield what is typed, and what it stands for; a pipe is read line by line."""
    engine = view.speaker.engine
    if not sys.stdin.isatty() or is_dumb_terminal():  # nothing is drawn there before the first line comes
        engine.start()
    if not sys.stdin.isatty():
        yield from (
            (line, line) for line in (raw.decode("utf-8", "replace").rstrip("\r\n") for raw in sys.stdin.buffer)
        )
        return
    line = Line(lambda text: complete_slash(view, text), view.status, engine.start, vi=vi, keep=keep)
    view.sign, view.stop.on_leave = line.sign, line.leave
    while True:
        try:
            begun, view.begun = view.begun, ""
            typed = line.read(begun)
            yield typed, line.whole(typed)
        except KeyboardInterrupt:  # clears the line, as in a shell
            view.stop.press()
            if view.stop.leave:
                return
            view.terminal.note("Ctrl-C again leaves")
        except EOFError:
            return
