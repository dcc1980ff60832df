"""What the page over the trainings is made of, read from the folder of each network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.reporting.run_record import ModelRecord, read_model
from pipeline.reporting.tables import read_table

EVENTS = ("step", "kind", "what", "value")
DIAL = ("alpha", "psnr", "ssim", "perceptual", "lr_residual", "noise_level", "allowed", "chosen")
STEP_NAME = re.compile(r"step-(\d+)")
STACK_AXES = 3


@dataclass(frozen=True)
class Samples:
    """Some validation excerpts, and what the network made of them as it learnt; normalised intensities.

    Attributes:
        low: low-resolution excerpts, shape (excerpts, y, x).
        reference: shape (excerpts, factor y, factor x).
        steps: restored excerpts, of the shape of `reference`, by the step after which they were made, in their order.
    """

    low: NDArray[np.floating]
    reference: NDArray[np.floating]
    steps: Mapping[int, NDArray[np.floating]]


@dataclass(frozen=True)
class TrainingRecord:
    """A network and its training.

    Attributes:
        model: name, card and history.
        events: what the sentinel noticed; without rows where it noticed nothing.
        dial: points of the fidelity dial; without rows where the network has none.
        samples: None for a network that was not trained.
    """

    model: ModelRecord
    events: pd.DataFrame
    dial: pd.DataFrame
    samples: Samples | None

    @property
    def method(self) -> str:
        """Name of the network's method."""
        return self.model.method

    @property
    def trained(self) -> bool:
        """Whether there is a training to tell of."""
        return not self.model.history.empty


def read_training(folder: Path) -> TrainingRecord:
    """Read what stands beside a network's weights. Of an untouched network there is a card and an empty history only.

    Raises:
        UserError: a file of a trained network is missing, damaged, or lacks something.
    """
    model = read_model(folder)
    if model.history.empty:
        return TrainingRecord(model, pd.DataFrame(columns=EVENTS), pd.DataFrame(columns=DIAL), None)
    dial = folder / "dial.csv"
    return TrainingRecord(
        model=model,
        events=read_table(folder / "events.csv", EVENTS),
        dial=read_table(dial, DIAL) if dial.exists() else pd.DataFrame(columns=DIAL),
        samples=read_samples(folder / "samples.safetensors"),
    )


def read_samples(path: Path) -> Samples:
    """Read excerpts.

    Raises:
        UserError: the file is missing or damaged, or excerpts are missing or do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}. Train again.") from error
    steps = {int(match[1]): arrays[name] for name in sorted(arrays) if (match := STEP_NAME.fullmatch(name))}
    for name in ("lr", "reference"):
        if name not in arrays:
            raise UserError(f"{path}: the excerpts {name!r} are missing. Train again.")
    _check_shapes(path, arrays["lr"], arrays["reference"], steps)
    return Samples(arrays["lr"], arrays["reference"], dict(sorted(steps.items())))


def _check_shapes(path: Path, low: NDArray, reference: NDArray, steps: Mapping[int, NDArray]) -> None:
    if low.ndim != STACK_AXES or reference.ndim != STACK_AXES or len(low) != len(reference):
        raise UserError(
            f"{path}: lr {low.shape} and reference {reference.shape} are no stacks of the same excerpts. Train again."
        )
    for step, restored in steps.items():
        if restored.shape != reference.shape:
            raise UserError(
                f"{path}: step {step} has the shape {restored.shape}, the reference {reference.shape}. Train again."
            )
