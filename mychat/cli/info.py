"""`mychat info`: what a checkpoint is."""

from __future__ import annotations

import typer

from mychat.cli.examples import examples
from mychat.cli.options import CheckpointArgument, JsonOption


def info(checkpoint: CheckpointArgument = "milo", json: JsonOption = False) -> None:
    """Say what a checkpoint is, what it was made from and how good it is."""
    from mychat.model.info import describe_checkpoint
    from mychat.model.record import find_checkpoint
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import print_info

    about = describe_checkpoint(find_checkpoint(checkpoint))
    terminal = Terminal()
    if json:
        terminal.json(about)
    else:
        print_info(terminal, about)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("info"))(info)
