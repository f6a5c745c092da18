"""Folders that are never half written: all of the new one, or all of the old."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from mychat.errors import CheckpointError


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _aside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary sibling to write into; at the end it takes the place of `path`.

    On any failure the sibling is removed and `path` is as it was.
    Raises: CheckpointError when the disk refuses.
    """
    path = path.absolute()
    temporary, old = _aside(path, f"new-{os.getpid()}"), _aside(path, "old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        _sync(temporary)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            recover(path)
            raise
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror or error}); what was there is untouched"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover(path: Path) -> None:
    """Finish a replacement that was cut between its two renames, and clear away what a killed writer left."""
    path = path.absolute()
    for left in path.parent.glob(f".{glob.escape(path.name)}.new-*") if path.name else ():
        if not psutil.pid_exists(int(left.name.rpartition("-")[2])):
            shutil.rmtree(left, ignore_errors=True)
    old = _aside(path, "old") if path.name else path
    if old.is_dir() and not path.exists():
        old.rename(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
