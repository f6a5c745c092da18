"""This machine: its device, the precision it is fast in, and its memory allocator."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from pathlib import Path

import psutil
import torch

from mychat.errors import ConfigError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def pick_device(wanted: str) -> str:
    """Resolve `auto`, and check that a named device is there. Raises: ConfigError."""
    have = ["cpu"]
    if torch.cuda.is_available():
        have.insert(0, "cuda")
    if torch.backends.mps.is_available():
        have.insert(0, "mps")
    if wanted == "auto":
        return have[0]
    kind, _, number = wanted.partition(":")
    devices = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in have or (number and not (number.isdecimal() and int(number) < devices)):
        raise ConfigError(f"device {wanted!r} is not on this machine; it has: {', '.join(have)}")
    return wanted


def keep_heap() -> None:
    """Tell glibc to keep freed memory, so that every step does not fault its pages in again.

    Measured here: 7,300 -> 10,800 tokens per second on 16 rows of 512 (docs/log.md).
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(_M_TOP_PAD, 1 << 26)


def pick_precision(wanted: str, device: str) -> str:
    """Resolve `auto`: bf16 where matrix products are clearly faster in it."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device != "cpu":
        return "fp32"
    return "bf16" if matmul_flops(device, "bf16", 256) > 1.25 * matmul_flops(device, "fp32", 256) else "fp32"


def matmul_flops(device: str, precision: str, width: int, trials: int = 7) -> float:
    """Measure what matrix products of (2048, width) by (width, 3 width) reach, in FLOP/s: the best of some trials."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.ones(2048, width, dtype=dtype, device=device)
    right = torch.ones(width, 3 * width, dtype=dtype, device=device)
    repeats = 1 if device == "cpu" else 20
    times = []
    for _ in range(trials):
        wait_for(device)
        start = time.perf_counter()
        for _ in range(repeats):
            left @ right
        wait_for(device)
        times.append(time.perf_counter() - start)
    return repeats * 2.0 * 2048 * width * 3 * width / min(times)  # what else runs here must not decide it


def wait_for(device: str) -> None:
    """Wait until the device has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def available_bytes(device: str) -> int:
    """Return the memory that a run may still take."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info()[0])
    available = int(psutil.virtual_memory().available)
    return min(available, _group_limit(), _address_limit())


def _group_limit() -> int:
    """Memory left in this control group (a container's limit); a large number elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        return limit - int((group / "memory.current").read_text())
    return sys.maxsize


def _address_limit() -> int:
    """Memory left under `ulimit -v`; a large number where there is none."""
    with contextlib.suppress(ImportError, OSError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return max(0, limit - int(psutil.Process().memory_info().vms))
    return sys.maxsize


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context in which the network runs in this precision."""
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bf16")
