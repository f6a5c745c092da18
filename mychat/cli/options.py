"""Options that several commands share, each written once."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mychat.cli.completion import complete_checkpoint, complete_persona, complete_speaker

STARTED = time.monotonic()
"""When the command began; a budget in minutes counts from here."""

CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="[CHECKPOINT]", help="A name under checkpoints/, or a path.", autocompletion=complete_checkpoint
    ),
]
SPEAKER = (
    "A name under checkpoints/, a path, or a persona; one that is not trained yet speaks through the base model [milo]."
)
WORDS = "A name under personas/, a folder, or a .chat, .jsonl or .txt file."
WordsArgument = Annotated[str, typer.Argument(metavar="PERSONA", help=WORDS, autocompletion=complete_persona)]
SpeakerArgument = Annotated[
    str | None, typer.Argument(metavar="[CHECKPOINT]", help=SPEAKER, autocompletion=complete_speaker)
]
SpeakerOption = Annotated[str | None, typer.Option("--checkpoint", "-c", help=SPEAKER, autocompletion=complete_speaker)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
DeviceOption = Annotated[str, typer.Option(envvar="MYCHAT_DEVICE", help="auto, cpu, cuda or mps.")]
SystemOption = Annotated[str | None, typer.Option(help="A system text, before the conversation.")]

SAMPLING: dict[str, Any] = {
    "temperature": Annotated[float | None, typer.Option(help="How daring: 0 takes the most likely token.")],
    "top_k": Annotated[int | None, typer.Option(help="Keep the k most likely tokens; 0 keeps all.")],
    "top_p": Annotated[float | None, typer.Option(help="Keep the tokens that together reach this probability.")],
    "min_p": Annotated[float | None, typer.Option(help="Keep tokens this probable relative to the likeliest.")],
    "typical_p": Annotated[float | None, typer.Option(help="Keep the tokens that surprise as much as is expected.")],
    "repetition_penalty": Annotated[float | None, typer.Option(help="Above 1, words already said are less likely.")],
    "frequency_penalty": Annotated[float | None, typer.Option(help="Less likely each time a token was said.")],
    "presence_penalty": Annotated[float | None, typer.Option(help="Less likely once a token was said.")],
    "no_repeat_ngram": Annotated[
        int | None, typer.Option(help="No stretch of so many tokens comes twice in a reply; 0 allows it.")
    ],
    "beams": Annotated[int | None, typer.Option(help="Search for the likeliest reply, so many abreast.")],
    "length_penalty": Annotated[float | None, typer.Option(help="Of beams: above 1 favours long replies.")],
    "best_of": Annotated[int | None, typer.Option(help="Draw so many replies and keep the likeliest.")],
    "max_new_tokens": Annotated[int | None, typer.Option(help="The longest reply, in tokens.")],
    "stop": Annotated[list[str] | None, typer.Option(help="End the reply before this text; repeat for more.")],
    "ban": Annotated[list[str] | None, typer.Option(help="Never say this text; repeat for more.")],
    "bias": Annotated[list[str] | None, typer.Option(help="TEXT=NUMBER: added to its logit; repeat for more.")],
    "seed": Annotated[int | None, typer.Option(help="The same seed gives the same reply.")],
}

TRAINING: dict[str, Any] = {
    "minutes": Annotated[float | None, typer.Option("--minutes", "-m", help="The budget of the whole command [5].")],
    "steps": Annotated[int | None, typer.Option(help="Optimizer steps; wins over --minutes.")],
    "size": Annotated[
        str | None, typer.Option(help="nano, micro, mini, small or base; the budget decides if not given.")
    ],
    "out": Annotated[str | None, typer.Option("--out", "-o", help="A name under checkpoints/, or a path.")],
    "seed": Annotated[int | None, typer.Option(help="The same seed and steps give the same model.")],
    "device": Annotated[str | None, typer.Option(envvar="MYCHAT_DEVICE", help="auto, cpu, cuda or mps.")],
    "dropout": Annotated[float | None, typer.Option(help="Share of activations left out in training.")],
    "weight_decay": Annotated[float | None, typer.Option(help="How strongly weights are pulled to zero (L2).")],
    "patience": Annotated[int | None, typer.Option(help="Stop after so many validations without a better one.")],
    "plan": Annotated[bool, typer.Option("--plan", help="Print the plan and stop.")],
    "tensorboard": Annotated[bool, typer.Option("--tensorboard", help="Also log to runs/ (mychat[tensorboard]).")],
    "config": Annotated[Path | None, typer.Option(help="A TOML file of training settings (docs/training.md).")],
    "resume": Annotated[bool, typer.Option("--resume", help="Go on with a stopped run; start if there is none.")],
    "force": Annotated[bool, typer.Option("--force", help="Replace what --out holds once the new one is finished.")],
    "json": Annotated[bool, typer.Option("--json", help="Print every event as a line of JSON on stdout.")],
}


def with_options(table: dict[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes `**options` the options of a table, so that they are written once."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if "bool" in str(annotation) else None,
                annotation=annotation,
            )
            for name, annotation in table.items()
        ]
        command.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in [*own, *added]}
        return command

    return decorate
