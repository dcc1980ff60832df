"""Predictions: super-resolved volumes as files, in the orientation, dtype and units of the source, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.formats import format_of
from pipeline.image.image import Image
from pipeline.image.stack import FORMAT as PICTURES
from pipeline.physics.grid import crop_to, fine_affine

SUFFIX, STACK_SUFFIX = ".nii.gz", ".tiff"
AFFINE_TOLERANCE_MM = 1e-4
AFFINE_PRECISION = float(np.finfo(np.float32).eps)
"""NIfTI keeps affines in single precision."""


def prediction_path(folder: Path, method: str, volume: str, suffix: str = SUFFIX) -> Path:
    """Returns where a method's result lies, below results/<run>/predictions."""
    return folder / method / f"{volume}{suffix}"


def suffix_of(image: Image) -> str:
    """Returns the suffix of an image's predictions: pictures become TIFF pages, volumes stay NIfTI."""
    return STACK_SUFFIX if image.origin.get("format") == PICTURES else SUFFIX


def restored_image(lr_image: Image, sr: NDArray[np.floating]) -> Image:
    """Puts a super-resolved array onto the grid of the high-resolution volume.

    Args:
        lr_image: the low-resolution volume it was made of, with its forward model in the facts.
        sr: normalised intensities, of shape lr_image.data.shape * factors.

    Returns:
        The image, cropped to the recorded shape.

    Raises:
        ValueError: `sr` has another shape.
    """
    model = lr_image.facts["forward_model"]
    expected = tuple(int(size) * factor for size, factor in zip(lr_image.data.shape, model["factors"], strict=True))
    if sr.shape != expected:
        raise ValueError(f"the super-resolved array has shape {sr.shape}, expected was {expected}")
    return lr_image.with_data(
        crop_to(sr, model["hr_shape"]), affine=fine_affine(lr_image.affine, model["factors"]), masks={}
    )


def write_prediction(path: Path, lr_image: Image, sr: NDArray[np.floating]) -> int:
    """Writes a super-resolved array in the orientation, dtype and units of the source, whole or not at all.

    Args:
        path: the file; its suffix names the format.
        lr_image: as in `restored_image`.
        sr: as in `restored_image`.

    Returns:
        How many voxels had to be clipped to the range of the dtype.
    """
    return format_of(path).write(path, restored_image(lr_image, sr))


def read_prediction(path: Path, truth: Image) -> NDArray[np.float32]:
    """Reads a prediction for comparison with the truth.

    Returns:
        Intensities of shape truth.data.shape, normalised as the truth is.

    Raises:
        UserError: the file cannot be read, or does not lie on the grid of the truth.
    """
    image = format_of(path).read(path)
    name = truth.facts.get("id", "the truth")
    if image.data.shape != truth.data.shape:
        raise UserError(
            f"{path}: has shape {image.data.shape}, but volume {name!r} has {truth.data.shape}, both in RAS order. "
            "Is it a prediction of this volume?"
        )
    if not np.allclose(image.affine, truth.affine, rtol=AFFINE_PRECISION, atol=AFFINE_TOLERANCE_MM):
        distance = float(np.max(np.abs(image.affine - truth.affine)))
        raise UserError(
            f"{path}: its affine differs from that of volume {name!r} by up to {distance:.4g} mm. "
            "Is it a prediction of this volume?"
        )
    return truth.intensity.normalise(image.data)
