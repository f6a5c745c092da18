"""`mychat tokenizer train|show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mychat.cli.examples import examples
from mychat.cli.options import JsonOption

tokenizers = typer.Typer(help="Train a tokenizer; see how text is cut.", no_args_is_help=True, rich_markup_mode=None)


@tokenizers.command()
def train(
    files: Annotated[list[str], typer.Argument(help="Words to learn from: .txt, .jsonl, .chat files or folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    vocab_size: Annotated[int, typer.Option(help="Ids, the 256 bytes and 6 markers included.")] = 4096,
    force: Annotated[bool, typer.Option("--force", help="Replace the tokenizer that is there.")] = False,
) -> None:
    """Train a byte-level BPE tokenizer."""
    from mychat.config import find_words
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import describe_tokenizer
    from mychat.tokenizer.train import train_files

    trained = train_files([find_words(name) for name in files], vocab_size, out, replace=force)
    terminal = Terminal()
    terminal.result(str(out))
    terminal.note(describe_tokenizer(trained))


@tokenizers.command(epilog=examples("tokenizer show"))
def show(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint, or a folder with a tokenizer.json.")],
    text: Annotated[str, typer.Argument(help="What to cut; '-' reads stdin.")],
    json: JsonOption = False,
) -> None:
    """Show how a text is cut into tokens."""
    from mychat.config import find
    from mychat.corpus.cleaning import clean_argument, read_stdin
    from mychat.model.record import find_checkpoint
    from mychat.terminal.console import Terminal
    from mychat.terminal.tables import print_tokens
    from mychat.tokenizer.bpe import TOKENIZER_FILE, load_tokenizer

    path = find("checkpoints", checkpoint)
    folder = path if path and (path / TOKENIZER_FILE).is_file() else find_checkpoint(checkpoint)
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(read_stdin() if text == "-" else clean_argument(text))
    pieces = [tokenizer.token_bytes(id_) for id_ in ids]
    terminal = Terminal()
    if json:
        terminal.json([{"id": id_, "bytes": piece.hex()} for id_, piece in zip(ids, pieces, strict=True)])
    else:
        print_tokens(terminal, ids, pieces)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(tokenizers, name="tokenizer")
