"""native.c, built once for this processor by the machine's own compiler, and kept in the user's cache."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import secrets
import shlex
import shutil
import stat
import subprocess
import time
from functools import cache
from pathlib import Path

import platformdirs
import torch

SOURCE = Path(__file__).with_name("native.c")
_VECTORS = {
    "AVX512": ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma"),
    "AVX2": ("-mavx2", "-mfma"),
}
"""Options for what torch finds in the processor; Arm's vectors need none."""
_SCRIPT = 'made=$1 new=$2; shift 2; "$@" -o "$new" && { sync "$new" 2>&1; mv -f "$new" "$made"; } || rm -f "$new"'
"""It finishes even when whoever asked has left meanwhile, and a reader sees a whole file or none."""
PATIENCE_SECONDS = 60.0


class Build:
    """The library of native.c: there, in the making, or not to be had."""

    def __init__(self) -> None:
        self.library: ctypes.CDLL | None = None
        self.settled = False
        """Whether nothing will change any more."""
        self._made: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._begin(_command())
        except OSError:  # no source, no room, no rights, no shell
            self._made = None
        self.look()

    def _begin(self, command: list[str]) -> None:
        if not command:
            return
        key = hashlib.sha256(" ".join([*command, platform.machine()]).encode() + SOURCE.read_bytes()).hexdigest()[:16]
        folder = Path(platformdirs.user_cache_dir("mychat"))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder):
            return
        self._made = folder / f"native-{key}.so"
        if not self._made.exists():
            new = f"{self._made}.{secrets.token_hex(4)}"
            self._process = subprocess.Popen(
                ["sh", "-c", _SCRIPT, "sh", str(self._made), new, *command],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def look(self) -> None:
        """See whether it is finished."""
        if self.settled:
            return
        ended = self._process is None or self._process.poll() is not None
        if ended and self._made:
            with contextlib.suppress(OSError):
                self.library = ctypes.CDLL(str(self._made))
        self.settled = ended

    def wait(self) -> None:
        """Look until it is settled, a minute at most."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while not self.settled and time.monotonic() < ends:
            time.sleep(0.02)
            self.look()


def _is_ours(folder: Path) -> bool:
    """Whether nobody but this user, or root, can have put something there."""
    found = folder.stat()
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def build() -> Build:
    """Return this process's only one, begun when first asked for."""
    return Build()


def _command() -> list[str]:
    """Return the compiler and what it is told; nothing where there is none. `CC` names another, or with `none` none."""
    name, *options = shlex.split(os.environ.get("CC") or "cc") or ["cc"]
    compiler = shutil.which(name)
    if os.name != "posix" or compiler is None or _would_ask():
        return []
    capability = torch.backends.cpu.get_cpu_capability()
    if platform.machine().lower() in ("x86_64", "amd64") and capability not in _VECTORS:
        return []
    vectors = _VECTORS.get(capability, ())
    return [compiler, *options, "-O3", "-std=gnu11", "-shared", "-fPIC", *vectors, str(SOURCE), "-lm", "-lpthread"]


def _would_ask() -> bool:
    """Whether `cc` is macOS's stand-in, which opens a window to install the real one."""
    if platform.system() != "Darwin":
        return False
    return subprocess.run(["xcode-select", "-p"], capture_output=True, check=False).returncode != 0
