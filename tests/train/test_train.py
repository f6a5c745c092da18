from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mychat.config import TrainSettings
from mychat.errors import CheckpointError, ConfigError, CorpusError, Interrupted, MychatError
from mychat.events import Finished, Notice, Planned, Retimed, Saved, StageStarted, Stepped, Validated
from mychat.model.checkpoint import load_checkpoint
from mychat.train import calibrate, job
from mychat.train.loop import Run, rows_of_step
from mychat.train.pipeline import train
from mychat.train.plan import Plan
from mychat.train.recipe import choose_recipe
from mychat.train.request import TrainRequest, make_request
from mychat.train.setup import Setup
from mychat.train.stage import make_stages
from tests.conftest import QUICK, run

DROPPING = replace(QUICK, dropout=0.1)
RECIPE = choose_recipe(QUICK, 100_000, 1e11)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder).weights


def same(left: Path, right: Path) -> bool:
    one, other = weights_of(left), weights_of(right)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def logged(folder: Path) -> list[dict[str, object]]:
    """The log, but for the speed."""
    entries = [json.loads(line) for line in (folder / "training" / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in entry.items() if key != "tokens_per_second"} for entry in entries]


def request(
    words: Path, out: Path, settings: TrainSettings = QUICK, kind: str = "train", **more: object
) -> TrainRequest:
    return TrainRequest(kind, [words], out, settings, **more)  # type: ignore[arg-type]


def stop_after(wanted: TrainRequest, steps: int) -> None:
    """Run until so many steps are done, then press Ctrl-C."""
    seen = 0
    with pytest.raises(Interrupted, match="--resume"):
        for event in train(wanted):
            seen += isinstance(event, Stepped)
            if seen == steps:
                signal.raise_signal(signal.SIGINT)
                seen += 1


def test_a_whole_run_tells_its_story_and_learns(persona_folder: Path, tmp_path: Path) -> None:
    events = run(request(persona_folder, tmp_path / "out"))
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    assert stages == ["pretrain", "finetune"]
    steps = Counter(event.stage for event in events if isinstance(event, Stepped))
    planned = next(event for event in events if isinstance(event, Planned))
    assert steps == planned.steps == {"pretrain": 6, "finetune": 34}
    losses = [event.loss for event in events if isinstance(event, Stepped)]
    assert losses[-1] < 0.5 * losses[0]
    validated = [event for event in events if isinstance(event, Validated) and event.stage == "finetune"]
    assert any(event.best for event in validated)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert set(finished.metrics) >= {"bits_per_byte", "perplexity_per_token", "perplexity_per_word", "persona_accuracy"}
    logged = (tmp_path / "out" / "training" / "metrics.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["side"] == "train" for line in logged) == 40
    assert not (tmp_path / "out.partial").exists()


def test_the_same_seed_and_steps_give_the_same_weights(persona_folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(request(persona_folder, tmp_path / name, replace(DROPPING, seed=seed)))
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("steps", [[1], [6], [7, 9], [39]])
def test_interrupted_and_resumed_ends_bit_identical(persona_folder: Path, tmp_path: Path, steps: list[int]) -> None:
    run(request(persona_folder, tmp_path / "whole", DROPPING))
    for place, count in enumerate(steps):
        stop_after(request(persona_folder, tmp_path / "cut", DROPPING, resume=place > 0), count)
        assert load_checkpoint(tmp_path / "cut.partial").record["finished"] is False
        assert not (tmp_path / "cut.rows").exists()
    # Settings given again are not what counts: the run goes on under its own.
    events = run(request(persona_folder, tmp_path / "cut", replace(DROPPING, steps=7, dropout=0.5), resume=True))
    assert sum(isinstance(event, Stepped) for event in events) == 40 - sum(steps)
    assert same(tmp_path / "whole", tmp_path / "cut")
    metrics = [json.loads((tmp_path / n / "mychat.json").read_text())["metrics"] for n in ("whole", "cut")]
    assert metrics[0] == metrics[1]
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")


def test_a_killed_run_goes_on_from_its_last_save(persona_folder: Path, tmp_path: Path) -> None:
    settings = replace(QUICK, save_every_seconds=0.0)
    run(request(persona_folder, tmp_path / "whole", settings))
    saves = 0
    for event in train(request(persona_folder, tmp_path / "cut", settings)):
        saves += isinstance(event, Saved)
        if saves == 3:
            break  # nothing else is written: as if the power had gone
    run(request(persona_folder, tmp_path / "cut", settings, resume=True))
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_ctrl_c_in_the_real_command_saves_and_says_how_to_go_on(persona_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "quick.toml"
    config.write_text("context_length = 64\nbatch_tokens = 256\nvocab_size = 300\nvalidations = 2\n")
    command = [sys.executable, "-m", "mychat", "train", str(persona_folder), "--out", str(tmp_path / "out")]
    command += ["--size", "nano", "--steps", "400", "--config", str(config)]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "Stepped":
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert "going on with" in done.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_run_does_not_overwrite_what_is_there(persona_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(request(persona_folder, out))
    before = (out / "mychat.json").read_bytes()
    with pytest.raises(CheckpointError, match="--force"):
        run(request(persona_folder, out))
    assert [event.text for event in run(request(persona_folder, out, resume=True)) if isinstance(event, Notice)]
    assert (out / "mychat.json").read_bytes() == before
    stop_after(request(persona_folder, out, replace(QUICK, seed=5), force=True), 3)
    assert (out / "mychat.json").read_bytes() == before  # until the new one is finished
    run(request(persona_folder, out, replace(QUICK, seed=5), force=True))
    assert (out / "mychat.json").read_bytes() != before
    (tmp_path / "notes").mkdir()
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        run(request(persona_folder, tmp_path / "notes", force=True))


def test_changed_words_cannot_be_resumed(persona_folder: Path, tmp_path: Path) -> None:
    stop_after(request(persona_folder, tmp_path / "out"), 3)
    with (persona_folder / "talk.chat").open("a") as file:
        file.write("\n> new\nLine\n")
    with pytest.raises(CheckpointError, match="the words changed"):
        run(request(persona_folder, tmp_path / "out", resume=True))


def test_conversations_and_texts_of_ones_own(tmp_path: Path) -> None:
    talks = tmp_path / "talks.jsonl"
    with talks.open("w") as file:
        for n in range(60):
            turns = [{"role": "user", "content": f"what is {n}"}, {"role": "assistant", "content": f"it is number {n}"}]
            file.write(json.dumps({"messages": turns}) + "\n")
    run(request(talks, tmp_path / "talker"))
    assert load_checkpoint(tmp_path / "talker").is_chat

    notes = tmp_path / "notes.txt"
    notes.write_text("\n\n".join(f"On day {n} it rained {n * 3} drops." for n in range(200)))
    events = run(request(notes, tmp_path / "noter"))
    assert [event.stage for event in events if isinstance(event, StageStarted)] == ["pretrain"]
    assert not load_checkpoint(tmp_path / "noter").is_chat
    with pytest.raises(CorpusError, match="pretrain"):
        run(request(notes, tmp_path / "no", kind="finetune", parent=tmp_path / "noter"))

    run(request(talks, tmp_path / "tuned", kind="finetune", parent=tmp_path / "noter"))
    tuned = load_checkpoint(tmp_path / "tuned")
    assert tuned.is_chat
    assert tuned.record["parent"] == "noter"
    assert tuned.tokenizer.encode("day") == load_checkpoint(tmp_path / "noter").tokenizer.encode("day")


def test_a_budget_is_kept(persona_folder: Path, tmp_path: Path) -> None:
    settings = replace(QUICK, steps=None, minutes=0.35)
    started = time.monotonic()
    events = run(request(persona_folder, tmp_path / "out", settings))
    assert isinstance(events[-1], Finished)
    planned = next(event for event in events if isinstance(event, Planned))
    assert planned.seconds_per_step > 0
    assert sum(isinstance(event, Stepped) for event in events) > 20
    assert time.monotonic() - started < 60  # a bound on hanging, not on speed


def test_a_loss_that_is_no_number_ends_the_run_with_a_line(persona_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MychatError, match="no longer a number"):
        run(request(persona_folder, tmp_path / "out", replace(QUICK, matrix_learning_rate=1e30, learning_rate=1e30)))


def test_a_full_disk_is_one_line_and_loses_nothing(
    persona_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CheckpointError, match="No space left on device"):
        run(request(persona_folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 3))
def test_every_epoch_sees_every_row_once(count: int, batch: int, seed: int) -> None:
    steps = -(-3 * count // batch)
    taken = [int(row) for step in range(steps) for row in rows_of_step(count, batch, step, seed)][: 3 * count]
    assert len(taken) == 3 * count
    for epoch in range(3):
        assert sorted(taken[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(st.integers(1, 3000), st.sampled_from(["train", "train-text", "pretrain", "finetune"]), st.booleans())
def test_stages_use_every_step_and_the_rate_rises_then_falls(steps: int, kind: str, parent: bool) -> None:
    stages = make_stages(kind, steps, TrainSettings(), pretrains=not parent)
    assert sum(stage.steps for stage in stages) == steps
    rates = [stage.rate_share(step, 0.02) for stage in stages for step in range(stage.steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@given(
    st.integers(2, 3000), st.sampled_from(["train", "pretrain", "finetune"]), st.floats(0.0, 1.0), st.floats(0.0, 4.0)
)
def test_steps_fitted_to_the_clock_leave_the_rate_where_it_is(
    steps: int, kind: str, where: float, factor: float
) -> None:
    plan = Plan(RECIPE, Setup("fp32"), tuple(make_stages(kind, steps, TrainSettings(), pretrains=True)), 16)
    place = int(where * (len(plan.stages) - 0.001))
    step = int(where * plan.stages[place].steps)
    fitted = plan.refitted(place, step, factor, 0.02)
    left = plan.steps_left(place, step)
    assert abs(fitted.steps_left(place, step) - factor * left) <= 1 + len(plan.stages)
    assert fitted.stages[:place] == plan.stages[:place]
    if step < plan.stages[place].steps:
        assert fitted.stages[place].steps > step
        before, after = (one.stages[place].rate_share(step, 0.02) for one in (plan, fitted))
        assert after == pytest.approx(before, abs=2 / max(1, fitted.stages[place].steps - step))
    rest = [stage.rate_share(one, 0.02) for stage in fitted.stages[place + 1 :] for one in range(stage.steps)]
    rest += [fitted.stages[place].rate_share(one, 0.02) for one in range(step, fitted.stages[place].steps)]
    assert all(0 < rate <= 1.0001 for rate in rest)
    assert all(stage.decay >= 1 for stage in fitted.stages[place:] if stage.steps)


def test_a_budget_follows_the_clock(persona_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibration is made to think that steps take three times as long: the plan must grow while it runs."""
    real = calibrate.calibrate

    def pessimist(run: Run, seconds: float) -> Setup:
        setup = real(run, seconds)
        return replace(setup, step_seconds=3 * setup.step_seconds)

    monkeypatch.setattr(job, "calibrate", pessimist)
    settings = replace(QUICK, steps=None, minutes=0.25, validations=6)
    started = time.monotonic()
    events = run(TrainRequest("train", [persona_folder], tmp_path / "out", settings, started=started))
    retimed = [event for event in events if isinstance(event, Retimed)]
    assert sum(retimed[0].steps.values()) > 1.5 * retimed[0].steps_before
    planned = next(event for event in events if isinstance(event, Planned))
    stages = load_checkpoint(tmp_path / "out").record["stages"]
    assert sum(stage["steps"] for stage in stages) > sum(planned.steps.values())


def test_settings_come_from_default_file_and_flag(persona_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text("steps = 5\nsize = 'nano'\ndropout = 0.25\n")
    made = make_request("train", [str(persona_folder)], None, {"config": config, "steps": 9, "out": "x"}, 0.0)
    assert (made.settings.steps, made.settings.size, made.settings.dropout) == (9, "nano", 0.25)
    assert made.settings.micro_batch == TrainSettings().micro_batch
    assert made.out.name == "x"
    for text, problem in [
        ("stepz = 5", "unknown training setting 'stepz'; did you mean 'steps'?"),
        ("size = 'nanno'", "did you mean 'nano'?"),
        ("steps = 'many'", "steps must be a whole number"),
        ("dropout = 2.0", "dropout 2.0 must be"),
    ]:
        config.write_text(text)
        with pytest.raises(ConfigError) as caught:
            make_request("train", [str(persona_folder)], None, {"config": config}, 0.0)
        assert problem in str(caught.value)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="did you mean 'milo'"):
        make_request("train", ["mylo"], None, {}, 0.0)
    with pytest.raises(CorpusError, match="check the path"):
        make_request("train", [str(tmp_path / "gone.txt")], None, {}, 0.0)
    with pytest.raises(ConfigError, match="not on this machine"):
        run(TrainRequest("train", [Path("personas/milo")], tmp_path / "o", replace(QUICK, device="xpu")))


def test_a_wrong_sampling_value_is_refused_before_training(persona_folder: Path, tmp_path: Path) -> None:
    toml = persona_folder / "persona.toml"
    toml.write_text(toml.read_text().replace("temperature = 0.5", "temperature = -1"))
    with pytest.raises(ConfigError, match="temperature -1"):
        next(train(request(persona_folder, tmp_path / "out")))


def test_an_end_that_is_cut_short_loses_nothing(persona_folder: Path, tmp_path: Path) -> None:
    whole = train(request(persona_folder, tmp_path / "whole"))
    assert any(isinstance(event, Finished) for event in whole)
    events = train(request(persona_folder, tmp_path / "cut"))
    for event in events:
        if isinstance(event, Stepped) and event.stage == "finetune" and event.step == event.steps:
            break
    events.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "cut").exists()
    run(request(persona_folder, tmp_path / "cut", resume=True))
    assert same(tmp_path / "whole", tmp_path / "cut")
