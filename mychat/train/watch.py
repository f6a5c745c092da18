"""Watches the training loss for the moment it breaks away."""

from __future__ import annotations

import math
from dataclasses import dataclass

SMOOTHING = 0.95
LEAST_RISE, RISE_SHARE = 1.5, 0.5
"""Nats, and share of the lowest loss: a smoothed loss that rises by more than both has broken away."""
SETTLING_STEPS = 40
"""Before these the smoothed loss is as noisy as a small batch."""


@dataclass(slots=True)
class LossWatch:
    """Smoothed loss of a stage, and the lowest it has been."""

    smoothed: float = 0.0
    steps: int = 0
    lowest: float = math.inf

    def fault(self, loss: float, grad_norm: float) -> str | None:
        """Take a step's figures in; say what is wrong with them, if anything."""
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return "the loss is no longer a number"
        if loss == 0.0:  # a small batch in which nothing is scored
            return None
        self.steps += 1
        self.smoothed = SMOOTHING * self.smoothed + (1 - SMOOTHING) * loss
        mean = self.smoothed / (1 - SMOOTHING**self.steps)
        if self.steps > SETTLING_STEPS:
            if mean > self.lowest + max(LEAST_RISE, RISE_SHARE * self.lowest):
                return f"the loss rose from {self.lowest:.2f} to {mean:.2f}"
            self.lowest = min(self.lowest, mean)
        return None
