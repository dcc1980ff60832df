"""The detail ledger: how much of the detail that a method added is right, how much it invented, how much is missing.

The idea is that of opensr-test (Aybar et al., IEEE Geoscience and Remote Sensing Letters 21, 2024): what a method makes
of an image is compared with plain interpolation of the measurement and with the reference, voxel by voxel. Here it is
an account of amounts. The reference differs from the interpolated measurement by the detail that was to be added; the
result differs from it by the detail that was added. Where both have one sign, the smaller of the two is `right`. What
was to be added beyond it is `missing`, what was added beyond it, or against the reference, is `invented`:

    right + missing  = |reference - measured|
    right + invented = |restored - measured|

The three shares of their sum are the numbers of a method; together they are 1. Plain interpolation has 0, 1 and 0, the
reference 1, 0 and 0. Taking noise out of the measurement counts as detail like any other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANNELS = ("right", "missing", "invented")
"""Order of the last axis of `detail_map`, and of the shares."""


class Shares(NamedTuple):
    """Shares of all detail that is in the reference or in the result; together they are 1.

    Attributes:
        right: added as the reference has it.
        missing: in the reference alone.
        invented: in the result alone.
    """

    right: float
    missing: float
    invented: float


def detail_map(
    reference: NDArray[np.floating], restored: NDArray[np.floating], measured: NDArray[np.floating], data_range: float
) -> NDArray[np.float32]:
    """Return how much detail is right, missing and invented at every voxel.

    Args:
        reference: normalised intensities, a slice or a volume.
        restored: what a method made of the measurement, of the same shape.
        measured: the measurement, interpolated to the same grid.
        data_range: intensity that counts as the full range.

    Returns:
        Fractions of the range, zero and above, float32, of the shape of the reference and a last axis of three:
        `CHANNELS`.
    """
    wanted = np.asarray(reference, dtype=np.float64) - measured
    added = np.asarray(restored, dtype=np.float64) - measured
    smaller = np.minimum(np.abs(wanted), np.abs(added))
    right = np.where(np.sign(wanted) == np.sign(added), smaller, 0.0)
    channels = (right, np.abs(wanted) - right, np.abs(added) - right)
    return (np.stack(channels, axis=-1) / data_range).astype(np.float32)


def shares(
    reference: NDArray[np.floating],
    restored: NDArray[np.floating],
    measured: NDArray[np.floating],
    mask: NDArray[np.bool_],
) -> Shares:
    """Return the shares over a region; arguments as in `detail_map`.

    Args:
        reference: as in `detail_map`.
        restored: as in `detail_map`.
        measured: as in `detail_map`.
        mask: the region, not empty.

    Returns:
        The shares; where there is no detail at all, in neither, all of it is right.
    """
    amounts = detail_map(reference, restored, measured, 1.0)[mask].sum(axis=0, dtype=np.float64)
    total = float(amounts.sum())
    return Shares(*(float(amount) / total for amount in amounts)) if total else Shares(1.0, 0.0, 0.0)
