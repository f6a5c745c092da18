"""`mychat chat`: the REPL."""

from __future__ import annotations

from typing import Any

import typer

from mychat.cli.options import SAMPLING, CheckpointArgument, DeviceOption, SystemOption, with_options


@with_options(SAMPLING)
def chat(
    checkpoint: CheckpointArgument = "milo", system: SystemOption = None, device: DeviceOption = "cpu", **options: Any
) -> None:
    """Talk to a checkpoint; the conversation stays in its context window."""
    from mychat.chat.session import ChatSession
    from mychat.generate.engine import load_engine
    from mychat.terminal.console import Terminal
    from mychat.terminal.repl import chat_loop

    engine = load_engine(checkpoint, device, chat=True)
    session = ChatSession(engine, engine.defaults.updated(options), system)
    chat_loop(Terminal(), session, engine.persona.display_name, engine.persona.greeting)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)
