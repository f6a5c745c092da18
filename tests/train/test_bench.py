"""What `mychat bench` measures and what it leaves out."""

from __future__ import annotations

import pytest

from mychat.config import PRESETS, TrainSettings
from mychat.events import BenchStarted, LimitMeasured, Notice
from mychat.train import bench as module
from mychat.train.bench import DEFAULT_SIZES, bench, estimate_seconds, random_run


def test_sizes_that_take_too_long_are_left_out_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COPY_BYTES", 1 << 20)
    monkeypatch.setattr(module, "peak_flops", lambda *_: 1e8)
    events = list(bench((), seconds=0.01, device="cpu", compiled=False))
    kinds = [type(event) for event in events]
    assert kinds == [BenchStarted, *[LimitMeasured] * 3, *[Notice] * len(DEFAULT_SIZES)]
    for event, size in zip(events[4:], DEFAULT_SIZES, strict=True):
        assert isinstance(event, Notice)
        assert event.text.startswith(f"{size}: left out")
    monkeypatch.setattr(module, "random_run", lambda settings, *_: pytest.fail(f"measures {settings.size}"))
    with pytest.raises(pytest.fail.Exception, match="measures mini"):
        list(bench(("mini",), seconds=0.01, device="cpu", compiled=False))


def test_larger_sizes_and_slower_machines_take_longer() -> None:
    estimates = [estimate_seconds(TrainSettings(size=size), 1e11) for size in PRESETS]
    assert estimates == sorted(estimates)
    assert estimate_seconds(TrainSettings(size="mini"), 1e10) == pytest.approx(10 * estimates[2])


@pytest.mark.parametrize("size", ["nano", "mini"])
def test_a_random_run_has_the_shape_that_training_gives_it(size: str) -> None:
    run = random_run(TrainSettings(size=size, batch_tokens=1024), "cpu", "fp32", 1e9)
    assert run.config == PRESETS[size].model(PRESETS[size].vocab_size)
    assert len(run.train["all"]) == 1024 // run.config.context_length == run.setup.micro_batch
    assert run.train["all"].ids.max() < run.config.vocab_size == run.tokenizer.vocab_size
