"""Fine-tunes a network on the training volumes.

Killed and started again it goes on from its last checkpoint and ends in the same weights (on the CPU). When settings,
data, initial weights or code have changed it starts afresh and says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline import plugins
from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.code_version import code_version
from pipeline.config.load import read_entry, read_section
from pipeline.config.sources import Source
from pipeline.config.stages import Infer, Train
from pipeline.errors import UserError
from pipeline.files import sha256_of, write_text
from pipeline.image.container import map_array, read_facts, read_image
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.inference.volume import restore_volume
from pipeline.metrics._range import data_range
from pipeline.models.card import trained_card
from pipeline.models.device import choose_device, use_threads
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.history import write_history
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.trainer import Trainer

logger = logging.getLogger(__name__)

VALIDATION_METRICS = ("psnr", "ssim")
VALIDATION_SLICES = 4
"""Evenly spaced slices per validation volume: enough to watch progress by."""


@dataclass(frozen=True)
class TrainingFiles:
    """What a training reads. Truths and low-resolution volumes stand in the same order."""

    hr: Sequence[Path]
    lr: Sequence[Path]
    val_hr: Sequence[Path]
    val_lr: Sequence[Path]
    weights: Path

    def checksums(self) -> list[str]:
        """Returns the SHA-256 of every file."""
        return [sha256_of(path) for path in (*self.hr, *self.lr, *self.val_hr, *self.val_lr, self.weights)]


def training_key(files: TrainingFiles, settings: Train, seed: int) -> str:
    """Returns a hash of everything that the resulting weights depend on."""
    parts = [settings.model_dump(), seed, files.checksums(), code_version("pipeline.train"), torch.__version__]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def training_volume(hr: Path, lr: Path) -> TrainingVolume:
    """Opens a truth for drawing patches, with the forward model that its low-resolution volume recorded."""
    facts = read_facts(lr)
    return TrainingVolume(
        data=map_array(hr, "data"),
        mask=map_array(hr, "mask.foreground"),
        slice_axis=facts["slice_axis"],
        slices=tuple(facts["foreground_slices"]),
        model=ForwardModel.from_json(facts["forward_model"]),
    )


def validate(network: nn.Module, pairs: Sequence[tuple[Image, Image]], settings: Infer) -> dict[str, float]:
    """Measures a network over the foreground of some slices of the validation volumes; the mean over these slices."""
    values: dict[str, list[float]] = {name: [] for name in VALIDATION_METRICS}
    for truth, lr in pairs:
        axis = truth.facts["slice_axis"]
        chosen = evenly_spaced(truth.facts["foreground_slices"], VALIDATION_SLICES)
        hr, coarse = (np.take(array, chosen, axis) for array in (truth.data, lr.data))
        mask = np.take(truth.masks["foreground"], chosen, axis)
        estimate = crop_to(restore_volume(network, coarse, axis, settings), hr.shape)
        for name in VALIDATION_METRICS:
            measure = plugins.load("pipeline.metrics", name).per_slice
            slices = zip(*(np.moveaxis(array, axis, 0) for array in (hr, estimate, mask)), strict=True)
            values[name].extend(measure(*one, data_range(truth)) for one in slices)
    return {name: float(np.mean(found)) for name, found in values.items()}


def train(
    files: TrainingFiles, source: Source, settings: Train, seed: int, device: str, output: Path, work: Path
) -> None:
    """Trains and writes generator, model card and history.

    Args:
        files: volumes and initial weights.
        source: the initial weights' entry in the table of sources, for the model card.
        settings: the section `train`.
        seed: of the run.
        device: auto, cpu or cuda.
        output: folder of the method.
        work: folder of the checkpoints; it is removed when the training has ended well.

    Raises:
        UserError: another training writes to `work`, a file does not fit, or the device cannot be used.
    """
    use_threads(settings.threads)
    place = choose_device(device)
    checkpoints = CheckpointFolder(work, training_key(files, settings, seed))
    with checkpoints.lease():
        network, shape = load_generator(files.weights)
        volumes = [training_volume(hr, lr) for hr, lr in zip(files.hr, files.lr, strict=True)]
        check_factor(volumes, network.factor)
        pairs = [(read_image(hr), read_image(lr)) for hr, lr in zip(files.val_hr, files.val_lr, strict=True)]
        viewing = Infer(threads=settings.threads)
        trainer = Trainer(
            network.to(place),
            PatchSampler(volumes, settings, seed),
            settings,
            checkpoints,
            lambda candidate: validate(candidate, pairs, viewing),
        )
        averaged, history = trainer.run()
        facts: list[dict[str, Any]] = [read_facts(path) for path in (*files.lr, *files.val_lr)]
        save_generator(output / "generator.safetensors", averaged, shape)
        write_text(output / "model_card.md", trained_card(source, averaged, settings, facts, history))
        write_history(output / "history.csv", history)
    checkpoints.remove()


def check_factor(volumes: Sequence[TrainingVolume], factor: int) -> None:
    """Refuses data that was degraded by another factor than the network enlarges.

    Raises:
        UserError: naming both.
    """
    for volume in volumes:
        found = {volume.model.factors[axis] for axis in volume.plane_axes}
        if found != {factor}:
            raise UserError(
                f"degrade.factor: the network enlarges by {factor}, but the data was degraded by {sorted(found)}."
            )


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_path(parser, "--hr", "extracted training volumes", many=True)
    add_path(parser, "--lr", "their low-resolution volumes, in the same order", many=True)
    add_path(parser, "--val-hr", "extracted validation volumes", many=True)
    add_path(parser, "--val-lr", "their low-resolution volumes, in the same order", many=True)
    add_path(parser, "--weights", "initial generator (.safetensors, from the stage convert)")
    add_path(parser, "--output", "folder of the method: generator.safetensors, model_card.md, history.csv")
    add_path(parser, "--checkpoints", "folder of the resume state; removed at the end")
    parser.add_argument(
        "--source", required=True, metavar="JSON", help="the initial weights' entry in the table of sources"
    )
    parser.add_argument("--seed", type=int, default=0, help="root of all random numbers")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_settings(parser, Train)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    files = TrainingFiles(arguments.hr, arguments.lr, arguments.val_hr, arguments.val_lr, arguments.weights)
    source = read_entry(Source, arguments.source, "source")
    settings = read_section(Train, arguments.settings)
    train(files, source, settings, arguments.seed, arguments.device, arguments.output, arguments.checkpoints)
