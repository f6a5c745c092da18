"""`mychat chat`: the REPL."""

from __future__ import annotations

from typing import Any

import typer

from mychat.cli.options import SAMPLING, DeviceOption, SpeakerArgument, SystemOption, with_options


@with_options(SAMPLING)
def chat(
    checkpoint: SpeakerArgument = None,
    system: SystemOption = None,
    device: DeviceOption = "cpu",
    **options: Any,
) -> None:
    """Talk to a checkpoint; the conversation stays in its context window."""
    from mychat.chat.character import find_character
    from mychat.chat.session import ChatSession
    from mychat.generate.engine import load_engine
    from mychat.terminal.console import Terminal
    from mychat.terminal.repl import chat_loop

    terminal = Terminal()
    character = find_character(checkpoint, system)
    engine = load_engine(character.checkpoint, device, chat=True)
    persona = character.persona or engine.persona
    session = ChatSession(engine, engine.defaults.updated(persona.sampling).updated(options), character.system)
    if character.note:
        terminal.note(character.note)
    chat_loop(terminal, session, persona.display_name, persona.greeting)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)
