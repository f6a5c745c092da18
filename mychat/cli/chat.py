"""`mychat chat`: the REPL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mychat.cli.options import SAMPLING, DeviceOption, SpeakerArgument, SystemOption, with_options

if TYPE_CHECKING:
    from mychat.chat.session import ChatEngine


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
    from mychat.chat.waiting import WaitingEngine
    from mychat.config import PERSONA_FILE, SAMPLING_NAMES, SamplingOptions
    from mychat.corpus.persona import load_persona
    from mychat.model.record import find_speaker

    character = find_character(checkpoint, system)
    path = find_speaker(character.checkpoint, chat=True)
    persona = character.persona or load_persona(path / PERSONA_FILE, SAMPLING_NAMES)
    sampling = SamplingOptions().updated(persona.sampling).updated(options)

    def load() -> ChatEngine:
        from mychat.generate.engine import load_engine

        return load_engine(path, device)

    session = ChatSession(WaitingEngine(load), sampling, character.system)
    from mychat.terminal.console import Terminal  # the network loads already, beside these
    from mychat.terminal.repl import chat_loop

    terminal = Terminal()
    if character.note:
        terminal.note(character.note)
    chat_loop(terminal, session, persona.display_name, persona.greeting)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)
