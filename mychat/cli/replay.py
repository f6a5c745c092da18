"""`mychat replay`: a kept conversation, shown or run again."""

from __future__ import annotations

from typing import Annotated

import typer

from mychat.cli.completion import complete_session
from mychat.cli.examples import examples
from mychat.cli.options import DeviceOption, JsonOption


def replay(
    session: Annotated[
        str, typer.Argument(help="A conversation's name, or its file.", autocompletion=complete_session)
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Make every reply again with its seed, and compare.")
    ] = False,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Show a conversation that was kept; with --verify, exits with 1 at a token that differs."""
    from mychat.chat.store import find_session
    from mychat.terminal.console import Terminal
    from mychat.terminal.replay import print_conversation, print_replayed

    file = find_session(session)
    about, records = file.read()
    terminal = Terminal()
    if not verify:
        print_conversation(terminal, about, records, as_json=json)
        return
    from functools import cache

    from mychat.chat.replay import replay as run
    from mychat.generate.engine import Engine, load_engine
    from mychat.model.record import find_speaker, weights_sha256

    @cache
    def engine_of(checkpoint: str) -> tuple[Engine, str]:
        place = find_speaker(checkpoint, chat=True)
        return load_engine(place, device), weights_sha256(place)

    if not print_replayed(terminal, run(engine_of, records), as_json=json):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("replay"))(replay)
