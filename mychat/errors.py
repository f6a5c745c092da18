"""Everything that can go wrong because of what somebody did.

    MychatError            exit code 1
    ├── ConfigError        a setting that cannot be used
    ├── CorpusError        words that cannot be read or are too few
    │   └── SyntaxFault    a broken line: knows its file, line and column
    ├── CheckpointError    a checkpoint that is missing, damaged or in the way
    ├── ContextError       a prompt that does not fit the context window
    ├── SessionError       a conversation that cannot be read, kept or changed so
    └── TrainingError      a run that cannot start or go on
        └── Interrupted    Ctrl-C, after saving          exit code 130

The message is one line that says what, where, and what to do. A programming
mistake is never one of these.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class MychatError(Exception):
    """A failure the user can act on."""

    exit_code = 1


class ConfigError(MychatError):
    """A setting that cannot be used."""


class CorpusError(MychatError):
    """Words that cannot be read, or are too few."""


class SyntaxFault(CorpusError):
    """A broken line in a file somebody wrote.

    `line` and `column` count from 1; `text` is the line itself.
    """

    def __init__(self, path: Path, line: int, column: int, problem: str, text: str = "") -> None:
        self.path, self.line, self.column, self.problem, self.text = path, line, column, problem, text
        super().__init__(f"{path}:{line}:{column}: {problem}" + (f" in: {text.strip()[:100]}" if text.strip() else ""))


class CheckpointError(MychatError):
    """A checkpoint that is missing, damaged or in the way."""


class ContextError(MychatError):
    """A prompt that does not fit the context window."""


class SessionError(MychatError):
    """A conversation that cannot be read, kept or changed in this way."""


class TrainingError(MychatError):
    """A run that cannot start or go on."""


class Interrupted(TrainingError):
    """Ctrl-C during a run; everything is saved."""

    exit_code = 130


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
