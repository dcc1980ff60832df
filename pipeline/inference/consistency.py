"""Correcting a restored volume toward what was measured.

A network may not contradict the measurement beyond its noise. The restored volume is degraded again by the recorded
forward model; a share of what the measurement has more, or less, is put back through the pseudo-inverse of the
operator. The idea is the data-consistency step of Schlemper et al. (IEEE Transactions on Medical Imaging 37:491-503,
2018). With noise, putting all of it back would bring all of the noise back, hence a share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import apply_along_axes, pad_to_multiple


def toward_measurement(
    restored: NDArray[np.float32], measured: NDArray[np.float32], model: ForwardModel, share: float
) -> NDArray[np.float32]:
    """Returns restored + share * A+ (measured - expected measurement of restored).

    Args:
        restored: normalised intensities, of shape measured.shape * model.factors.
        measured: low-resolution volume, normalised.
        model: the forward model that `measured` recorded; A is its operator, A+ the operator's pseudo-inverse.
        share: 0 leaves `restored` as it is, 1 makes it agree with the measurement, noise included.

    Returns:
        Corrected intensities, float32, of the same shape.
    """
    if share == 0:
        return restored
    # What lies beyond the recorded size was padding when the measurement was made, and is padded alike here.
    inside = tuple(slice(size) for size in model.hr_shape)
    again = apply_along_axes(model.axis_matrices, pad_to_multiple(restored[inside], model.factors))
    surplus = measured - model.expected_value(again)
    inverses = [None if matrix is None else _pseudo_inverse(matrix) for matrix in model.axis_matrices]
    return (restored + share * apply_along_axes(inverses, surplus)).astype(np.float32)


def _pseudo_inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.pinv(matrix), dtype=np.float64)
