"""The parts of the training engine on their own: Muon, calibration, plan, patience."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.config import PRESETS, ModelConfig, TrainSettings
from mychat.events import Finished, Planned, Sampled, Stepped, StoppedEarly, Validated
from mychat.model.batch import Rows
from mychat.model.gpt import GPT
from mychat.train.calibrate import calibrate
from mychat.train.loop import Run, rows_of_step, train_step
from mychat.train.muon import orthogonalise
from mychat.train.network import ScoredGPT, full_weights
from mychat.train.optimizer import SplitOptimizer
from mychat.train.pipeline import train
from mychat.train.plan import make_plan
from mychat.train.recipe import choose_recipe
from mychat.train.setup import Setup, flops_per_token
from mychat.train.world import World
from tests.conftest import QUICK, run
from tests.train.test_train import request, same

CONFIG = ModelConfig(
    vocab_size=50, context_length=32, n_layer=2, n_head=2, n_kv_head=1, n_embd=32, head_dim=16, n_ff=64
)


def small_run(given_settings: TrainSettings = QUICK) -> Run:
    """A network in memory with random rows; it has no tokenizer, so it cannot validate."""
    ids = np.random.default_rng(0).integers(0, 50, (40, 33)).astype(np.uint16)
    rows = Rows(ids, np.ones_like(ids, np.bool_), np.zeros(ids.shape, np.int16))
    recipe = choose_recipe(replace(given_settings, context_length=32), 10_000, 0.0)
    gpt = GPT(CONFIG)
    gpt.init_weights(torch.Generator().manual_seed(0))
    network, world = ScoredGPT(gpt), World()
    optimizer = SplitOptimizer(network, recipe, "fp32", world)
    return Run(network, optimizer, CONFIG, None, given_settings, recipe, Setup("fp32"), "cpu", world,
               {"all": rows}, rows.head(4))  # type: ignore[arg-type]  # fmt: skip


@given(st.integers(1, 3), st.integers(2, 40), st.integers(2, 40), st.integers(0, 99))
@settings(deadline=None)
def test_orthogonalised_matrices_have_singular_values_near_one(count: int, rows: int, columns: int, seed: int) -> None:
    matrices = torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(seed))
    made = orthogonalise(matrices, torch.float32)
    assert made.shape == matrices.shape
    known = torch.linalg.svdvals(matrices)
    found = torch.linalg.svdvals(made)
    large = known > 0.05 * known.max(-1, keepdim=True).values  # those near zero are left behind
    assert bool(((found > 0.5) & (found < 1.3))[large].all())


def test_accumulated_passes_make_the_step_of_one() -> None:
    whole, parts = small_run(), small_run()
    parts.setup = replace(parts.setup, micro_batch=2)
    for step in range(3):
        index = np.arange(step * 8, step * 8 + 8)
        losses = [float(train_step(one, one.train["all"], index, 1.0)[0]) for one in (whole, parts)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    one, other = full_weights(whole.network), full_weights(parts.network)
    assert all(one[name].allclose(other[name], atol=1e-4) for name in one)


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order() -> None:
    epochs = [np.concatenate([rows_of_step(12, 4, step, 7) for step in range(start, start + 3)]) for start in (0, 3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert list(epochs[0]) != list(epochs[1])


@pytest.mark.parametrize("wanted", ["off", "on"])
def test_calibration_times_steps_and_leaves_no_trace(
    persona_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    """With `on` the compiler is missing: it falls back without a word."""
    monkeypatch.setenv("CXX", "/nonexistent/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    one = small_run(replace(QUICK, compile=wanted))
    monkeypatch.setattr(Run, "validate", lambda self: None)  # it has no tokenizer
    before = full_weights(one.network)
    setup = calibrate(one, seconds=1.0)
    assert setup.step_seconds > 0
    after = full_weights(one.network)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not one.optimizer.muon.state
    assert not one.optimizer.adamw.state


def test_mfu_is_arithmetic_over_the_peak() -> None:
    setup = Setup("fp32", peak_flops=1e9)
    assert setup.mfu(100.0, CONFIG, 2) == pytest.approx(100 * flops_per_token(CONFIG) / 2e9)
    assert Setup("fp32").mfu(100.0, CONFIG, 1) == 0.0
    assert flops_per_token(CONFIG) == 6 * CONFIG.count_parameters() + 6 * 2 * 32 * 32


@given(st.floats(0.2, 300), st.sampled_from([*PRESETS]), st.floats(1e-3, 5), st.floats(0, 100), st.integers(1, 10**7))
def test_a_plan_fills_its_time(minutes: float, size: str, step: float, validation: float, tokens: int) -> None:
    wanted = TrainSettings(minutes=minutes, size=size)
    recipe = choose_recipe(wanted, 10**6, 1e12)
    setup = Setup("fp32", step_seconds=step, validation_seconds=validation)
    plan = make_plan(recipe, setup, wanted, recipe.shape(1000), stage_kind="train", from_parent=False, has_texts=False,
                     train_tokens=tokens, validation_rows=1000, seconds=60 * minutes)  # fmt: skip
    passes = (wanted.validations + 1) * validation * plan.validation_rows / 1000
    taken = plan.steps * step + passes
    assert taken <= max(60 * minutes + 2 * step, 11 * step + passes)
    assert plan.steps <= 11 or taken >= 0.9 * 60 * minutes - 2 * step
    assert 1 <= plan.validation_rows <= 1000
    if plan.steps * recipe.batch_tokens > 20 * tokens:
        assert any("tokens are few" in warning for warning in plan.warnings)


def test_the_plan_alone_writes_nothing(persona_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "out"
    events = run(request(persona_folder, out, replace(QUICK, steps=None, minutes=1.0), plan_only=True))
    assert isinstance(events[-1], Planned)
    assert events[-1].seconds_per_step > 0
    assert 30 < events[-1].seconds_left < 62
    assert not list(tmp_path.glob("runs/*"))


def test_a_plan_beside_a_run_leaves_it_alone(persona_folder: Path, tmp_path: Path) -> None:
    run(request(persona_folder, tmp_path / "alone"))
    going = train(request(persona_folder, tmp_path / "out"))
    for event in going:
        if isinstance(event, Stepped) and event.step == 3:
            run(request(persona_folder, tmp_path / "out", plan_only=True))
            assert (tmp_path / "out.rows").is_dir()
    assert same(tmp_path / "alone", tmp_path / "out")
    assert not list(tmp_path.glob("*.rows"))


def test_calibration_leaves_the_threads_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    one, before = small_run(), torch.get_num_threads()
    monkeypatch.setattr(Run, "validate", lambda self: None)  # it has no tokenizer
    torch.set_num_threads(4)
    try:
        setup = calibrate(one, seconds=0.1)
        assert setup.threads in (None, 2)
        assert torch.get_num_threads() == (setup.threads or 4)
    finally:
        torch.set_num_threads(before)


def test_patience_ends_a_run_that_no_longer_improves(persona_folder: Path, tmp_path: Path) -> None:
    stubborn = replace(QUICK, steps=400, validations=40, patience=3, matrix_learning_rate=0.05, decay_share=0.0)
    events = run(request(persona_folder, tmp_path / "out", stubborn))
    assert any(isinstance(event, StoppedEarly) for event in events)
    assert sum(isinstance(event, Stepped) for event in events) < 400
    finished = events[-1]
    assert isinstance(finished, Finished)
    stopped = next(event for event in events if isinstance(event, StoppedEarly))
    assert finished.best_step == stopped.best_step


def test_a_sample_follows_every_validation(persona_folder: Path, tmp_path: Path) -> None:
    events = run(request(persona_folder, tmp_path / "out", replace(QUICK, steps=80)))
    for before, after in itertools.pairwise(events):
        if isinstance(before, Validated):
            assert isinstance(after, Sampled)
            assert after.prompt
            assert after.step == before.step
    assert [event.reply for event in events if isinstance(event, Sampled)][-1]
