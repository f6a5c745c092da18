from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mychat.config import PRESETS, TrainSettings
from mychat.corpus.messages import Conversation, Message
from mychat.corpus.persona import load_toml
from mychat.corpus.split import Side
from mychat.errors import ConfigError, CorpusError, Interrupted
from mychat.events import Notice, TrialEnded, TrialStarted, TrialValidated, Tuned, TuneEvent, Validated
from mychat.model.checkpoint import load_checkpoint
from mychat.train.recipe import choose_recipe
from mychat.train.request import TrainRequest
from mychat.train.space import drawn_settings, make_ranges, own_draw, own_settings
from mychat.train.tune import TrialRun, TuneRequest, make_tune_request, thin_out, tune
from tests.conftest import QUICK, run, write_persona

SHORT = replace(QUICK, steps=20)
WORST = {"rate": 1 / 3, "dropout": 0.3, "weight_decay": 0.2}


@dataclass(frozen=True, slots=True)
class Searched:
    """A small search, and what it yielded."""

    words: Path
    out: Path
    events: list[TuneEvent]

    def copied(self, folder: Path) -> Path:
        """Copy its files, so that a test can go on with it; return the new place."""
        for file in self.out.parent.glob("best.toml*"):
            shutil.copy(file, folder)
        return folder / self.out.name


def ended(events: list[TuneEvent]) -> list[TrialEnded]:
    return [event for event in events if isinstance(event, TrialEnded)]


def study_at(out: Path) -> optuna.Study:
    return optuna.load_study(study_name="mychat", storage=f"sqlite:///{out}.study.db")


def states(out: Path) -> list[str]:
    return [trial.state.name for trial in study_at(out).trials]


def press_ctrl_c_soon() -> None:
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    home = tmp_path_factory.mktemp("search")
    words, out = write_persona(home / "pip"), home / "best.toml"
    return Searched(words, out, list(tune(TuneRequest([words], out, 10.0, SHORT, trials=3))))


def test_the_first_trial_is_mychats_own_rules_and_the_best_is_no_worse(searched: Searched) -> None:
    started = [event for event in searched.events if isinstance(event, TrialStarted)]
    assert [(one.number, one.own_rules) for one in started] == [(0, True), (1, False), (2, False)]
    trials = ended(searched.events)
    own = choose_recipe(SHORT, 10_000, 0.0, drawn=True)
    rules = ("matrix_learning_rate", "learning_rate", "dropout", "weight_decay")
    assert trials[0].settings == {name: getattr(own, name) for name in rules}  # size and vocabulary were given
    assert trials[1].settings == started[1].settings != trials[2].settings
    figures = [trial.bits_per_byte for trial in trials]
    assert len(set(figures)) == 3
    tuned = searched.events[-1]
    assert isinstance(tuned, Tuned)
    assert tuned.best == min(figures) <= tuned.own_rules == figures[0]
    assert tuned.settings == trials[figures.index(tuned.best)].settings
    assert sorted(path.name for path in searched.out.parent.iterdir()) == ["best.toml", "best.toml.study.db", "pip"]


def test_training_with_the_file_gives_what_the_search_measured(searched: Searched, tmp_path: Path) -> None:
    found, tuned = load_toml(searched.out), searched.events[-1]
    assert isinstance(tuned, Tuned)
    assert found == tuned.settings
    text = searched.out.read_text("utf-8")
    assert "best of 3 trials (0 given up early), each of 20 steps" in text
    assert f"{tuned.best:.4f}; mychat's own rules: {tuned.own_rules:.4f}" in text
    TrainSettings().updated(found)
    run(TrainRequest("train", [searched.words], tmp_path / "model", SHORT.updated(found)))
    recipe = load_checkpoint(tmp_path / "model").record["recipe"]
    assert {name: recipe[name] for name in found} == found
    log = map(json.loads, (tmp_path / "model" / "training" / "metrics.jsonl").read_text("utf-8").splitlines())
    passes = [one for one in log if one["side"] == "validation" and one["stage"] == "finetune"]
    assert min(passes, key=lambda one: one["loss"])["bits_per_byte"] == pytest.approx(tuned.best, abs=1e-5)


def test_going_on_counts_on_and_gives_up_a_trial_that_falls_behind(searched: Searched, tmp_path: Path) -> None:
    out = searched.copied(tmp_path)
    study_at(out).enqueue_trial(WORST)
    # Settings given again are not what counts: all trials of a search are alike.
    events = list(tune(TuneRequest([searched.words], out, 10.0, replace(SHORT, steps=999), trials=4, resume=True)))
    assert isinstance(events[0], Notice)
    assert "3 trial(s) so far" in events[0].text
    (trial,) = ended(events)
    assert (trial.number, trial.pruned, trial.best) == (3, True, False)
    assert trial.settings["dropout"] == 0.3
    shares = [event.share for event in events if isinstance(event, TrialValidated)]
    assert 0.5 <= shares[-1] < 1
    assert states(out) == ["COMPLETE"] * 3 + ["PRUNED"]
    tuned = events[-1]
    assert isinstance(tuned, Tuned)
    assert (tuned.trials, tuned.pruned, tuned.settings) == (4, 1, load_toml(searched.out))
    assert "best of 4 trials (1 given up early)" in out.read_text("utf-8")
    # The number is reached, or the time is up: nothing is tried, the answer stays.
    for trials, minutes in ((4, 10.0), (None, 1e-6)):
        again = list(tune(TuneRequest([searched.words], out, minutes, SHORT, trials=trials, resume=True)))
        assert again[1:] == [tuned]


def test_a_trial_that_breaks_down_does_not_end_the_search(searched: Searched, tmp_path: Path) -> None:
    out = searched.copied(tmp_path)
    study_at(out).enqueue_trial(WORST | {"rate": 1e32})
    with pytest.warns(UserWarning, match="out of range"):
        events = list(tune(TuneRequest([searched.words], out, 10.0, SHORT, trials=5, resume=True)))
    broken, last = ended(events)
    assert (broken.bits_per_byte, broken.pruned) == (None, True)
    assert any("no longer a number" in event.text for event in events if isinstance(event, Notice))
    assert last.bits_per_byte is not None
    assert last.settings not in [trial.settings for trial in ended(searched.events)]
    assert states(out)[3] == "PRUNED"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may strike in a destructor
def test_ctrl_c_leaves_the_best_so_far_and_the_search_goes_on(persona_folder: Path, tmp_path: Path) -> None:
    request = TuneRequest([persona_folder], tmp_path / "best.toml", 10.0, SHORT, trials=2)
    with pytest.raises(Interrupted, match="nothing is measured yet"):
        for event in tune(request):
            if isinstance(event, TrialStarted):
                press_ctrl_c_soon()  # while the run is prepared
    assert not request.out.exists()
    with pytest.raises(Interrupted, match=r"stopped after 1 trial\(s\); the best so far"):
        for event in tune(replace(request, resume=True)):
            if isinstance(event, TrialValidated) and event.number == 1:
                press_ctrl_c_soon()  # in the middle of a step
    assert load_toml(request.out)["dropout"] == 0.0
    assert not request.trials_folder.exists()
    events = list(tune(replace(request, resume=True)))
    assert [trial.number for trial in ended(events)] == [2]  # the interrupted one does not count
    assert states(request.out) == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_search_that_nobody_follows_lets_go_of_everything(persona_folder: Path, tmp_path: Path) -> None:
    request = TuneRequest([persona_folder], tmp_path / "best.toml", 10.0, SHORT, trials=2)
    events = tune(request)
    assert any(isinstance(event, TrialValidated) for event in events)
    assert request.trials_folder.exists()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    events.close()  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not request.trials_folder.exists()


def test_trials_are_measured_on_the_same_words(tmp_path: Path) -> None:
    talks = tmp_path / "talks.jsonl"
    with talks.open("w", encoding="utf-8") as file:
        for n in range(2000):
            turns = [{"role": "user", "content": f"what is {n}"}, {"role": "assistant", "content": f"it is number {n}"}]
            file.write(json.dumps({"messages": turns}) + "\n")
    request = TuneRequest([talks], tmp_path / "best.toml", 10.0, SHORT)
    for vocab_size in (300, 500):  # the plan has time for some rows, which hold more or fewer words
        one = TrialRun(request, vocab_size, replace(SHORT, steps=None, minutes=0.05, vocab_size=vocab_size))
        assert any(isinstance(event, Validated) for event in one.events())
        side = thin_out(one.job.split.validation, 0.05 * 30_000)
        assert 10 < len(side.conversations) < 0.8 * len(one.job.split.validation.conversations)
        said = sum(len(talk.messages[-1].content) for talk in side.conversations)
        assert one.job.run.validate().text_bytes == said


def test_the_machine_is_left_as_it_was(persona_folder: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        settings = replace(SHORT, steps=1, threads=1)
        list(tune(TuneRequest([persona_folder], tmp_path / "best.toml", 10.0, settings, trials=1)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_what_is_there_is_not_overwritten(searched: Searched, tmp_path: Path) -> None:
    out = searched.copied(tmp_path)
    request = TuneRequest([searched.words], out, 10.0, SHORT, trials=3)
    with pytest.raises(ConfigError, match="--resume goes on with it"):
        next(tune(request))
    words = Path(shutil.copytree(searched.words, tmp_path / "pip"))
    with (words / "talk.chat").open("a", encoding="utf-8") as file:
        file.write("\n> new\nLine\n")
    with pytest.raises(ConfigError, match="the words changed"):
        next(tune(replace(request, sources=[words], resume=True)))
    request.study_file.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="not a search to go on with"):
        next(tune(replace(request, resume=True)))
    request.study_file.unlink()
    before = out.read_bytes()
    with pytest.raises(ConfigError, match="not from a search"):
        next(tune(replace(request, resume=True)))
    assert out.read_bytes() == before


def test_without_optuna_it_says_what_to_install(persona_folder: Path, tmp_path: Path) -> None:
    arguments = ["mychat", "tune", str(persona_folder), "--minutes", "1", "--out", str(tmp_path / "best.toml")]
    code = (
        f"import sys; sys.modules['optuna'] = None\nfrom mychat.cli.app import main; sys.argv = {arguments!r}; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mychat: tune needs optuna; type: pip install 'mychat[tune]'\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pip"]


@pytest.mark.parametrize(
    ("options", "trial_minutes"),
    [
        ({"minutes": 60}, 5.0),
        ({"minutes": 600}, 5.0),
        ({"minutes": 30}, 2.5),
        ({"minutes": 3}, 0.5),
        ({"minutes": 0.9}, 0.3),
        ({"minutes": 60, "trials": 4}, 15.0),
        ({"minutes": 60, "trials": 4, "trial_minutes": 2.0}, 2.0),
    ],
)
def test_a_budget_is_shared_out(options: dict[str, float], trial_minutes: float) -> None:
    made = make_tune_request("milo", options, 0.0)
    assert (made.minutes, made.settings.minutes) == (options["minutes"], pytest.approx(trial_minutes))
    assert made.out == Path("milo-tuned.toml")


def test_budgets_that_make_no_sense() -> None:
    for options, problem in [
        ({"minutes": 0}, "minutes 0.0 must be above 0"),
        ({"minutes": 3, "trials": 0}, "trials 0 must be 1 or more"),
        ({"minutes": 3, "trial_minutes": 4.0}, "trial_minutes 4 must be above 0, and within the 3 of --minutes"),
        ({"minutes": 3, "trial_minutes": 0.0}, "trial_minutes 0 must be above 0"),
    ]:
        with pytest.raises(ConfigError) as caught:
            make_tune_request("milo", options, 0.0)
        assert problem in str(caught.value)
    with pytest.raises(CorpusError, match="did you mean 'milo'"):
        make_tune_request("mylo", {"minutes": 1}, 0.0)


@given(st.sampled_from(list(PRESETS)), st.integers(0, 10**7), st.sampled_from([0.0, 0.1, 0.5]))
def test_the_draw_that_stands_for_the_recipe_means_the_recipe(size: str, chars: int, dropout: float) -> None:
    free = TrainSettings()
    recipe = replace(choose_recipe(replace(free, size=size), chars, 0.0), dropout=dropout)
    ranges = make_ranges(recipe, free)
    draw = own_draw(recipe, ranges)
    for name, value in draw.items():
        assert ranges[name]._contains(ranges[name].to_internal_repr(value)), name
    meant, own = drawn_settings(draw, recipe, free), own_settings(recipe, free)
    assert abs(int(meant.pop("vocab_size")) - int(own.pop("vocab_size"))) <= 32
    assert meant == own
    given_all = TrainSettings(size=size, vocab_size=900, matrix_learning_rate=0.1, dropout=0.0, weight_decay=0.0)
    assert drawn_settings({"rate": 2.0}, recipe, given_all) == {"learning_rate": 2 * recipe.learning_rate}
    assert list(make_ranges(recipe, given_all)) == ["rate"]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(1, 5000))
def test_a_side_is_thinned_evenly(sizes: list[int], chars: int) -> None:
    talk = [Conversation((Message("user", "q"), Message("assistant", "a" * (size - 1)))) for size in sizes]
    for side in (Side(conversations=talk), Side(texts=["t" * size for size in sizes])):
        thin = thin_out(side, chars)
        assert thin == thin_out(side, chars)
        if sum(sizes) <= chars:
            assert (thin.conversations, thin.texts) == (side.conversations, side.texts)
        elif side.texts:
            assert sum(map(len, thin.texts)) <= chars + len(sizes)
        else:
            assert len(thin.conversations) <= len(sizes) // 2 + 1
