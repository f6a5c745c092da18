"""`mychat persona list|show|new|check`."""

from __future__ import annotations

from typing import Annotated

import typer

from mychat.cli.examples import examples
from mychat.cli.options import JsonOption, WordsArgument

personas = typer.Typer(help="List, show, start and check personas.", no_args_is_help=True, rich_markup_mode=None)


@personas.command("list")
def list_personas(json: JsonOption = False) -> None:
    """List the personas there are."""
    from mychat.config import SAMPLING_NAMES, find, list_names
    from mychat.corpus.persona import load_personas
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import print_personas

    found = load_personas([path for name in list_names("personas") if (path := find("personas", name))], SAMPLING_NAMES)
    terminal = Terminal()
    if json:
        terminal.json([{"name": one.name, "display_name": one.display_name, "language": one.language} for one in found])
    else:
        print_personas(terminal, found)


@personas.command()
def show(
    persona: WordsArgument,
    examples: Annotated[int, typer.Option(help="Dialogues to draw.", min=0)] = 3,
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
    json: JsonOption = False,
) -> None:
    """Show what a persona holds, with a few dialogues drawn from it."""
    from mychat.corpus.summary import summarise
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import print_persona

    summary = summarise(persona, examples, seed)
    terminal = Terminal()
    if json:
        terminal.json(summary)
    else:
        print_persona(terminal, summary)


@personas.command(epilog=examples("persona new"))
def new(
    name: Annotated[str, typer.Argument(help="The folder's name: letters, digits, '_' and '-'.")],
    display_name: Annotated[str | None, typer.Option(help="What it calls itself.")] = None,
    fact: Annotated[list[str] | None, typer.Option(help="A first-person sentence about it; repeat for more.")] = None,
) -> None:
    """Write a persona to start from, with dialogues that train as they stand.

    In a terminal it asks a few questions first, unless facts are given.
    """
    import sys

    from mychat.config import personas_folder
    from mychat.corpus.starter import Sketch, check_new_persona, new_persona
    from mychat.terminal.ask import ask_sketch
    from mychat.terminal.console import Terminal

    terminal = Terminal()
    check_new_persona(personas_folder(), name)
    if sys.stdin.isatty() and sys.stdout.isatty() and not fact:
        sketch = ask_sketch(terminal, name, display_name)
    else:
        sketch = Sketch(display_name or "", facts=tuple(fact or ()))
    new_persona(personas_folder(), name, sketch)
    folder = personas_folder() / name
    terminal.result(str(folder))
    terminal.note(f"edit {folder}/dialogues.chat; mychat persona check {name} says what is missing")
    terminal.note(f"then type: mychat train {name}")


@personas.command(epilog=examples("persona check"))
def check(
    persona: WordsArgument,
    minutes: Annotated[
        float | None, typer.Option("--minutes", "-m", help="The budget it is to be trained with.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Examine a persona's words: what will keep a model from learning them well, with file and line.

    Exits with 1 when there is a problem, as a linter does; advice alone is no problem.
    """
    from dataclasses import asdict

    from mychat.config import TrainSettings
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import print_checkup
    from mychat.train.checkup import check_up

    checkup = check_up(persona, TrainSettings(minutes=minutes))
    terminal = Terminal()
    if json:
        terminal.json(asdict(checkup))
    else:
        print_checkup(terminal, checkup, persona)
    if checkup.problems:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(personas, name="persona")
