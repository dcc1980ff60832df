"""The training loop: fine-tunes a network on patches, keeps averaged weights, survives being killed."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from pipeline import plugins
from pipeline.cli import show_progress
from pipeline.config.stages import Train
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.patches import PatchSampler

logger = logging.getLogger(__name__)

FINAL_RATE = 0.01
"""The learning rate ends at this share of its highest value."""

PROGRESS_EVERY = 10
"""Steps between two lines about the time that is left."""

Validate = Callable[[nn.Module], Mapping[str, float]]


def rate_at(step: int, settings: Train) -> float:
    """Returns the share of the learning rate at a step (counted from 0): a linear rise, then half a cosine down."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * progress)) / 2


class Trainer:
    """One training from its first to its last step.

    Args:
        network: the network with its initial weights, on its device.
        sampler: where batches come from.
        settings: the section `train`.
        checkpoints: where the resume state lives.
        validate: measures a network; the names and values it returns go into the history as val_<name>.
    """

    def __init__(
        self,
        network: nn.Module,
        sampler: PatchSampler,
        settings: Train,
        checkpoints: CheckpointFolder,
        validate: Validate,
    ) -> None:
        self._network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._averaged = copy.deepcopy(self._network)
        self._sampler = sampler
        self._settings = settings
        self._checkpoints = checkpoints
        self._validate = validate
        self._losses = {name: plugins.load("pipeline.training.losses", name).loss for name in settings.losses}
        self._optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: rate_at(step, settings))
        self._step = 0
        self._seconds = 0.0
        self._history: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}

    def run(self) -> tuple[nn.Module, list[dict[str, float]]]:
        """Trains to the end, from the last checkpoint where there is one.

        Returns:
            The network with averaged weights, and the history: a row at every validation.
        """
        state = self._checkpoints.latest()
        if state is not None:
            self._restore(state)
        else:
            self._checkpoints.discard_strangers()
        bar = tqdm(total=self._settings.steps, initial=self._step, unit="step", disable=not show_progress())
        with bar:
            while self._step < self._settings.steps:
                began = time.monotonic()
                self._take_step()
                self._seconds += time.monotonic() - began
                bar.update()
                self._look_back(bar)
        return self._averaged, self._history

    def _take_step(self) -> None:
        device = next(self._network.parameters()).device
        coarse, fine = (torch.from_numpy(array).to(device) for array in self._sampler.batch(self._step))
        coarse = coarse.contiguous(memory_format=torch.channels_last)
        estimate = self._network(coarse)
        terms = {name: loss(estimate, fine) for name, loss in self._losses.items()}
        total = sum(
            (self._settings.losses[name] * term for name, term in terms.items()), torch.zeros((), device=device)
        )
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._optimizer.step()
        self._scheduler.step()
        self._average()
        self._step += 1
        for name, value in {"loss": total, **{f"loss_{name}": term for name, term in terms.items()}}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average follows closely, so that it does not drag the initial weights along.
        decay = min(self._settings.ema_decay, (1 + self._step) / (10 + self._step))
        pairs = zip(self._averaged.parameters(), self._network.parameters(), strict=True)
        for kept, current in pairs:
            kept.lerp_(current, 1 - decay)

    def _look_back(self, bar: Any) -> None:
        """Validates and saves where the settings say so, and at the end."""
        last = self._step == self._settings.steps
        if self._step % PROGRESS_EVERY == 0:
            left = self._seconds / self._step * (self._settings.steps - self._step)
            logger.info("step %d of %d, about %.1f minutes left", self._step, self._settings.steps, left / 60)
        if last or self._step % self._settings.validate_every == 0:
            row = self._row()
            self._history.append(row)
            bar.set_postfix(psnr=f"{row.get('val_psnr', math.nan):.2f}")
            logger.info("step %d of %d: %s", self._step, self._settings.steps, _in_words(row))
        if last or self._step % self._settings.checkpoint_every == 0:
            self._checkpoints.save(self._step, self._state())

    def _row(self) -> dict[str, float]:
        since = self._step - (int(self._history[-1]["step"]) if self._history else 0)
        means = {name: value / since for name, value in self._sums.items()}
        self._sums = {}
        rate = self._settings.learning_rate * rate_at(self._step - 1, self._settings)
        measured = {f"val_{name}": value for name, value in self._validate(self._averaged).items()}
        return {"step": self._step, "learning_rate": rate, **means, **measured, "seconds": self._seconds}

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "network": self._network.state_dict(),
            "averaged": self._averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "random": torch.get_rng_state(),
            "history": self._history,
            "sums": self._sums,
            "seconds": self._seconds,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._step = state["step"]
        self._network.load_state_dict(state["network"])
        self._averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"])
        self._history = state["history"]
        self._sums = state["sums"]
        self._seconds = state["seconds"]


def _in_words(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
