"""Conversations that a base model goes on practising while it learns to be somebody, so that it forgets less."""

from __future__ import annotations

import lzma
from collections.abc import Collection, Sequence
from itertools import cycle
from pathlib import Path

from mychat.corpus.holdout import line_key
from mychat.corpus.jsonl import parse_line
from mychat.corpus.messages import Conversation
from mychat.errors import CorpusError

REPLAY_FILE = "replay.jsonl.xz"
"""In the base model's folder."""


def load_replay(checkpoint: Path) -> list[Conversation]:
    """Read the conversations that lie beside a checkpoint; none when there are none. Raises: CorpusError."""
    file = checkpoint / REPLAY_FILE
    if not file.is_file():
        return []
    try:
        lines = lzma.decompress(file.read_bytes()).decode("utf-8").split("\n")
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read {file}: {error}") from error
    items = (parse_line(line, file, number) for number, line in enumerate(lines, 1) if line)
    return [item for item in items if isinstance(item, Conversation)]


def mixed_in(
    replay: Sequence[Conversation], said: Sequence[Conversation], share: float, held_out: Collection[str] = ()
) -> list[Conversation]:
    """Take from `replay`, in turn, as much as makes up `share` of the characters of both.

    What says a line that is held out (by key) is not taken.
    """
    replay = [one for one in replay if not any(line_key(message.content) in held_out for message in one.messages)]
    room = share / (1 - share) * sum(one.chars for one in said) if replay and share else 0.0
    taken: list[Conversation] = []
    for conversation in cycle(replay):
        if room <= 0:
            break
        taken.append(conversation)
        room -= max(1, conversation.chars)
    return taken
