"""A stage of training, as data. One loop runs them all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mychat.config import TrainSettings


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage does differently from another.

    `loss_on` is `all` (every token) or `assistant` (what it says). The rate
    rises over `warmup` steps and falls over the last `decay` steps.
    """

    name: str
    loss_on: str
    steps: int
    warmup: int
    decay: int
    interval: int
    """Steps between validation passes; there is one at the end in any case."""
    decay_from: float = 1.0
    """The share of the full rate it falls from; another than 1 where the steps were fitted to the clock meanwhile."""

    def rate_share(self, step: int, final_share: float) -> float:
        """Return the share of the full learning rate at a step (from 0)."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = self.steps - step
        if left <= self.decay:
            return final_share + (self.decay_from - final_share) * left / (self.decay + 1)
        return 1.0

    def refitted(self, step: int, factor: float, final_share: float) -> Stage:
        """Return it with `factor` (0 and above) times the steps that are left at `step`, one at least.

        The rate goes on from where it is.
        """
        left = self.steps - step
        if left <= 0:
            return self
        fitted = max(1, round(left * factor))
        if left > self.decay:
            return replace(self, steps=step + fitted, decay=max(1, min(fitted, round(self.decay * factor))))
        share = self.rate_share(step, final_share) - final_share
        return replace(self, steps=step + fitted, decay=fitted, decay_from=final_share + share * (fitted + 1) / fitted)


def make_stages(kind: str, steps: int, settings: TrainSettings, *, pretrains: bool) -> list[Stage]:
    """Lay out the stages of a command: `train`, `train-text`, `pretrain` or `finetune`.

    In `train` one rate schedule spans both stages: warm-up in the first, decay in the second. A model that knows the
    language and has no texts to learn needs no pretraining (`pretrains`).
    """
    warmup = max(1, round(settings.warmup_share * steps))
    decay = round(settings.decay_share * steps)
    interval = max(1, steps // settings.validations)
    if kind in ("train-text", "pretrain"):
        return [Stage("pretrain", "all", steps, warmup, decay, interval)]
    first = 0 if kind == "finetune" or not pretrains else round(settings.pretrain_share * steps)
    stages = [Stage("pretrain", "all", first, min(warmup, first), 0, interval)] if first else []
    rest = steps - first
    if rest:
        stages.append(Stage("finetune", "assistant", rest, 0 if first else warmup, min(decay, rest), interval))
    return stages
