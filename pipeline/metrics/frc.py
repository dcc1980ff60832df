"""Fourier ring correlation: up to which spatial frequency an image agrees with the truth.

Saxton and Baumeister, Journal of Microscopy 127:127-138, 1982. Against a reference instead of a second measurement, the
usual threshold is 0.5 (Rosenthal and Henderson, Journal of Molecular Biology 333:721-745, 2003). Where the truth holds
noise of its own, no method can agree with it at the frequencies that are noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TITLE = "FRC cut-off"
UNIT = "cycles/voxel"
HIGHER_IS_BETTER = True
PERFECT = 0.5
RANGE = "0 to 0.5"
SOURCE = "Saxton and Baumeister 1982"
DECIMALS = 3

THRESHOLD = 0.5
NYQUIST = 0.5
SMALLEST_SIDE = 8
"""Of the region's box, in voxels; smaller ones have too few frequencies."""
ROUNDING = 1e-9
"""So that frequencies on the border of two rings always belong to the outer one."""


def per_slice(
    truth: NDArray[np.floating], estimate: NDArray[np.floating], mask: NDArray[np.bool_], data_range: float
) -> float:
    """Returns the frequency at which the correlation of rings of frequencies first falls below 0.5.

    Args:
        truth: slice of the truth, shape (rows, columns), normalised.
        estimate: the same slice as a method restored it.
        mask: the region, same shape, not empty; its box is looked at, under a Hann window.
        data_range: has no influence.

    Returns:
        Cycles per voxel; 0.5, the highest frequency there is, where the correlation never falls so low, and 0 where the
        box has a side below 8 voxels, so that no frequency can be told.
    """
    del data_range
    box = tuple(slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(mask))
    frequencies, correlation = ring_correlation(truth[box], estimate[box])
    below = np.flatnonzero(correlation < THRESHOLD)
    if frequencies.size == 0 or (below.size and below[0] == 0):
        return 0.0
    if below.size == 0:
        return NYQUIST
    first = int(below[0])
    pair = slice(first - 1, first + 1)
    return float(np.interp(-THRESHOLD, -correlation[pair], frequencies[pair]))


def ring_correlation(
    one: NDArray[np.floating], other: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the correlation of two images, ring by ring of their spectra.

    Args:
        one: shape (rows, columns), in any unit.
        other: same shape.

    Returns:
        The middle frequency of each ring in cycles per voxel, and the correlation there, between -1 and 1; both are
        empty where a side is below 8 voxels. A ring in which neither has power counts as
        the same, one in which one of them has none as uncorrelated.
    """
    if min(one.shape) < SMALLEST_SIDE:
        return np.empty(0), np.empty(0)
    window = np.outer(*(np.hanning(size) for size in one.shape))
    first, second = (np.fft.fft2((image - image.mean()) * window) for image in (one, other))
    rows, columns = (np.fft.fftfreq(size) for size in one.shape)
    count = min(one.shape) // 2
    rings = np.floor(np.hypot(rows[:, None], columns) / NYQUIST * count + ROUNDING).astype(int).ravel()
    inside = rings < count

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(rings[inside], values.ravel()[inside], count), dtype=np.float64)

    common = total((first * second.conj()).real)
    powers = total(abs(first) ** 2), total(abs(second) ** 2)
    power = np.sqrt(powers[0] * powers[1])
    alike = (powers[0] == powers[1]).astype(float)
    correlation = np.divide(common, power, out=alike, where=power > 0)
    return (np.arange(count) + 0.5) / count * NYQUIST, correlation
