"""Conversations on disk: a file of JSON lines each, written as things are said, readable by their owner only."""

from __future__ import annotations

import contextlib
import errno
import fcntl
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
_NUMBER = re.compile(r"-(\d+)$")


def sessions_folder() -> Path:
    """Where conversations are kept: `sessions/` in the user's state folder."""
    return Path(platformdirs.user_state_dir("mychat")) / "sessions"


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation on disk, in a line."""

    name: str
    first: str
    """What was said first."""
    turns: int
    modified: float
    """Seconds since 1970."""


class SessionFile:
    """One conversation's records. Nothing is written before the first of them; one chat at a time may write."""

    def __init__(self, path: Path, about: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._about = about
        """Of a conversation that begins; None: the file is there."""
        self._descriptor = -1
        """Held open, and with it the lock, from the first record on."""
        self._waiting: list[bytes] = []
        """What could not be written yet."""

    @property
    def name(self) -> str:
        """What the conversation is called."""
        return self.path.stem

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record, down to the disk. Raises: SessionError when the disk refuses; the next one takes it along."""
        self._waiting.append(_line(record))
        try:
            if self._descriptor < 0:
                self._descriptor = self._open()
            _write(self._descriptor, b"".join(self._waiting))
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be written ({error.strerror}); --no-history keeps none") from None
        self._waiting.clear()

    def claim(self) -> None:
        """Keep other chats from writing into a file that is there. Raises: SessionError when one has it."""
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be written ({error.strerror}); --no-history keeps none") from None

    def close(self) -> None:
        """Let another chat write."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        if self._about is None:
            descriptor = _locked(self.path, os.O_RDWR)
            _end_with_a_line(descriptor, self.path.read_bytes())
            return descriptor
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            try:
                descriptor = _locked(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            except FileExistsError:  # another chat began under this name meanwhile
                self.path = _next(self.path)
                continue
            self._waiting.insert(0, _line({**self._about, "mychat_session": FORMAT_VERSION}))
            self._about = None
            return descriptor

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what the file says of itself, and its records; a last line cut short is left out.

        Raises: SessionError when it is not a conversation of mychat's.
        """
        try:
            *lines, rest = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be read ({error.strerror})") from None
        records = []
        for number, line in enumerate(lines, 1):
            record = _parsed(line)
            if record is None:
                raise SessionError(f"{self.path}:{number}: not a JSON object; mend or delete the line")
            records.append(record)
        if (last := _parsed(rest)) is not None:
            records.append(last)
        if not records or records[0].get("mychat_session") != FORMAT_VERSION:
            raise SessionError(f"{self.path}: not a conversation that this mychat can read")
        return records[0], records[1:]


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _locked(path: Path, flags: int) -> int:
    """Open a file for this process alone. Raises: SessionError when another has it; OSError."""
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SessionError(f"{path.stem}: is open in another chat; leave that first, or begin a new one") from None
    return descriptor


def _write(descriptor: int, data: bytes) -> None:
    """Append, whole or not at all. Raises: OSError."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _end_with_a_line(descriptor: int, whole: bytes) -> None:
    """Mend the end of a file that a kill or an editor left without a line's end."""
    rest = whole.rpartition(b"\n")[2]
    if rest and _parsed(rest) is not None:
        _write(descriptor, b"\n")
    elif rest:
        os.ftruncate(descriptor, len(whole) - len(rest))


def _next(path: Path) -> Path:
    found = _NUMBER.search(path.stem)
    number = int(found.group(1)) + 1 if found else 2
    return path.with_name(f"{path.stem[: found.start()] if found else path.stem}-{number}{SUFFIX}")


def new_session(checkpoint: str, about: Mapping[str, Any]) -> SessionFile:
    """Begin a conversation under a name of its own: checkpoint, day and number."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", checkpoint).strip("-")[-60:] or "chat"
    path = sessions_folder() / f"{stem}-{time.strftime('%Y-%m-%d')}-1{SUFFIX}"
    while path.exists():
        path = _next(path)
    return SessionFile(path, about)


def list_sessions() -> list[Kept]:
    """List the conversations that can be read, the latest first."""
    found = []
    for path in sessions_folder().glob(f"*{SUFFIX}"):
        try:
            _, records = SessionFile(path).read()
            modified = path.stat().st_mtime
        except (SessionError, OSError):
            continue
        said = [str(record.get("text")) for record in records if record.get("role") == "user"]
        found.append(Kept(path.stem, said[0] if said else "", len(said), modified))
    return sorted(found, key=lambda one: -one.modified)


def find_session(name: str) -> SessionFile:
    """Find a conversation by name or path. Raises: SessionError, naming the nearest."""
    path = Path(name) if Path(name).suffix == SUFFIX else sessions_folder() / f"{name}{SUFFIX}"
    if not _is_file(path):
        known = [one.name for one in list_sessions()]
        hint = suggest(name, known) or ("; known: " + ", ".join(known[:8]) if known else "; there is none yet")
        raise SessionError(f"{name[:80]}: no such conversation{hint}")
    return SessionFile(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no file can be called so
        return False
