"""`mychat tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mychat.cli.examples import examples
from mychat.cli.options import STARTED, DeviceOption, JsonOption, WordsArgument


def tune(
    persona: WordsArgument,
    minutes: Annotated[float, typer.Option("--minutes", "-m", help="The budget of the whole search.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The TOML file to write [PERSONA-tuned.toml].")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="At most so many runs; as many as fit if not given.")] = None,
    trial_minutes: Annotated[float | None, typer.Option(help="The budget of each run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed tries other settings.")] = None,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search there, for --minutes more.")] = False,
    json: JsonOption = False,
) -> None:
    """Search for better settings than mychat's own, by many short runs (mychat[tune])."""
    from mychat.terminal.console import Terminal
    from mychat.terminal.tune import draw_tuning, report_tuning
    from mychat.train.tune import make_tune_request
    from mychat.train.tune import tune as run

    options = {"minutes": minutes, "out": out, "trials": trials, "trial_minutes": trial_minutes, "seed": seed,
               "device": device, "resume": resume}  # fmt: skip
    request = make_tune_request(persona, options, STARTED)
    terminal = Terminal()
    tuned = draw_tuning(terminal, run(request), as_json=json)
    if tuned is not None:
        report_tuning(terminal, tuned, persona)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("tune"))(tune)
