"""The sentinel: watches a training for the ways in which adversarial training fails.

It looks at numbers alone. What it finds it says as a verdict; the trainer acts on it: a bad step is skipped, an illness
sets the training back to its last good state with a smaller adversarial weight, too many set-backs stop it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.config.sections import Sentinel as Settings
from pipeline.tables.training_events import TrainingEvent

USUAL_STEPS = 50
"""Steps over which the usual gradient is taken."""
FIRST_STEPS = 10
"""Steps before which no gradient is usual yet."""


Verdict = Literal["fine", "skip", "roll_back"]


@dataclass
class _Memory:
    """What the sentinel remembers between steps; it goes into the checkpoints."""

    gradients: list[float] = field(default_factory=list)
    streaks: dict[str, int] = field(default_factory=dict)
    best_psnr: float = -math.inf
    followed: bool = False
    rollbacks: int = 0
    adversarial_share: float = 1.0


class Sentinel:
    """Judges every step and every validation of one training.

    Args:
        settings: the section `train.sentinel`.
        min_skips: steps in a row that may be skipped whatever the settings say.
    """

    def __init__(self, settings: Settings, min_skips: int = 0) -> None:
        self._settings = settings
        self._most_skips = max(1, settings.patience_steps // 10, min_skips)
        self._memory = _Memory()
        self.events: list[TrainingEvent] = []

    @property
    def adversarial_share(self) -> float:
        """Share of the adversarial weight that is left after all set-backs."""
        return self._memory.adversarial_share

    @property
    def healthy(self) -> bool:
        """Whether no symptom lasts at the moment; a state with one is none to go back to."""
        return not any(self._memory.streaks.values())

    @property
    def exhausted(self) -> bool:
        """Whether the training was set back more often than it may be."""
        return self._memory.rollbacks > self._settings.max_rollbacks

    def judge_step(self, step: int, loss: float, gradient: float) -> Verdict:
        """Judge a step of the generator before it is taken.

        Args:
            step: steps taken so far.
            loss: the generator's whole loss.
            gradient: norm of its gradient.
        """
        finding = self._bad_step(loss, gradient)
        if finding:
            self._note(step, "skipped_step", *finding)
            what = f"{self._most_skips} steps in a row were skipped"
            return self._ill(step, "skipped", True, what, gradient, self._most_skips)
        self._ill(step, "skipped", False, "", 0.0)
        usual = self._usual()
        self._memory.gradients = [*self._memory.gradients, gradient][-USUAL_STEPS:]
        vanished = usual is not None and gradient < self._settings.min_gradient * usual
        return self._ill(step, "vanished", vanished, "the generator's gradient vanished", gradient)

    def judge_discriminator(self, step: int, real: float, fake: float, stands_still: bool) -> Verdict:
        """Judge a step of the discriminator after it was taken.

        Args:
            step: steps taken so far.
            real: mean probability that it gave to reference.
            fake: mean probability that it gave to results.
            stands_still: whether none of its weights changed.
        """
        gap = real - fake
        won = not math.isfinite(gap) or gap > self._settings.max_discriminator_gap
        verdicts = (
            self._ill(step, "won", won, "the discriminator tells reference from result without effort", gap),
            self._ill(step, "still", stands_still, "the discriminator does not learn", 0.0),
        )
        return "roll_back" if "roll_back" in verdicts else "fine"

    def judge_validation(self, step: int, psnr: float, diversity: float) -> Verdict:
        """Judge the averaged network.

        Args:
            step: steps taken so far.
            psnr: on the validation volumes, in dB.
            diversity: change of its result per change of its input.
        """
        best = self._memory.best_psnr
        follows = diversity >= self._settings.min_diversity
        # A network with random weights hardly follows its input yet: only one that did can have collapsed.
        if not follows and (self._memory.followed or not math.isfinite(diversity)):
            return self._set_back(step, "the output no longer follows the input", diversity)
        if not psnr >= best - self._settings.max_loss_db:
            return self._set_back(step, f"validation PSNR fell from {best:.2f} dB", psnr)
        self._memory.best_psnr = max(best, psnr)
        self._memory.followed = self._memory.followed or follows
        return "fine"

    def state(self) -> dict[str, Any]:
        """Return plain values from which `restore` goes on."""
        return {"memory": asdict(self._memory), "events": [asdict(event) for event in self.events]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._memory = _Memory(**state["memory"])
        self.events = [TrainingEvent(**event) for event in state["events"]]

    def _bad_step(self, loss: float, gradient: float) -> tuple[str, float] | None:
        if not math.isfinite(loss):
            return "the loss is not finite", loss
        if not math.isfinite(gradient):
            return "the gradient is not finite", gradient
        usual = self._usual()
        if usual is not None and gradient > self._settings.max_gradient * usual:
            return f"the gradient exploded: usual is {usual:.3g}", gradient
        return None

    def _usual(self) -> float | None:
        seen = self._memory.gradients
        return statistics.median(seen) if len(seen) >= FIRST_STEPS else None

    def _ill(self, step: int, name: str, found: bool, what: str, value: float, patience: int | None = None) -> Verdict:
        """Count how long a symptom lasts, and sets the training back when it has lasted too long."""
        streak = self._memory.streaks.get(name, 0) + 1 if found else 0
        self._memory.streaks[name] = streak
        if streak >= (patience or self._settings.patience_steps):
            return self._set_back(step, what, value)
        return "skip" if name == "skipped" and found else "fine"

    def _set_back(self, step: int, what: str, value: float) -> Verdict:
        memory = self._memory
        memory.rollbacks += 1
        memory.adversarial_share *= self._settings.adversarial_factor
        memory.streaks = {}
        memory.gradients = []
        self._note(step, "stopped" if self.exhausted else "rolled_back", what, value)
        return "roll_back"

    def _note(self, step: int, kind: str, what: str, value: float) -> None:
        self.events.append(TrainingEvent(step, kind, what, value))
