"""Records of the trainings of a run, read from the folder of each network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.provenance.record import Provenance
from pipeline.reporting.run_record import ModelRecord, read_dial, read_model
from pipeline.reporting.titles import in_order, method_title
from pipeline.tables.dial import DialSetting
from pipeline.tables.training_events import EVENTS, TrainingEvent

STEP_NAME = re.compile(r"step-(\d+)")
STACK_AXES = 3
EVENT_TITLES = {
    "skipped_step": "step skipped",
    "rolled_back": "rolled back",
    "stopped": "training stopped",
}


@dataclass(frozen=True)
class Samples:
    """Validation excerpts and their restorations during training, in normalised intensities.

    Attributes:
        low: low-resolution excerpts, shape (excerpts, y, x).
        reference: reference excerpts, shape (excerpts, factor y, factor x).
        steps: restored excerpts, of the shape of `reference`, by training step.
    """

    low: NDArray[np.floating]
    reference: NDArray[np.floating]
    steps: Mapping[int, NDArray[np.floating]]


@dataclass(frozen=True)
class TrainingRecord:
    """A network and its training.

    Attributes:
        model: name, card and history.
        events: events of the sentinel; may be empty.
        dial: settings of the fidelity dial, sorted by alpha; empty if the network has none.
        samples: excerpts during training; None for a network that was not trained.
    """

    model: ModelRecord
    events: Sequence[TrainingEvent]
    dial: Sequence[DialSetting]
    samples: Samples | None

    @property
    def method(self) -> str:
        """Name of the network."""
        return self.model.method

    @property
    def title(self) -> str:
        """Displayed title of the network."""
        return method_title(self.method)

    @property
    def event_counts(self) -> list[tuple[str, int]]:
        """Title and number of the events of every kind."""
        return list(Counter(event_title(event.kind) for event in self.events).items())

    @property
    def trained(self) -> bool:
        """Whether the network was trained in this run."""
        return not self.model.history.empty


@dataclass(frozen=True)
class TrainingReport:
    """Everything that the sections of the training page need.

    Attributes:
        trainings: records of all networks.
        provenance: provenance record (provenance.json).
    """

    trainings: tuple[TrainingRecord, ...]
    provenance: Provenance

    @property
    def deliver(self) -> str:
        """Method of the deliverable."""
        return self.provenance.config.infer.deliver

    @property
    def ordered(self) -> list[TrainingRecord]:
        """All networks in the order of the tables."""
        found = {training.method: training for training in self.trainings}
        return [found[name] for name in in_order(found, self.deliver)]

    @property
    def trained(self) -> list[TrainingRecord]:
        """Networks that were trained in this run."""
        return [training for training in self.ordered if training.trained]


def read_training(folder: Path) -> TrainingRecord:
    """Read the training of a network from the folder of its weights; a network without training has an empty history.

    Raises:
        UserError: a file of a trained network is missing or damaged.
    """
    model = read_model(folder)
    if model.history.empty:
        return TrainingRecord(model, (), (), None)
    return TrainingRecord(
        model=model,
        events=EVENTS.read_rows(folder / "events.csv"),
        dial=read_dial(folder),
        samples=read_samples(folder / "samples.safetensors"),
    )


def read_samples(path: Path) -> Samples:
    """Read validation excerpts.

    Raises:
        UserError: the file is missing or damaged, or its arrays have inconsistent shapes.
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
            raise UserError(f"{path}: the array {name!r} is missing. Train again.")
    _check_shapes(path, arrays["lr"], arrays["reference"], steps)
    return Samples(arrays["lr"], arrays["reference"], dict(sorted(steps.items())))


def _check_shapes(path: Path, low: NDArray, reference: NDArray, steps: Mapping[int, NDArray]) -> None:
    if low.ndim != STACK_AXES or reference.ndim != STACK_AXES or len(low) != len(reference):
        raise UserError(
            f"{path}: lr {low.shape} and reference {reference.shape} are not stacks of the same excerpts. Train again."
        )
    for step, restored in steps.items():
        if restored.shape != reference.shape:
            raise UserError(
                f"{path}: step {step} has shape {restored.shape}, but the reference has {reference.shape}. Train again."
            )


def event_title(kind: str) -> str:
    """Return the title of a kind of event of the sentinel."""
    return EVENT_TITLES.get(kind, kind.replace("_", " "))
