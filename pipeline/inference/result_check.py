"""Check of every restored image against its input.

The result is degraded to the grid of its input: by the forward model where it is known, otherwise by the mean over the
voxels of each cell. A network that removes noise leaves a difference of the size of the noise; the remaining difference
is `Agreement.beyond_noise`. It needs no reference and detects gross errors alone: wrong intensities, a wrong image, or
data unlike the training data. The consistency gate (`pipeline.fidelity.gate`) is more sensitive.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import UserError
from pipeline.image.intensity_limits import LIMITS
from pipeline.physics.data_consistency import degrade_again
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import apply_along_axes
from pipeline.physics.operators import binning

logger = logging.getLogger(__name__)

WARN_BEYOND, REFUSE_BEYOND = 0.06, 0.35
"""Difference beyond the noise, as a fraction of the intensity range, above which there is a warning, or an error.
Values of faithful results are listed in docs/fidelity.md."""


NETWORK_ADVICE = (
    "The network may not suit this kind of image: see its model card, or force the output (apply --force; in a run, "
    "infer.force: true)."
)


@dataclass(frozen=True)
class Agreement:
    """Difference between a result, degraded to the grid of its input, and that input.

    Attributes:
        squares: sum of the squared differences, in fractions of the intensity range.
        noise: expected contribution of the noise to that sum.
        count: number of voxels.
    """

    squares: float = 0.0
    noise: float = 0.0
    count: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        """Return the agreement over the voxels of both."""
        return Agreement(self.squares + other.squares, self.noise + other.noise, self.count + other.count)

    @property
    def beyond_noise(self) -> float:
        """Root mean square of the difference that the noise does not explain; infinite if a result is not finite."""
        if not math.isfinite(self.squares):
            return math.inf
        return math.sqrt(max(self.squares - self.noise, 0.0) / max(self.count, 1))


def agreement_of(
    again: NDArray[np.floating],
    image: NDArray[np.floating],
    scale: float | NDArray[np.floating],
    sigma: float,
    *,
    magnitude: bool = False,
) -> Agreement:
    """Compare a result, on the grid of its input, with that input.

    Args:
        again: the result, degraded again.
        image: the input, same shape and unit. Voxels that are NaN are left out.
        scale: intensity range in that unit, broadcast along the last axis.
        sigma: noise level of the input, as a fraction of the range.
        magnitude: whether the input is a magnitude image, whose mean square in the background is 2 sigma^2
            (Gudbjartsson and Patz, Magnetic Resonance in Medicine 34:910-914, 1995), while a result may show the
            signal, which is zero there.
    """
    difference = (np.asarray(again, dtype=np.float64) - image) / scale
    kept = difference[~np.isnan(image)]
    power = 2 * sigma**2 if magnitude else sigma**2
    return Agreement(float(np.sum(np.square(kept))), power * kept.size, kept.size)


def agreement_with_measurement(
    restored: NDArray[np.floating], measured: NDArray[np.floating], model: ForwardModel
) -> Agreement:
    """Compare a restored volume, degraded again, with the measurement.

    A result may estimate the signal or the mean of the noisy magnitude, which is larger in the background. The better
    of the two agreements is returned.

    Args:
        restored: normalised intensities, of shape model.hr_shape or larger at the high ends.
        measured: normalised intensities, of shape model.lr_shape.
        model: forward model of the measurement, with its noise level.
    """
    # Intensities far beyond the range were interpolated; the operator would blur them into their neighbours.
    again = degrade_again(np.clip(np.asarray(restored, dtype=np.float32), *LIMITS), model)
    compared = without_outliers(measured, measured)
    readings = [agreement_of(one, compared, 1.0, model.noise_sigma) for one in (model.expected_value(again), again)]
    return min(readings, key=lambda one: one.squares)


def without_outliers(image: NDArray[np.floating], normalised: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return an image with NaN where intensities far beyond the range were interpolated, and in their neighbours.

    Args:
        image: any unit.
        normalised: the same image, normalised.
    """
    low, high = LIMITS
    far = (normalised < low) | (normalised > high)
    values = np.array(image, dtype=np.float64)
    if far.any():
        near = ndimage.binary_dilation(far, ndimage.generate_binary_structure(far.ndim, far.ndim))
        values[np.asarray(near, dtype=bool)] = np.nan
    return values


def cell_means(restored: NDArray[np.floating], factors: Sequence[float]) -> NDArray[np.float64]:
    """Return the mean of each cell of a restored array, whose shape is that of whole cells."""
    whole = [factor for factor in factors if isinstance(factor, int)]
    if len(whole) < len(factors):
        pairs, means = zip(restored.shape, factors, strict=True), binning.Parameters()
        return apply_along_axes([binning.axis_matrix(size, factor, None, means) for size, factor in pairs], restored)
    split = [part for size, factor in zip(restored.shape, whole, strict=True) for part in (size // factor, factor)]
    cells = np.asarray(restored).reshape(split)
    return cells.mean(axis=tuple(range(1, 2 * len(factors), 2)), dtype=np.float64)


def check_agreement(name: object, found: Agreement, *, force: bool, advice: str = NETWORK_ADVICE) -> None:
    """Log a warning for a result that disagrees with its input, or raise an error.

    Args:
        name: of the image, for messages.
        found: agreement of the result with its input.
        force: log a warning instead of raising an error.
        advice: what may be wrong and how to force the output, for the error.

    Raises:
        UserError: the difference exceeds `REFUSE_BEYOND` and `force` is not set, or the result is not finite.
    """
    share = found.beyond_noise
    if not math.isfinite(share):
        raise UserError(
            f"{name}: the result has voxels that are not finite numbers, so it is not written, even with --force. "
            "Is the image a mask or a label map, which cannot be restored?"
        )
    logger.info(
        "%s: the result differs from its input by %.2f %% of the range beyond the noise (warning above %.0f %%)",
        *(name, 100 * share, 100 * WARN_BEYOND),
    )
    message = (
        f"{name}: the result, degraded to the grid of its input, differs from it by {100 * share:.1f} % of the "
        f"intensity range (root mean square) beyond the noise; valid results stay below {100 * WARN_BEYOND:.0f} %"
    )
    if share <= WARN_BEYOND:
        return
    if share > REFUSE_BEYOND and not force:
        raise UserError(f"{message}. It is not written. {advice}")
    logger.warning("%s. Do not rely on it before the cause is known.", message)
