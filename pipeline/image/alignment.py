"""Check that two images lie on the same voxel grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.lengths import MILLIMETRES
from pipeline.image.stack import UNIT as PIXEL

AFFINE_TOLERANCE = 1e-4
"""In the image's unit."""
AFFINE_PRECISION = float(np.finfo(np.float32).eps)
"""NIfTI stores affines in single precision."""


def check_same_grid(path: Path, image: Image, reference: Image, name: str, kind: str) -> None:
    """Check that an image lies on the grid of the volume it belongs to.

    Args:
        path: the file of the image, for messages.
        image: content of the file.
        reference: the volume.
        name: of the volume.
        kind: kind of image that is expected, such as "prediction".

    Raises:
        UserError: another shape, or another affine.
    """
    if image.data.shape != reference.data.shape:
        raise UserError(
            f"{path}: has shape {image.data.shape}, but volume {name!r} has {reference.data.shape}, both in RAS order. "
            f"Is it a {kind} of this volume?"
        )
    found, expected = _comparable(image, reference)
    if not np.allclose(found, expected, rtol=AFFINE_PRECISION, atol=AFFINE_TOLERANCE):
        distance = float(np.max(np.abs(found - expected)))
        raise UserError(
            f"{path}: its affine differs from that of volume {name!r} by up to {distance:.4g} {reference.unit}. "
            f"Is it a {kind} of this volume?"
        )


def _comparable(image: Image, reference: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the comparable part of both affines: pictures have no position, and some have no pixel size.

    Both are in the unit of the reference.
    """
    if not image.is_anatomical and PIXEL in (image.unit, reference.unit):
        return np.eye(3), np.eye(3)
    scale = MILLIMETRES.get(image.unit, 1.0) / MILLIMETRES.get(reference.unit, 1.0)
    if image.is_anatomical:
        return np.diag([scale, scale, scale, 1.0]) @ image.affine, reference.affine
    return scale * np.diag(image.spacing), np.diag(reference.spacing)
