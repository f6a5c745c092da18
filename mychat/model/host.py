"""This machine: its device, the precision it is fast in, and its memory allocator."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time

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
    """Resolve `auto`: bf16 where a matrix product is clearly faster in it."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device != "cpu":
        return "fp32"
    seconds = {dtype: _matmul_seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return "bf16" if seconds[torch.bfloat16] < 0.8 * seconds[torch.float32] else "fp32"


def _matmul_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(2048, 256, dtype=dtype), torch.ones(256, 768, dtype=dtype)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return min(times)  # what else runs here must not decide it


def autocast(device: str, precision: str) -> torch.autocast:
    """Return the context in which the network runs in this precision."""
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bf16")
