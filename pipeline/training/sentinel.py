"""The sentinel, which detects failures of adversarial training.

It checks scalars alone and returns a verdict to the trainer: a bad step is skipped, a persistent failure rolls the
training back to its last good state with a smaller adversarial weight, and too many rollbacks stop the training.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.config.sections import Sentinel as Settings
from pipeline.tables.training_events import TrainingEvent

MEDIAN_STEPS = 50
"""Number of steps of the running median of the gradient norm."""
FIRST_STEPS = 10
"""Number of steps after which the running median is defined."""

Verdict = Literal["fine", "skip", "roll_back"]


@dataclass
class _Memory:
    """State of the sentinel, stored in checkpoints."""

    gradients: list[float] = field(default_factory=list)
    streaks: dict[str, int] = field(default_factory=dict)
    best_psnr: float = -math.inf
    followed: bool = False
    rollbacks: int = 0
    adversarial_factor: float = 1.0


class Sentinel:
    """Checks every step and every validation of one training.

    Args:
        settings: the section `train.sentinel`.
        min_skips: minimum number of consecutive steps that may be skipped, whatever the settings.
    """

    def __init__(self, settings: Settings, min_skips: int = 0) -> None:
        self._settings = settings
        self._max_skips = max(1, settings.patience_steps // 10, min_skips)
        self._memory = _Memory()
        self.events: list[TrainingEvent] = []

    @property
    def adversarial_factor(self) -> float:
        """Factor of the adversarial weight after all rollbacks."""
        return self._memory.adversarial_factor

    @property
    def healthy(self) -> bool:
        """Whether there is no symptom; rollbacks return to a healthy state."""
        return not any(self._memory.streaks.values())

    @property
    def exhausted(self) -> bool:
        """Whether there were more rollbacks than allowed."""
        return self._memory.rollbacks > self._settings.max_rollbacks

    def check_step(self, step: int, loss: float, gradient: float) -> Verdict:
        """Check a step of the generator before it is taken.

        Args:
            step: steps taken so far.
            loss: total loss of the generator.
            gradient: norm of its gradient.
        """
        finding = self._bad_step(loss, gradient)
        if finding:
            self._note(step, "skipped_step", *finding)
            what = f"{self._max_skips} consecutive steps were skipped"
            return self._count(step, "skipped", True, what, gradient, self._max_skips)
        self._count(step, "skipped", False, "", 0.0)
        median = self._median()
        self._memory.gradients = [*self._memory.gradients, gradient][-MEDIAN_STEPS:]
        vanished = median is not None and gradient < self._settings.min_gradient * median
        return self._count(step, "vanished", vanished, "the generator's gradient vanished", gradient)

    def check_discriminator(self, step: int, real: float, fake: float, unchanged: bool) -> Verdict:
        """Check a step of the discriminator after it is taken.

        Args:
            step: steps taken so far.
            real: its mean probability for references.
            fake: its mean probability for results.
            unchanged: whether none of its weights changed.
        """
        gap = real - fake
        won = not math.isfinite(gap) or gap > self._settings.max_discriminator_gap
        verdicts = (
            self._count(step, "won", won, "the discriminator separates references and results almost perfectly", gap),
            self._count(step, "still", unchanged, "the weights of the discriminator do not change", 0.0),
        )
        return "roll_back" if "roll_back" in verdicts else "fine"

    def check_validation(self, step: int, psnr: float, diversity: float) -> Verdict:
        """Check the averaged network.

        Args:
            step: steps taken so far.
            psnr: on the validation volumes, in dB.
            diversity: change of its result relative to a change of its input.
        """
        best = self._memory.best_psnr
        follows = diversity >= self._settings.min_diversity
        # Results of random weights hardly depend on the input; only a later loss of diversity is a collapse.
        if not follows and (self._memory.followed or not math.isfinite(diversity)):
            return self._roll_back(step, "the result no longer depends on the input", diversity)
        if not psnr >= best - self._settings.max_loss_db:
            return self._roll_back(step, f"validation PSNR fell from {best:.2f} dB", psnr)
        self._memory.best_psnr = max(best, psnr)
        self._memory.followed = self._memory.followed or follows
        return "fine"

    def state(self) -> dict[str, Any]:
        """Return plain values for `restore`."""
        return {"memory": asdict(self._memory), "events": [asdict(event) for event in self.events]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the values of `state`."""
        self._memory = _Memory(**state["memory"])
        self.events = [TrainingEvent(**event) for event in state["events"]]

    def _bad_step(self, loss: float, gradient: float) -> tuple[str, float] | None:
        if not math.isfinite(loss):
            return "the loss is not finite", loss
        if not math.isfinite(gradient):
            return "the gradient is not finite", gradient
        median = self._median()
        if median is not None and gradient > self._settings.max_gradient * median:
            return f"the gradient exploded: the running median is {median:.3g}", gradient
        return None

    def _median(self) -> float | None:
        seen = self._memory.gradients
        return statistics.median(seen) if len(seen) >= FIRST_STEPS else None

    def _count(
        self, step: int, name: str, found: bool, what: str, value: float, patience: int | None = None
    ) -> Verdict:
        """Count the steps of a symptom, and roll back when there are too many."""
        streak = self._memory.streaks.get(name, 0) + 1 if found else 0
        self._memory.streaks[name] = streak
        if streak >= (patience or self._settings.patience_steps):
            return self._roll_back(step, what, value)
        return "skip" if name == "skipped" and found else "fine"

    def _roll_back(self, step: int, what: str, value: float) -> Verdict:
        memory = self._memory
        memory.rollbacks += 1
        memory.adversarial_factor *= self._settings.adversarial_factor
        memory.streaks = {}
        memory.gradients = []
        self._note(step, "stopped" if self.exhausted else "rolled_back", what, value)
        return "roll_back"

    def _note(self, step: int, kind: str, what: str, value: float) -> None:
        self.events.append(TrainingEvent(step, kind, what, value))
