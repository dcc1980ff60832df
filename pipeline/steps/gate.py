r"""Return whether restored volumes agree with what was measured: the consistency gate. No reference is needed.

Each volume is degraded again by the forward model that is recorded in the low-resolution volume, and compared with the
measurement within its noise. Four gates are written for each method: residual (more is left than the noise), local (a
structure of lesion size was added or removed), shift (in voxels of the result) and intensity (a changed gamma, gain or
offset, as a fraction of the range). A value above its limit fails.

A scan of your own that `apply` has sharpened can be checked by hand. Its forward model is not known; the gate then asks
whether the result agrees with the scan as the network was taught to see it:

  python -m pipeline.steps gate --lr scan.nii.gz --predictions sharp.nii.gz --output gates.csv \
      --forward-model results/demo/degraded/mni152.forward.json

What lies below the resolution of the measurement, no such check can see: invented detail that the scanner could not
have shown passes. `docs/fidelity.md` says what is caught and what is not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from pipeline.config.sections import Extract
from pipeline.errors import UserError, about
from pipeline.fidelity.gate.consistency import Windows, check_consistency, window_sizes
from pipeline.files import read_json
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import SUFFIX, read_image
from pipeline.formats.io.predictions import read_prediction, restored_image
from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.steps._shards import each, files_of
from pipeline.steps.degrade import check_magnitude
from pipeline.steps.evaluate import by_method, method_of
from pipeline.steps.extract import normalise
from pipeline.tables.gates import GATES, GateResult

logger = logging.getLogger(__name__)


def check(lr: LowResolutionImage, prediction: Path) -> list[GateResult]:
    """Judge one method's prediction of a volume.

    Args:
        lr: the measurement.
        prediction: the file, in a folder named after its method.

    Raises:
        UserError: the file cannot be read, or is no prediction of this volume.
    """
    model = lr.forward_model
    volume, subject, split = lr.id, lr.identity.subject, lr.identity.split
    with about(f"volume {volume!r} ({prediction})"):
        restored = read_prediction(prediction, grid_of(lr, model))
        judged = check_consistency(restored, lr.data, model, windows(lr, model), adjacent=lr.stack.are_neighbours)
    return [
        GateResult(volume, subject, split, method_of(prediction), one.gate, one.value, one.limit, one.passed)
        for one in judged
    ]


def windows(lr: LowResolutionImage, model: ForwardModel) -> Windows:
    """Return the windows of the gate `local` for a measurement: in heads they reach across the slices."""
    return window_sizes(lr.spacing, model.slice_axis, across_slices=lr.is_anatomical)


def grid_of(lr: LowResolutionImage, model: ForwardModel) -> Image:
    """Return an image that stands where predictions of a measurement must lie; it takes no memory."""
    shape = tuple(int(size) * factor for size, factor in zip(lr.data.shape, model.factors, strict=True))
    return restored_image(lr, np.broadcast_to(np.float32(0), shape))


def read_measurement(
    path: Path, model: Path | None, settings: Extract, noise_sigma: float | None
) -> LowResolutionImage:
    """Read a measurement: a low-resolution volume of a run, or an image of a user's own.

    Args:
        path: the file.
        model: forward model that an image of a user's own is taken to have come about by; None for volumes of a run.
        settings: plane and foreground of an image of a user's own.
        noise_sigma: its noise, as a fraction of the normalised range; None estimates it.

    Raises:
        UserError: the file cannot be read, or the forward model is missing.
    """
    if path.name.endswith(SUFFIX):
        return read_image(path, LowResolutionImage)
    if model is None:
        raise UserError(
            f"--forward-model: {path} says nothing of its forward model; give the .forward.json of a volume that was "
            "degraded as the network's training data were, from results/<run>/degraded."
        )
    try:
        image = normalise(format_of(path).read(path, Part()), settings)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return as_measured(image, ForwardModel.from_json(read_json(model)), noise_sigma, path.name.split(".")[0])


def as_measured(image: Image, model: ForwardModel, noise_sigma: float | None, name: str) -> LowResolutionImage:
    """Take an image as the measurement of a forward model that was recorded for another volume."""
    remedy = "Choose with --forward-model one of a volume with degrade.noise: gaussian."
    check_magnitude(image, name, model.noise, remedy)
    axis = image.slice_axis
    across = model.factors[model.slice_axis]
    inside = next(factor for place, factor in enumerate(model.factors) if place != model.slice_axis)
    factors = tuple(across if place == axis else inside for place in range(3))
    try:
        sigma = estimate_sigma(image.data, axis, model.noise_settings).sigma if noise_sigma is None else noise_sigma
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    logger.info("noise: %.4f of the range", sigma)
    shape = tuple(int(size) * factor for size, factor in zip(image.data.shape, factors, strict=True))
    spacing = image.spacing_mm
    taken = replace(
        model,
        factors=factors,
        hr_shape=shape,
        noise_sigma=sigma,
        slice_axis=axis,
        spacing_mm=spacing and tuple(length / factor for length, factor in zip(spacing, factors, strict=True)),
    )
    identity = replace(image.identity, id=image.id or name)
    return LowResolutionImage.of(image.with_data(image.data, masks={}, identity=identity), taken)


def check_all(lr: LowResolutionImage, predictions: Iterable[Path]) -> Iterator[GateResult]:
    """Judge the predictions of all methods, and says what they found; arguments as in `check`."""
    for path in predictions:
        for row in check(lr, path):
            logger.info("%s", row)
            yield row


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    lr: list[Path]
    """Measurements: low-resolution volumes of a run (.safetensors), or images."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    output: Path
    """One row a volume, method and gate (.csv)."""
    forward_model: Path | None = None
    """Forward model of images that are no volumes of a run (.forward.json)."""
    plane: Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    """Plane of the slices of an image."""
    foreground: Literal["head", "all"] = "head"
    """all: an image that fills the field of view."""
    noise_sigma: float | None = None
    """Noise level of an image, as a fraction of the normalised range (default: estimated)."""


def run(options: Options) -> None:
    """Write the table."""
    settings = Extract(plane=options.plane, foreground=options.foreground)
    rows: list[GateResult] = []
    for path in each(options.lr):
        lr = read_measurement(path, options.forward_model, settings, options.noise_sigma)
        is_alone = len(options.lr) == 1 and not any(one.is_dir() for one in options.predictions)
        predictions = options.predictions if is_alone else files_of(lr.id, options.predictions)
        rows.extend(check_all(lr, tqdm(by_method(predictions), lr.id, disable=None)))
    GATES.write(options.output, rows)
