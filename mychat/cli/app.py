"""The `mychat` command: its table of commands, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import Any

import typer

import mychat
from mychat.errors import MychatError
from mychat.terminal.sanitise import sanitise

SPINS = "5000"
"""How long an idle OpenMP thread spins before it sleeps. Unbounded, two busy programs slow each other fiftyfold
(docs/log.md). Read when torch is loaded."""


class _Commands(typer.core.TyperGroup):
    """Ends with one line and the right exit code for everything a user can cause."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MychatError as error:
            typer.echo(f"mychat: {sanitise(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from None
        except PermissionError as error:
            typer.echo(f"mychat: {error.filename}: {error.strerror}; check its permissions", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("mychat: interrupted", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of a pipe has gone: nothing to say, nobody to say it to
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None


app = typer.Typer(
    cls=_Commands,
    help="Build your own ChatGPT in your terminal: train a tokenizer and a GPT on your words, and talk to it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mychat {mychat.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    from mychat.cli import bench, chat, evaluate, info, persona, replay, sample, tokenizer, train, tune

    for module in (train, tune, chat, sample, replay, evaluate, info, persona, tokenizer, bench):
        module.register(app)
    try:
        app(prog_name="mychat")
    except SystemExit as end:
        if "torch" in sys.modules and sys.argv[1:2] in (["chat"], ["sample"]):
            _leave_at_once(end.code if isinstance(end.code, int) else int(bool(end.code)))
        raise


def _leave_at_once(code: int) -> None:
    """End the process without taking torch apart first (longer than a short reply takes), or waiting for it to load.

    What these commands write is on the disk already.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
