"""Data consistency: correction of a restored volume with its low-resolution measurement.

A restored volume should agree with the measurement up to noise. It is degraded again by the recorded forward model, and
the residual is mapped back by the pseudo-inverse of the operator and added with a weight. This is the
data-consistency step of Schlemper et al. (IEEE Transactions on Medical Imaging 37:491-503, 2018). Full weight would
restore the noise as well, so the weight decreases with the noise level: it is fitted on the validation volumes by least
squares and stored with the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.physics.excerpts import Excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import Matrices, apply_along_axes, apply_terms, crop_to, pad_to_multiple

MIN_GAIN = 0.1
"""Singular values below this fraction of the largest are left out of the pseudo-inverse, which would amplify their
noise."""


def apply_data_consistency(
    restored: NDArray[np.float32], lr: NDArray[np.float32], model: ForwardModel, weight: float
) -> NDArray[np.float32]:
    """Return restored + weight * A+ (lr - expected value of A restored).

    Args:
        restored: normalised intensities, of shape model.padded_shape.
        lr: low-resolution volume, normalised.
        model: the forward model of `lr`; A is its operator, A+ the operator's regularised pseudo-inverse.
        weight: 0 leaves `restored` unchanged, 1 makes it agree with the measurement including its noise.

    Returns:
        Corrected intensities, float32, of the same shape.
    """
    if weight == 0:
        return restored
    return (restored + weight * correction(restored, lr, model)).astype(np.float32)


def correction(restored: NDArray[np.float32], lr: NDArray[np.float32], model: ForwardModel) -> NDArray[np.float64]:
    """Return the correction for a weight of 1; arguments as in `apply_data_consistency`."""
    residual = lr - model.expected_value(degrade_again(restored, model))
    # If the operator is a sum of terms, the first one dominates.
    return _apply_pseudo_inverse(model.terms[0], residual)


def degrade_again(restored: NDArray[np.float32], model: ForwardModel) -> NDArray[np.float64]:
    """Apply the linear operator of the forward model, without noise, to a restored volume."""
    # The volume was padded beyond its recorded size when it was degraded; the same padding is applied here.
    inside = tuple(slice(size) for size in model.hr_shape)
    return apply_terms(model.terms, pad_to_multiple(restored[inside], model.factors))


def best_weight(restored: NDArray[np.float32], excerpt: Excerpt) -> float:
    """Return the data-consistency weight that minimises the squared error of a restored excerpt.

    The background is included in the error: there, the correction only adds noise.

    Args:
        restored: restoration of `excerpt.lr`.
        excerpt: excerpt with its reference.

    Returns:
        Weight between 0 and 1.
    """
    shape = excerpt.reference.data.shape
    added = crop_to(correction(restored, excerpt.lr, excerpt.model), shape)
    missing = excerpt.reference.data - crop_to(restored, shape)
    power = float(np.sum(added**2))
    return float(np.clip(np.sum(added * missing) / power, 0, 1)) if power else 0.0


def weight_at(sigma: float, weights: Sequence[tuple[float, float]]) -> float:
    """Interpolate the data-consistency weight for a noise level.

    Args:
        sigma: standard deviation of the noise, as a fraction of the normalised range.
        weights: pairs of noise level and weight in ascending order; empty for no correction.
    """
    if not weights:
        return 0.0
    levels, values = zip(*weights, strict=True)
    return float(np.interp(sigma, levels, values))


def _apply_pseudo_inverse(matrices: Matrices, residual: NDArray[np.floating]) -> NDArray[np.float64]:
    """Apply the regularised pseudo-inverse of matrices along the axes."""
    parts = [None if matrix is None else np.linalg.svd(matrix, full_matrices=False) for matrix in matrices]
    modes = apply_along_axes([None if part is None else part[0].T for part in parts], residual)
    gains = np.ones([1] * residual.ndim)
    for axis, part in enumerate(parts):
        if part is not None:
            gains = gains * part[1].reshape([-1 if other == axis else 1 for other in range(residual.ndim)])
    factors = np.where(gains >= MIN_GAIN * gains.max(), 1 / np.maximum(gains, np.finfo(float).tiny), 0)
    return apply_along_axes([None if part is None else part[2].T for part in parts], modes * factors)
