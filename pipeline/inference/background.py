"""Background around the head, which is interpolated instead of being computed by the network.

More than half of an image of a head is background. Each slice is cropped to a window around its tissue, with a margin
of background that is wide enough for the restored tissue to agree with that of the whole slice. The margin is measured
for each network at the end of its training (`pipeline.training.background_margin`), since the receptive field is larger
than a slice. Slices without tissue are interpolated as a whole.

Toward the edges of a window, which affect the output of the network, its result is blended with the interpolated
background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.image.foreground import bright_part
from pipeline.image.image import Image
from pipeline.models.record import NetworkRecord
from pipeline.physics.grid import Cut, padded_size

SIDE_MULTIPLE = 4
"""The sides of windows are multiples of this, which reduces the number of different sizes."""
NEW_SIZE_VOXELS, NEW_SIZE_VOXELS_FAST = 4096, 32768
"""Cost of preparing a network, and a fast network, for another window size, as the number of low-resolution voxels
restored in that time."""

TOLERANCE_SHARE = 0.5
"""Maximum measured change as a fraction of the tolerance, since slices that were not measured may change more."""


class Span(NamedTuple):
    """Extent of a window and of the tissue in it along one axis of a slice, in low-resolution voxels.

    Attributes:
        start: first voxel of the window.
        stop: voxel after the window.
        first: first voxel of the tissue.
        last: voxel after the tissue.
        size: number of voxels of the slice.
    """

    start: int
    stop: int
    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """Length of the window."""
        return self.stop - self.start

    def extended(self, length: int) -> Span:
        """Return the window extended to a length, within the slice."""
        start = min(max(0, self.start - (length - self.length) // 2), self.size - length)
        return self._replace(start=start, stop=start + length)

    def weights(self, factor: int) -> NDArray[np.float32]:
        """Return the blending weight of the network's output along the window, on the high-resolution grid.

        It is one over the tissue and the inner half of the margin, and falls linearly to zero over the outer half,
        except where the window ends at the edge of the slice.
        """
        place = self.start + (np.arange(self.length * factor) + 0.5) / factor
        low = (place - self.start) / max(1.0, (self.first - self.start) / 2)
        high = (self.stop - place) / max(1.0, (self.stop - self.last) / 2)
        rising = np.ones_like(place) if self.start == 0 else low
        falling = np.ones_like(place) if self.stop == self.size else high
        return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)


class Window(NamedTuple):
    """Part of a slice that is computed by the network."""

    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, in low-resolution voxels."""
        return self.rows.length, self.columns.length

    def place(self, factors: tuple[int, int] = (1, 1)) -> tuple[slice, slice]:
        """Return the rows and columns of the window in the slice or, given factors, in the restored slice."""
        rows, columns = (
            slice(span.start * factor, span.stop * factor) for span, factor in zip(self, factors, strict=True)
        )
        return rows, columns

    def weights(self, factors: tuple[int, int]) -> NDArray[np.float32]:
        """Return the blending weights of the network's output, on the high-resolution grid; see `Span.weights`."""
        return np.outer(self.rows.weights(factors[0]), self.columns.weights(factors[1]))


class Background(NamedTuple):
    """Background of a volume, which need not be computed by the network.

    Attributes:
        tissue: mask of everything brighter than the background, of the shape of the volume.
        margin: computed background around the tissue within the slices, in low-resolution voxels; None for all of it.
    """

    tissue: NDArray[np.bool_]
    margin: int | None


def needed_margin(record: NetworkRecord, tolerance: float) -> int | None:
    """Return the smallest margin at which the foreground changes by less than `tolerance`; None if none is known."""
    fits = [margin for margin, change in record.background_changes if change < TOLERANCE_SHARE * tolerance]
    return min(fits, default=None)


def has_background(image: Image) -> bool:
    """Return whether an image shows a head surrounded by background."""
    return image.is_anatomical and image.block.foreground_fraction < 1.0


def tissue_of(lr: NDArray[np.float32], slice_axis: int) -> NDArray[np.bool_]:
    """Return a mask of everything in a low-resolution volume that is brighter than the background.

    The slices are smoothed to suppress noise, and thresholded at half of Otsu's threshold. Tissue need not be
    connected.

    Args:
        lr: normalised intensities, shape (x, y, z).
        slice_axis: axis across the slices.
    """
    if lr.min() == lr.max():
        return np.ones(lr.shape, dtype=bool)
    return bright_part(lr, [axis for axis in range(lr.ndim) if axis != slice_axis])


def tissue_in_slices(tissue: NDArray[np.bool_], cut: Cut, factors: Sequence[float]) -> NDArray[np.bool_]:
    """Return the tissue mask of the slices along one cut of a volume, shape (slice, rows, columns).

    Args:
        tissue: mask of the volume.
        cut: how the volume is cut.
        factors: along slices, rows and columns, the number of voxels after interpolation per voxel of the volume. An
            interpolated voxel contains the tissue of both neighbours.
    """
    slices = np.moveaxis(tissue, cut, (0, 1, 2))
    for axis, factor in enumerate(factors):
        slices = slices if factor == 1 else _interpolated_tissue(slices, axis, factor)
    return slices


def _interpolated_tissue(slices: NDArray[np.bool_], axis: int, factor: float) -> NDArray[np.bool_]:
    size = slices.shape[axis]
    padded = np.moveaxis(np.pad(slices, [(int(other == axis),) * 2 for other in range(slices.ndim)]), axis, 0)
    near = np.moveaxis(padded[:-2] | padded[1:-1] | padded[2:], 0, axis)
    cells = np.minimum(((np.arange(padded_size(size, factor)) + 0.5) / factor).astype(int), size - 1)
    return np.take(near, cells, axis)


def windows_around(
    tissue: NDArray[np.bool_], margin: int | None, passes: int = 1, *, is_fast: bool = False
) -> list[Window | None]:
    """Return the window of each slice that is computed by the network; None for slices without tissue.

    Args:
        tissue: shape (slice, rows, columns).
        margin: background to be computed on all sides of the tissue, in voxels; None for the whole of each slice.
        passes: number of forward passes per window; with more passes, more different sizes are worth their preparation.
        is_fast: whether the network is a fast one, for which fewer sizes are worth it.
    """
    exact = [_around(one, max(one.shape) if margin is None else margin) for one in tissue]
    counts = Counter(window.shape for window in exact if window)
    merged = _merged(counts, passes, NEW_SIZE_VOXELS_FAST if is_fast else NEW_SIZE_VOXELS)
    return [window and Window(*map(Span.extended, window, merged[window.shape])) for window in exact]


def _around(tissue: NDArray[np.bool_], margin: int) -> Window | None:
    spans = []
    for axis in (0, 1):
        filled = np.flatnonzero(tissue.any(axis=1 - axis))
        if not filled.size:
            return None
        size, first, last = tissue.shape[axis], int(filled[0]), int(filled[-1]) + 1
        start, stop = max(0, first - margin), min(size, last + margin)
        spans.append(
            Span(start, stop, first, last, size).extended(
                min(size, -(-(stop - start) // SIDE_MULTIPLE) * SIDE_MULTIPLE)
            )
        )
    return Window(*spans)


def _merged(counts: Counter[tuple[int, int]], passes: int, new_size: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Map each window size to the one that is computed; sizes are merged where this takes less time."""
    members, number = {shape: [shape] for shape in counts}, dict(counts)

    def joined(pair: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return max(rows for rows, _ in pair), max(columns for _, columns in pair)

    def saved(pair: Sequence[tuple[int, int]]) -> int:
        rows, columns = joined(pair)
        return new_size - passes * sum(number[one] * (rows * columns - one[0] * one[1]) for one in pair)

    while len(members) > 1:
        best = max(combinations(sorted(members), 2), key=saved)
        if saved(best) <= 0:
            break
        target = joined(best)
        for one in set(best) - {target}:
            members.setdefault(target, []).extend(members.pop(one))
            number[target] = number.get(target, 0) + number.pop(one)
    return {shape: target for target, shapes in members.items() for shape in shapes}


def computed_share(windows: Sequence[Window | None], shape: tuple[int, int]) -> float:
    """Return the fraction of all slices that is computed, between 0 and 1."""
    voxels = sum(window.shape[0] * window.shape[1] for window in windows if window)
    return voxels / (len(windows) * shape[0] * shape[1])
