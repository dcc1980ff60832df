"""Correcting a restored volume toward what was measured.

A network may not contradict the measurement beyond its noise. The restored volume is degraded again by the recorded
forward model; a share of what the measurement has more, or less, is put back through the pseudo-inverse of the
operator. The idea is the data-consistency step of Schlemper et al. (IEEE Transactions on Medical Imaging 37:491-503,
2018). With noise, putting all of it back would bring all of the noise back, hence a share that
falls with the noise: it is found on the validation volumes by least squares and kept with the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.excerpts import Excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import Matrices, apply_along_axes, apply_terms, crop_to, pad_to_multiple

SMALLEST_GAIN = 0.1
"""Patterns that the operator weakens to less than this share of the strongest are not put back: their noise would be
put back that many times as strong."""


def toward_measurement(
    restored: NDArray[np.float32], measured: NDArray[np.float32], model: ForwardModel, share: float
) -> NDArray[np.float32]:
    """Return restored + share * A+ (measured - expected measurement of restored).

    Args:
        restored: normalised intensities, of shape measured.shape * model.factors.
        measured: low-resolution volume, normalised.
        model: the forward model behind `measured`; A is its operator, A+ the operator's pseudo-inverse as far as it is
            stable.
        share: 0 leaves `restored` as it is, 1 makes it agree with the measurement, noise included.

    Returns:
        Corrected intensities, float32, of the same shape.
    """
    if share == 0:
        return restored
    return (restored + share * correction(restored, measured, model)).astype(np.float32)


def correction(
    restored: NDArray[np.float32], measured: NDArray[np.float32], model: ForwardModel
) -> NDArray[np.float64]:
    """Return what full agreement with the measurement would add; arguments as in `toward_measurement`."""
    surplus = measured - model.expected_value(degraded_again(restored, model))
    # Where the operator is a sum of terms, the first holds nearly all of it.
    return _put_back(model.terms[0], surplus)


def degraded_again(restored: NDArray[np.float32], model: ForwardModel) -> NDArray[np.float64]:
    """Apply the forward model's operator, without noise, to a restored volume."""
    # What lies beyond the recorded size was padding when the measurement was made, and is padded alike here.
    inside = tuple(slice(size) for size in model.hr_shape)
    return apply_terms(model.terms, pad_to_multiple(restored[inside], model.factors))


def best_share(restored: NDArray[np.float32], excerpt: Excerpt) -> float:
    """Return the share of the correction that brings a restored excerpt nearest to its reference, by least squares.

    Background counts as tissue does: there, the correction brings back nothing but noise.

    Args:
        restored: what a network made of `excerpt.measured`.
        excerpt: slices whose reference is known.

    Returns:
        Between 0 and 1.
    """
    shape = excerpt.reference.data.shape
    added = crop_to(correction(restored, excerpt.measured, excerpt.model), shape)
    missing = excerpt.reference.data - crop_to(restored, shape)
    power = float(np.sum(added**2))
    return float(np.clip(np.sum(added * missing) / power, 0, 1)) if power else 0.0


def share_at(sigma: float, shares: Sequence[Sequence[float]]) -> float:
    """Return the share for a noise level.

    Args:
        sigma: standard deviation of the noise, as a fraction of the normalised range.
        shares: pairs of noise level and best share, by rising noise; none means no correction.
    """
    if not shares:
        return 0.0
    levels, values = zip(*shares, strict=True)
    return float(np.interp(sigma, levels, values))


def _put_back(matrices: Matrices, surplus: NDArray[np.floating]) -> NDArray[np.float64]:
    """Apply the pseudo-inverse of matrices along the axes, as far as it is stable."""
    parts = [None if matrix is None else np.linalg.svd(matrix, full_matrices=False) for matrix in matrices]
    modes = apply_along_axes([None if part is None else part[0].T for part in parts], surplus)
    gains = np.ones([1] * surplus.ndim)
    for axis, part in enumerate(parts):
        if part is not None:
            gains = gains * part[1].reshape([-1 if other == axis else 1 for other in range(surplus.ndim)])
    factors = np.where(gains >= SMALLEST_GAIN * gains.max(), 1 / np.maximum(gains, np.finfo(float).tiny), 0)
    return apply_along_axes([None if part is None else part[2].T for part in parts], modes * factors)
