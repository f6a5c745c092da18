"""`mychat chat`: the REPL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mychat.cli.examples import examples
from mychat.cli.options import SAMPLING, DeviceOption, SpeakerArgument, SystemOption, with_options

THEMES = ("auto", "dark", "light")

if TYPE_CHECKING:
    from mychat.chat.waiting import ReadingEngine
    from mychat.model.record import Place


@with_options(SAMPLING)
def chat(
    checkpoint: SpeakerArgument = None,
    system: SystemOption = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a conversation: [CHECKPOINT] is its name; without it, pick one."),
    ] = False,
    last: Annotated[bool, typer.Option("--last", help="Go on with the latest conversation.")] = False,
    no_history: Annotated[bool, typer.Option("--no-history", help="Write nothing of this conversation.")] = False,
    vi: Annotated[bool, typer.Option("--vi", help="Edit lines with vi's keys.")] = False,
    theme: Annotated[str, typer.Option(help="auto, dark or light: your terminal's background.")] = "auto",
    device: DeviceOption = "cpu",
    **options: Any,
) -> None:
    """Talk to a checkpoint; the conversation stays in its context window."""
    if theme not in THEMES:
        raise typer.BadParameter(f"{theme!r}: {', '.join(THEMES)}", param_hint="--theme")
    from mychat.chat.begin import begin_session
    from mychat.chat.character import Speaker, open_speaker

    def load(place: Place) -> ReadingEngine:
        from mychat.generate.engine import load_engine

        return load_engine(place, device)

    def call(name: str | None, text: str | None = None) -> Speaker:
        return open_speaker(name, text, load)

    going_on = "" if last else None
    if resume and not last:
        from mychat.terminal.pick import pick_session

        going_on, checkpoint = checkpoint or pick_session(), None
    speaker, session = begin_session(
        lambda name: call(name, system), checkpoint, system, options, resume=going_on, keep=not no_history
    )
    from mychat.terminal.console import Terminal
    from mychat.terminal.keys import StopKey
    from mychat.terminal.repl import chat_loop
    from mychat.terminal.view import ChatView

    view = ChatView(Terminal(theme), session, speaker, call, StopKey(), options)
    chat_loop(view, vi=vi, keep_history=not no_history)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("chat"))(chat)
