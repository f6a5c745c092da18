"""The chat loop: read a line, show the reply, until the person leaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mychat.errors import CheckpointError, MychatError
from mychat.terminal.line import Line
from mychat.terminal.slash import LeaveChat, complete_slash, run_slash
from mychat.terminal.view import ChatView

SHOWN_ON_RESUME = 6
"""Messages of a conversation that goes on."""


def chat_loop(view: ChatView, *, vi: bool = False, keep_history: bool = True) -> None:
    """Talk until `/quit`, Ctrl-D, Ctrl-C twice or the end of the input. Raises: CheckpointError when nobody loads."""
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
        for line in _lines(view, vi=vi, keep=keep_history):
            try:
                if line.startswith("/"):
                    if shown := run_slash(view, line):
                        view.terminal.note(shown)
                elif line.strip():
                    view.answer(view.session.send(line))
            except LeaveChat:
                return
            except CheckpointError as error:
                if view.speaker.engine.failed:
                    raise  # there is nobody to talk to
                view.terminal.note(str(error), style="error")
            except MychatError as error:
                view.terminal.note(str(error), style="error")
            if view.stop.leave:
                return


def _lines(view: ChatView, *, vi: bool, keep: bool) -> Iterator[str]:
    """Yield what is typed; a pipe is read line by line."""
    if not sys.stdin.isatty():
        yield from (line.decode("utf-8", "replace").rstrip("\n") for line in sys.stdin.buffer)
        return
    line = Line(lambda text: complete_slash(view, text), view.status, vi=vi, keep=keep)
    view.sign = line.sign
    while True:
        try:
            begun, view.begun = view.begun, ""
            yield line.read(begun)
        except KeyboardInterrupt:  # clears the line, as in a shell
            view.stop.press()
            if view.stop.leave:
                return
            view.terminal.note("Ctrl-C again leaves")
        except EOFError:
            return
