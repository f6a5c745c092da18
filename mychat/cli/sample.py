"""`mychat sample`: one reply on stdout."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from mychat.cli.options import SAMPLING, DeviceOption, JsonOption, SpeakerOption, SystemOption, with_options


@with_options(SAMPLING)
def sample(
    prompt: Annotated[str | None, typer.Argument(help="What to say to it; '-' or a pipe reads stdin.")] = None,
    checkpoint: SpeakerOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as plain text.")] = False,
    system: SystemOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
    **options: Any,
) -> None:
    """Print one reply, or with --raw the prompt's continuation."""
    if prompt in (None, "-"):
        if prompt is None and sys.stdin.isatty():
            raise typer.BadParameter("say something: mychat sample PROMPT, or pipe it in", param_hint="PROMPT")
        from mychat.corpus.cleaning import read_stdin

        prompt = read_stdin()
    from mychat.chat.character import find_character
    from mychat.generate.engine import load_engine
    from mychat.generate.sample import sample as run
    from mychat.terminal.console import Terminal
    from mychat.terminal.once import print_reply

    character = find_character(checkpoint, system)
    engine = load_engine(character.checkpoint, device, chat=not raw)
    sampling = engine.defaults.updated(character.persona.sampling if character.persona else {}).updated(options)
    terminal = Terminal()
    if character.note and not raw:
        terminal.note(character.note)
    print_reply(terminal, run(engine, prompt, sampling, system=character.system, raw=raw), as_json=json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sample)
