"""`mychat bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from mychat.cli.examples import examples
from mychat.cli.options import DeviceOption, JsonOption


def bench(
    size: Annotated[
        list[str] | None, typer.Option(help="nano, micro, mini, small or base; repeat for more [nano, micro, mini].")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to measure each figure.")] = 6.0,
    compiled: Annotated[bool, typer.Option("--compile", help="Also train compiled; needs a C++ compiler.")] = False,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Measure this machine: matrix products, memory, and how fast each size trains and generates."""
    from mychat.terminal.bench import draw_bench
    from mychat.terminal.console import Terminal
    from mychat.train.bench import bench as run

    draw_bench(Terminal(), run(size or (), seconds=seconds, device=device, compiled=compiled), as_json=json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("bench"))(bench)
