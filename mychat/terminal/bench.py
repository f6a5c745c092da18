"""A machine's measurements as they are seen: a line a figure as they come, or one JSON object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mychat.events import BenchEvent, BenchStarted, GenerationMeasured, LimitMeasured, Notice, TrainingMeasured
from mychat.terminal.console import Terminal

_LIMITS = {
    "matmul_fp32_flops": "matrix products, fp32",
    "matmul_bf16_flops": "matrix products, bf16",
    "memory_bandwidth_bytes_per_second": "memory, copying",
}
_ROW = "{:5}  {:>10}  {:26}  {:>9}  {}"
_HEAD = _ROW.format("size", "parameters", "", "tokens/s", "of the limit")


def draw_bench(terminal: Terminal, events: Iterable[BenchEvent], *, as_json: bool) -> None:
    """Consume the events: a line each, or with `as_json` one object once all is measured."""
    measured: dict[str, Any] = {"training": [], "generation": []}
    for event in events:
        if isinstance(event, Notice):
            terminal.note(event.text)
            continue
        if not as_json:
            if isinstance(event, TrainingMeasured) and not measured["training"]:
                terminal.result(f"\n{_HEAD}")
            terminal.result(describe_measurement(event))
        _collect(measured, event)
    if as_json:
        terminal.json(measured)


def _collect(measured: dict[str, Any], event: BenchEvent) -> None:
    match event:
        case BenchStarted():
            measured |= asdict(event)
        case LimitMeasured():
            measured[event.name] = event.value
        case TrainingMeasured():
            measured["training"].append(asdict(event))
        case GenerationMeasured():
            measured["generation"].append(asdict(event))


def describe_measurement(event: BenchStarted | LimitMeasured | TrainingMeasured | GenerationMeasured) -> str:
    """Say in a line what was found."""
    match event:
        case BenchStarted():
            return (
                f"{event.device}, {event.threads} threads, {event.seconds:g} s a figure; best with nothing else running"
            )
        case LimitMeasured():
            return f"{_LIMITS[event.name]:22}  {_rate(event)}"
        case TrainingMeasured():
            what = f"training, {event.precision}" + (", compiled" if event.compiled else "")
            return _row(event, what, event.training_tokens_per_second, f"{event.mfu:.0%} MFU")
        case GenerationMeasured():
            what = f"generation, {event.bits_per_weight} bits a weight"
            return _row(event, what, event.generation_tokens_per_second, f"{event.mbu:.0%} MBU")


def _row(event: TrainingMeasured | GenerationMeasured, what: str, speed: float, share: str) -> str:
    return _ROW.format(event.size, f"{event.parameters / 1e6:.1f} M", what, f"{speed:,.0f}", share)


def _rate(event: LimitMeasured) -> str:
    if event.name.endswith("bytes_per_second"):
        return f"{event.value / 1e9:,.1f} GB/s"
    return f"{event.value / 1e12:,.1f} TFLOP/s" if event.value >= 1e12 else f"{event.value / 1e9:,.1f} GFLOP/s"
