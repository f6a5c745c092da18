"""The trials of a search on disk: an Optuna study in a database file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mychat.config import TrainSettings
from mychat.errors import ConfigError
from mychat.train.recipe import Recipe
from mychat.train.space import Settings, drawn_settings, make_ranges, own_draw, own_settings

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

NAME = "mychat"
UNPRUNED_TRIALS = 3
"""Finished ones whose median is worth something."""
RANDOM_TRIALS = 5
"""Before the sampler trusts what it has seen; searches are short."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial came to."""

    settings: Settings
    bits_per_byte: float
    seconds: float
    own_rules: bool


class Study:
    """Asks what to try, and keeps what came of it. `recipe` is None until mychat's own rules were tried."""

    def __init__(self, study: optuna.Study, storage: optuna.storages.RDBStorage) -> None:
        self._study, self._storage = study, storage
        self.settings = TrainSettings(**study.user_attrs["settings"])
        self.results = [_result(trial) for trial in self._ended("COMPLETE")]
        own = next((trial for trial in self._ended("COMPLETE") if trial.user_attrs.get("recipe")), None)
        self.recipe = Recipe(**own.user_attrs["recipe"]) if own else None

    def _ended(self, state: str) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self._study.get_trials(deepcopy=False, states=(TrialState[state],))

    @property
    def pruned(self) -> int:
        """How many trials were given up."""
        return len(self._ended("PRUNED"))

    @property
    def ended(self) -> int:
        """How many trials there were, without those that were interrupted."""
        return len(self.results) + self.pruned

    @property
    def best(self) -> Result:
        """The best result, the first of equals; ask only when there is one."""
        return min(self.results, key=lambda result: result.bits_per_byte)

    @property
    def own(self) -> Result:
        """What mychat's own rules came to; ask only when they were tried."""
        return next(result for result in self.results if result.own_rules)

    def add_own(self, recipe: Recipe, bits_per_byte: float, passes: Mapping[int, float], seconds: float) -> Result:
        """Keep the run of mychat's own rules. It was not asked for: its recipe was not known before it was planned."""
        from optuna.trial import create_trial

        ranges = make_ranges(recipe, self.settings)
        attributes = {
            "settings": own_settings(recipe, self.settings),
            "recipe": asdict(recipe),
            "seconds": seconds,
        }
        self._study.add_trial(
            create_trial(
                params=own_draw(recipe, ranges), distributions=ranges, value=bits_per_byte,
                intermediate_values=dict(passes), user_attrs=attributes,
            )
        )  # fmt: skip
        self.recipe = recipe
        self.results.append(_result(self._ended("COMPLETE")[-1]))
        return self.results[-1]

    def ask(self) -> tuple[Trial, Settings]:
        """Choose what to try next."""
        assert self.recipe is not None
        trial = self._study.ask(make_ranges(self.recipe, self.settings))
        settings = drawn_settings(trial.params, self.recipe, self.settings)
        trial.set_user_attr("settings", settings)
        return trial, settings

    def tell(self, trial: Trial, bits_per_byte: float | None, seconds: float) -> None:
        """Keep what a trial came to; None: it was given up."""
        from optuna.trial import TrialState

        trial.set_user_attr("seconds", seconds)
        if bits_per_byte is None:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self.results.append(_result(self._study.tell(trial, bits_per_byte)))

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _result(trial: FrozenTrial) -> Result:
    about = trial.user_attrs
    return Result(about["settings"], float(trial.value or 0.0), about["seconds"], "recipe" in about)


def open_study(file: Path, fingerprint: str, settings: TrainSettings) -> Study:
    """Open a search, or begin it: then with these settings.

    Raises: ConfigError when Optuna is missing, the file is no search, or the words changed since it began.
    """
    try:
        import optuna
        from sqlalchemy import URL
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise ConfigError("tune needs optuna; type: pip install 'mychat[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = URL.create("sqlite", database=str(file.absolute())).render_as_string()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}"))  # it takes a template
        study = optuna.create_study(
            storage=storage, study_name=NAME, load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS),
        )  # fmt: skip
        _begin(study, {"fingerprint": fingerprint, "settings": asdict(settings)})
        opened = Study(study, storage)
    except (OSError, SQLAlchemyError, RuntimeError, TypeError) as error:
        problem = str(getattr(error, "orig", error)).splitlines()[0]
        raise ConfigError(f"{file}: not a search to go on with ({problem}); choose another --out") from None
    if study.user_attrs["fingerprint"] != fingerprint:
        opened.close()
        raise ConfigError(f"{file}: the words changed since the search began; put the old ones back, or choose --out")
    # A sampler that starts from the same seed again would propose the same again.
    seed = (opened.settings.seed + opened.ended) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
    return opened


def _begin(study: optuna.Study, about: Mapping[str, Any]) -> None:
    """Note what a new search is about; close the trials that an old one left when it was interrupted."""
    from optuna.trial import TrialState

    for name, value in about.items():
        if name not in study.user_attrs:
            study.set_user_attr(name, value)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
