"""Correlation of two spectra over rings (2-D) or shells (3-D) of spatial frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

THRESHOLD = 0.5
"""Usual threshold against a reference (Rosenthal and Henderson, Journal of Molecular Biology 333:721-745, 2003)."""
NYQUIST = 0.5
MIN_SIDE = 8
"""Minimum side of the bounding box of a region, in voxels; smaller boxes have too few frequencies."""
ROUNDING = 1e-9
"""Tolerance that assigns frequencies on the border of two shells to the outer shell."""

Floats = NDArray[np.float64]


def cut_off(
    reference: NDArray[np.floating],
    estimate: NDArray[np.floating],
    mask: NDArray[np.bool_],
    spacing: Sequence[float] | None = None,
    cone_degrees: float | None = None,
) -> float:
    """Return the frequency at which the shell correlation first falls below 0.5.

    Args:
        reference: 2-D or 3-D image, in any unit of intensity.
        estimate: image of the same shape.
        mask: the region, of the same shape, not empty; its bounding box is evaluated under a Hann window.
        spacing: as in `shell_correlation`.
        cone_degrees: as in `shell_correlation`.

    Returns:
        Frequency in cycles per voxel; the Nyquist frequency 0.5 if the correlation never falls below 0.5, and 0 if the
        bounding box has a side of less than 8 voxels.
    """
    box = tuple(_extent(mask, axis) for axis in range(mask.ndim))
    return first_below(*shell_correlation(reference[box], estimate[box], spacing, cone_degrees))


def _extent(mask: NDArray[np.bool_], axis: int) -> slice:
    """Return the extent of a mask along an axis."""
    filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
    return slice(int(filled[0]), int(filled[-1]) + 1)


def first_below(frequencies: Floats, correlation: Floats) -> float:
    """Return the frequency at which a correlation first falls below 0.5, see `cut_off`."""
    below = np.flatnonzero(correlation < THRESHOLD)
    if frequencies.size == 0 or (below.size and below[0] == 0):
        return 0.0
    if below.size == 0:
        return NYQUIST
    first = int(below[0])
    pair = slice(first - 1, first + 1)
    return float(np.interp(-THRESHOLD, -correlation[pair], frequencies[pair]))


def shell_correlation(
    one: NDArray[np.floating],
    other: NDArray[np.floating],
    spacing: Sequence[float] | None = None,
    cone_degrees: float | None = None,
) -> tuple[Floats, Floats]:
    """Return the correlation of the spectra of two images over shells of spatial frequency.

    Args:
        one: 2-D or 3-D image, in any unit of intensity.
        other: image of the same shape.
        spacing: voxel spacing along the axes; None if isotropic. Shells are spherical in physical space and extend to
            the highest frequency that all axes contain.
        cone_degrees: if given, shells are restricted to frequencies within this angle of the first axis, without the
            mean, and extend to the highest frequency of that axis.

    Returns:
        The central frequency of each shell in cycles per voxel (of the axis with the largest voxels; in a cone, of the
        first axis), and the correlation between -1 and 1; both are empty if a side is less than 8 voxels. The
        correlation is 1 in a shell without power in both images, and 0 in a shell without power in one of them.
    """
    if min(one.shape) < MIN_SIDE:
        return np.empty(0), np.empty(0)
    lengths = np.ones(one.ndim) if spacing is None else np.asarray(spacing) / max(spacing)
    if cone_degrees is not None:
        lengths = lengths / lengths[0]
    extents = [size * length for size, length in zip(one.shape, lengths, strict=True)]
    count = int((min(extents) if cone_degrees is None else extents[0]) + ROUNDING) // 2
    if count == 0:
        return np.empty(0), np.empty(0)
    first, second = (_spectrum(image) for image in (one, other))
    axes = [np.fft.fftfreq(size) / length for size, length in zip(one.shape, lengths, strict=True)]
    axes[-1] = np.fft.rfftfreq(one.shape[-1]) / lengths[-1]
    twice = _multiplicity(one.shape[-1])
    common, power, other_power = (np.zeros(count) for _ in range(3))
    across = sum(np.square(axis) for axis in np.ix_(*axes[1:]))
    for place, frequency in enumerate(axes[0]):  # plane by plane, to save memory
        radius = np.sqrt(frequency**2 + across)
        shells = np.floor(radius / NYQUIST * count + ROUNDING).astype(int)
        inside = shells < count
        if cone_degrees is not None:
            inside &= across < (math.tan(math.radians(cone_degrees)) * frequency) ** 2
        chosen, mine, theirs = shells[inside], first[place][inside], second[place][inside]
        weight = np.broadcast_to(twice, radius.shape)[inside]
        common += np.bincount(chosen, weight * (mine * theirs.conj()).real, count)
        power += np.bincount(chosen, weight * np.abs(mine) ** 2, count)
        other_power += np.bincount(chosen, weight * np.abs(theirs) ** 2, count)
    both = np.sqrt(power * other_power)
    equal = (power == other_power).astype(float)
    correlation = np.divide(common, both, out=equal, where=both > 0)
    return (np.arange(count) + 0.5) / count * NYQUIST, correlation


def _multiplicity(size: int) -> Floats:
    """Return the multiplicity of each frequency of a half spectrum: 2 with its negative, or 1."""
    found = np.full(size // 2 + 1, 2.0)
    found[0] = 1.0
    if size % 2 == 0:
        found[-1] = 1.0
    return found


def _spectrum(image: NDArray[np.floating]) -> NDArray[np.complexfloating]:
    """Return the half spectrum of an image after removal of its mean and multiplication by a Hann window."""
    values = np.array(image, dtype=np.float64)
    values -= np.mean(values)
    for axis, size in enumerate(values.shape):
        values *= np.hanning(size).reshape([-1 if other == axis else 1 for other in range(values.ndim)])
    return np.asarray(fft.rfftn(values, overwrite_x=True))
