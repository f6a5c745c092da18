"""`mychat train`, `mychat pretrain`, `mychat finetune`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mychat.cli.completion import complete_checkpoint
from mychat.cli.examples import examples
from mychat.cli.options import STARTED, TRAINING, WordsArgument, with_options

ParentOption = Annotated[
    str | None,
    typer.Option("--from", help="A checkpoint to start from; `scratch` for none.", autocompletion=complete_checkpoint),
]


@with_options(TRAINING)
def train(
    persona: WordsArgument = "milo",
    parent: ParentOption = None,
    **options: Any,
) -> None:
    """Train from words to a chat: tokenizer, pretraining, fine-tuning, evaluation."""
    _run("train", [persona], parent, options)


@with_options(TRAINING)
def pretrain(
    files: Annotated[list[str], typer.Argument(help="Text to learn the language from (.txt, .jsonl, .chat, folders).")],
    **options: Any,
) -> None:
    """Train a tokenizer and a model that continues text."""
    _run("pretrain", files, None, options)


@with_options(TRAINING)
def finetune(
    persona: WordsArgument,
    parent: Annotated[
        str, typer.Option("--from", help="The checkpoint to start from.", autocompletion=complete_checkpoint)
    ],
    **options: Any,
) -> None:
    """Teach a checkpoint to speak as a persona."""
    _run("finetune", [persona], parent, options)


def _run(kind: str, sources: list[str], parent: str | None, options: dict[str, Any]) -> None:
    from mychat.terminal.console import Terminal
    from mychat.terminal.progress import draw_training, report_training
    from mychat.train.pipeline import train as run
    from mychat.train.request import make_request
    from mychat.train.world import draws

    request = make_request(kind, sources, parent, options, STARTED)
    events = run(request)
    if not draws():
        for _ in events:
            pass
        return
    terminal = Terminal()
    if request.tensorboard:
        from mychat.train.tensorboard import logged

        events = logged(events, request.out.name)
    finished = draw_training(terminal, events, as_json=options["json"])
    if finished is not None and not options["json"]:
        report_training(terminal, finished, options["out"] or request.out.name)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (train, pretrain, finetune):
        app.command(epilog=examples(command.__name__))(command)
