"""The consistency gate for restored volumes on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.errors import about
from pipeline.fidelity.gate.consistency import Windows, check_consistency, window_sizes
from pipeline.formats.io.predictions import read_prediction, restored_image
from pipeline.image.image import Image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.tables.gates import GateResult


def check_prediction(lr: LowResolutionImage, method: str, prediction: Path) -> list[GateResult]:
    """Apply the gates to the prediction of one method.

    Args:
        lr: the LR input, with its forward model.
        method: name of the method.
        prediction: file of the restored volume.

    Raises:
        UserError: the file cannot be read, or does not lie on the high-resolution grid of the LR input.
    """
    volume, subject, split = lr.id, lr.identity.subject, lr.identity.split
    with about(f"volume {volume!r} ({prediction})"):
        restored = read_prediction(prediction, high_resolution_grid(lr))
    adjacent = lr.stack.are_neighbours
    checks = check_consistency(restored, lr.data, lr.forward_model, lesion_windows(lr), adjacent=adjacent)
    return [GateResult(volume, subject, split, method, one.gate, one.value, one.limit, one.passed) for one in checks]


def lesion_windows(lr: LowResolutionImage) -> Windows:
    """Return the windows of the gate `local`; in heads and brains they extend across slices."""
    return window_sizes(lr.spacing, lr.forward_model.slice_axis, across_slices=lr.is_anatomical)


def high_resolution_grid(lr: LowResolutionImage) -> Image:
    """Return an image on the grid of predictions: zeros, broadcast without allocating memory."""
    return restored_image(lr, np.broadcast_to(np.float32(0), lr.forward_model.padded_shape))
