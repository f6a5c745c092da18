"""`mychat eval`: how good a checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mychat.cli.examples import examples
from mychat.cli.options import CheckpointArgument, DeviceOption, JsonOption


def evaluate(
    checkpoint: CheckpointArgument = "milo",
    data: Annotated[
        list[Path] | None, typer.Option(help="Words to measure on, instead of its own test side; repeat for more.")
    ] = None,
    show_wrong: Annotated[int, typer.Option(help="Show this many wrong answers.", min=0)] = 0,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
) -> None:
    """Measure bits per byte, perplexities and persona accuracy on words it has not seen."""
    from mychat.evaluate.evaluate import evaluate as run
    from mychat.model.checkpoint import load_checkpoint
    from mychat.model.record import find_checkpoint
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import print_figures, print_wrong_answers

    result = run(load_checkpoint(find_checkpoint(checkpoint)), data or (), device)
    terminal = Terminal()
    if json:
        terminal.json(result.metrics)
        return
    print_figures(terminal, result.metrics)
    print_wrong_answers(terminal, result.answers, show_wrong)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("eval", epilog=examples("eval"))(evaluate)
