"""`mychat sample`: one reply on stdout."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from mychat.cli.examples import examples
from mychat.cli.options import SAMPLING, DeviceOption, JsonOption, SpeakerOption, SystemOption, with_options

FORMS = ("text", "json", "markdown")


@with_options(SAMPLING)
def sample(
    prompt: Annotated[str | None, typer.Argument(help="What to say to it; '-' or a pipe reads stdin.")] = None,
    checkpoint: SpeakerOption = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as plain text.")] = False,
    system: SystemOption = None,
    count: Annotated[int, typer.Option("-n", min=1, help="So many replies, with seeds one after the other.")] = 1,
    form: Annotated[str, typer.Option("--format", help="text, json or markdown.")] = "text",
    choices: Annotated[str | None, typer.Option(help="Answer with the most probable of these: yes,no,maybe")] = None,
    probs: Annotated[
        int | None, typer.Option(min=0, help="With --json: each token's log-probability, and so many alternatives.")
    ] = None,
    device: DeviceOption = "cpu",
    json: JsonOption = False,
    **options: Any,
) -> None:
    """Print a reply, or with --raw the prompt's continuation."""
    if form not in FORMS:
        raise typer.BadParameter(f"{form!r}: text, json or markdown", param_hint="--format")
    form = "json" if json else form
    if prompt in (None, "-"):
        if prompt is None and sys.stdin.isatty():
            raise typer.BadParameter("say something: mychat sample PROMPT, or pipe it in", param_hint="PROMPT")
        from mychat.corpus.cleaning import read_stdin

        prompt = read_stdin()
    if probs is not None and form != "json":
        raise typer.BadParameter("needs --json", param_hint="--probs")
    if choices is not None and raw:
        raise typer.BadParameter("a choice is a whole reply; leave --raw out", param_hint="--choices")
    from mychat.chat.character import find_character
    from mychat.generate.engine import load_engine
    from mychat.generate.sample import choose
    from mychat.generate.sample import sample as run
    from mychat.model.record import find_speaker
    from mychat.terminal.console import Terminal
    from mychat.terminal.once import print_choice, print_reply

    character = find_character(checkpoint, system)
    engine = load_engine(find_speaker(character.checkpoint, chat=not raw), device)
    sampling = engine.defaults.updated(character.persona.sampling if character.persona else {}).updated(options)
    terminal = Terminal()
    if character.note and not raw:
        terminal.note(character.note)
    if choices is not None:
        shares = choose(engine, prompt, choices.split(","), system=character.system)
        print_choice(terminal, shares, as_json=form == "json")
        return
    for place in range(count):
        seeded = sampling.updated({"seed": sampling.seed + place}) if sampling.seed is not None else sampling
        events = run(engine, prompt, seeded, system=character.system, raw=raw, alternatives=probs)
        print_reply(terminal, events, form, prompt, first=place == 0)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("sample"))(sample)
