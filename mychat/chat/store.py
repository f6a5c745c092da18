"""Conversations on disk: a file of JSON lines each, written as things are said, readable by their owner only."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from mychat.errors import SessionError, suggest

FORMAT_VERSION = 1
SUFFIX = ".jsonl"


def sessions_folder() -> Path:
    """Where conversations are kept: `sessions/` in the user's state folder."""
    return Path(platformdirs.user_state_dir("mychat")) / "sessions"


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation on disk, in a line."""

    name: str
    checkpoint: str
    first: str
    """What was said first."""
    turns: int
    modified: float
    """Seconds since 1970."""


class SessionFile:
    """One conversation's records. Nothing is written before the first of them."""

    def __init__(self, path: Path, about: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._about = about

    @property
    def name(self) -> str:
        """What the conversation is called."""
        return self.path.stem

    def fresh(self) -> SessionFile:
        """Return the file of another conversation with the same checkpoint."""
        about = self._about or self.read()[0]
        return new_session(str(about.get("checkpoint", "")), about)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record, down to the disk. Raises: SessionError when the disk refuses."""
        records = [record]
        if self._about is not None and not self.path.exists():
            records.insert(0, {**self._about, "mychat_session": FORMAT_VERSION})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in records))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be written ({error.strerror}); --no-history keeps none") from None

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what the file says of itself, and its records; a last line cut short is left out.

        Raises: SessionError when it is not a conversation of mychat's.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be read ({error.strerror})") from None
        whole, rest = lines[:-1], lines[-1]
        try:
            records = [json.loads(line) for line in whole]
        except ValueError:
            raise SessionError(f"{self.path}:{_first_bad(whole)}: not JSON; mend or delete the line") from None
        if not records or not isinstance(records[0], dict) or records[0].get("mychat_session") != FORMAT_VERSION:
            raise SessionError(f"{self.path}: not a conversation that this mychat can read")
        if rest:  # a kill in the middle of a write: what comes next starts a line of its own
            with self.path.open("r+b") as file:
                file.truncate(sum(len(line) + 1 for line in whole))
        return records[0], records[1:]


def _first_bad(lines: list[bytes]) -> int:
    for number, line in enumerate(lines, 1):
        try:
            json.loads(line)
        except ValueError:
            return number
    return 0


def new_session(checkpoint: str, about: Mapping[str, Any]) -> SessionFile:
    """Begin a conversation under a name of its own: checkpoint, day and number."""
    folder = sessions_folder()
    stem = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', checkpoint).strip('-') or 'chat'}-{time.strftime('%Y-%m-%d')}"
    number = 1
    while (folder / f"{stem}-{number}{SUFFIX}").exists():
        number += 1
    return SessionFile(folder / f"{stem}-{number}{SUFFIX}", about)


def list_sessions() -> list[Kept]:
    """List the conversations that can be read, the latest first."""
    found = []
    for path in sessions_folder().glob(f"*{SUFFIX}"):
        try:
            about, records = SessionFile(path).read()
        except SessionError:
            continue
        said = [record for record in records if record.get("role") == "user"]
        first = str(said[0]["text"]) if said else ""
        found.append(Kept(path.stem, str(about.get("checkpoint", "")), first, len(said), path.stat().st_mtime))
    return sorted(found, key=lambda one: -one.modified)


def find_session(name: str) -> SessionFile:
    """Find a conversation by name or path. Raises: SessionError, naming the nearest."""
    path = Path(name) if Path(name).suffix == SUFFIX else sessions_folder() / f"{name}{SUFFIX}"
    if not path.is_file():
        known = [one.name for one in list_sessions()]
        hint = suggest(name, known) or ("; known: " + ", ".join(known[:8]) if known else "; there is none yet")
        raise SessionError(f"{name}: no such conversation{hint}")
    return SessionFile(path)
