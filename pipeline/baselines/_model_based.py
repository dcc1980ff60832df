"""Model-based reconstruction of one volume, shared by the baselines that differ in the penalty."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines import zerofill
from pipeline.physics.forward import ForwardModel

if TYPE_CHECKING:
    from pipeline.physics.reconstruction import Penalty

MAX_VOXELS = 16_000_000
"""Larger volumes are reconstructed in parts; the solver needs about 100 bytes per voxel."""
OVERLAP = 12
"""Voxels by which parts of a volume overlap on either side; the influence of a voxel decays much faster."""


def reconstruct_volume(
    lr: NDArray[np.floating], model: ForwardModel, kind: Literal["quadratic", "total_variation"], settings: Mapping
) -> NDArray[np.float32]:
    """Minimise the squared error of the measurement plus a penalty, starting from zero-filled k-space.

    A large volume is divided along an axis that its forward model does not change, if there is one.

    Args:
        lr: normalised intensities, of shape model.lr_shape.
        model: the forward model of the volume.
        kind: kind of the penalty.
        settings: other attributes of the penalty, see `pipeline.physics.reconstruction.Penalty`.

    Returns:
        Array of shape model.padded_shape.
    """
    from pipeline.physics.reconstruction import Penalty

    penalty = Penalty(kind, scales=neighbour_scales(model), **settings)
    unchanged = [axis for axis, matrix in enumerate(model.terms[0]) if matrix is None]
    if not unchanged or math.prod(model.padded_shape) <= MAX_VOXELS:
        return _reconstruct(lr, model, penalty)
    result = np.empty(model.padded_shape, dtype=np.float32)
    axis = max(unchanged, key=lambda one: model.hr_shape[one])
    for inner, outer in _parts(model.hr_shape[axis], math.ceil(result.size / MAX_VOXELS)):
        size = outer.stop - outer.start
        part = replace(model, hr_shape=(*model.hr_shape[:axis], size, *model.hr_shape[axis + 1 :]))
        estimate = _reconstruct(lr[_along(axis, outer)], part, penalty)
        result[_along(axis, inner)] = estimate[_along(axis, slice(inner.start - outer.start, inner.stop - outer.start))]
    return result


def neighbour_scales(model: ForwardModel) -> tuple[float, ...]:
    """Return the scales of differences along each axis, relative to the axis with the finest voxels.

    They are 1 if the spacing is unknown, and 0 along an axis whose slices are no neighbours.
    """
    spacing = model.spacing_mm or (1.0,) * len(model.factors)
    return tuple(0.0 if axis == model.still_axis else min(spacing) / length for axis, length in enumerate(spacing))


def _reconstruct(lr: NDArray[np.floating], model: ForwardModel, penalty: Penalty) -> NDArray[np.float32]:
    import torch

    from pipeline.physics.reconstruction import reconstruct
    from pipeline.physics.volume_measurement import VolumeMeasurement

    start = torch.from_numpy(zerofill.upsample(lr, model, {}))
    return reconstruct([VolumeMeasurement(lr, model)], penalty, start).numpy()


def _parts(size: int, count: int) -> Iterator[tuple[slice, slice]]:
    """Yield the ranges of `count` parts of an axis, without and with their overlap."""
    step = math.ceil(size / count)
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield slice(start, stop), slice(max(0, start - OVERLAP), min(size, stop + OVERLAP))


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None) for _ in range(axis)), part)
