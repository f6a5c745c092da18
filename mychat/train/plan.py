"""From a budget to a plan: stages of so many steps, and what is wrong with them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mychat.config import ModelConfig, TrainSettings
from mychat.events import Planned
from mychat.train.recipe import Recipe
from mychat.train.setup import Setup
from mychat.train.stage import Stage, make_stages

VALIDATION_SHARE = 0.04
"""Of the budget, at most, for all validation passes."""
FEWEST_VALIDATION_ROWS = 16
"""Fewer tell too little, whatever the budget."""
FEWEST_STEPS = 10
SAMPLES_PER_EXAM = 0.2
"""Exam questions are answered many at once: each takes so much of the time of a sample of 40 tokens."""
SECONDS_TO_FINISH = 4.0
"""The last save, the final evaluation, leaving."""
MANY_EPOCHS = 12.0
OFF_SHARE = 0.03
"""Of the budget: when a run would end so much too early or too late, its steps are fitted to the clock."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. Made from `steps` it is never changed; made from minutes, it follows the clock."""

    recipe: Recipe
    setup: Setup
    stages: tuple[Stage, ...]
    validation_rows: int
    """Of the validation side, used during the run."""
    warnings: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def refitted(self, place: int, step: int, factor: float, final_share: float) -> Plan:
        """Return it with `factor` times the steps that are left: stage number `place` is at `step`."""
        stages = [
            stage if number < place else stage.refitted(step if number == place else 0, factor, final_share)
            for number, stage in enumerate(self.stages)
        ]
        return replace(self, stages=tuple(stages))

    def steps_left(self, place: int, step: int) -> int:
        """Count the steps that are left: stage number `place` is at `step`."""
        return sum(stage.steps for stage in self.stages[place:]) - step

    def described(self, config: ModelConfig, train_tokens: int, device: str, processes: int, ends: float) -> Planned:
        """Say it. `ends` is when the command should be done, on the monotonic clock; 0 when nothing was timed."""
        recipe, setup = self.recipe, self.setup
        return Planned(
            parameters=config.count_parameters(), n_layer=config.n_layer, n_embd=config.n_embd,
            vocab_size=config.vocab_size, context_length=config.context_length, train_tokens=train_tokens,
            batch_tokens=recipe.batch_tokens, steps={stage.name: stage.steps for stage in self.stages},
            dropout=recipe.dropout, weight_decay=recipe.weight_decay, precision=setup.precision, device=device,
            compiled=setup.compiled, micro_batch=setup.micro_batch, processes=processes,
            seconds_per_step=setup.step_seconds, seconds_left=max(0.0, ends - time.monotonic()) if ends else 0.0,
            peak_flops=setup.peak_flops, warnings=self.warnings,
        )  # fmt: skip


def make_plan(
    recipe: Recipe,
    setup: Setup,
    settings: TrainSettings,
    config: ModelConfig,
    *,
    stage_kind: str,
    from_parent: bool,
    has_texts: bool,
    train_tokens: int,
    validation_rows: int,
    seconds: float,
) -> Plan:
    """Fill `seconds` with steps and validation passes; `steps` in the settings wins, and needs no timing."""

    def stages(steps: int) -> list[Stage]:
        return make_stages(stage_kind, steps, settings, pretrains=has_texts or not from_parent)

    rows = validation_rows
    if settings.steps is not None:
        laid_out = stages(settings.steps)
    else:
        passes = settings.validations + len(stages(100)) - 1
        affordable = VALIDATION_SHARE * seconds / passes
        if setup.validation_seconds > affordable:
            rows = min(rows, max(FEWEST_VALIDATION_ROWS, int(rows * affordable / setup.validation_seconds)))
        a_pass = setup.validation_seconds * rows / max(1, validation_rows) + setup.sample_seconds
        laid_out = stages(max(FEWEST_STEPS, int((seconds - passes * a_pass) / setup.step_seconds)))
    plan = Plan(recipe, setup, tuple(laid_out), rows)
    return replace(plan, warnings=tuple(_warnings(plan, settings, config, train_tokens, from_parent=from_parent)))


def _warnings(
    plan: Plan, settings: TrainSettings, config: ModelConfig, train_tokens: int, *, from_parent: bool
) -> list[str]:
    found = []
    epochs = plan.steps * plan.recipe.batch_tokens / max(1, train_tokens)
    if settings.steps is None and plan.steps < 10 * FEWEST_STEPS:
        found.append(
            f"only {plan.steps} steps fit: it will have learnt little; give it more --minutes or a smaller --size"
        )
    if epochs > MANY_EPOCHS:
        found.append(
            f"{train_tokens:,} tokens are few: each is seen {epochs:.0f} times and will be learnt by heart; "
            "add more words, or give it fewer --minutes"
        )
    if not from_parent and config.count_parameters() > 20 * train_tokens:
        found.append(
            f"{config.count_parameters() / 1e6:.1f} M parameters are many for {train_tokens:,} tokens; "
            "a smaller --size generalises better"
        )
    return found
