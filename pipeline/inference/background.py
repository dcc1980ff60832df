"""Background around the head: recognised, left out of the computation, and filled by interpolation.

More than half of a head's image is background. Each slice is cut to a window around its tissue and as much background
as the network needs to give the tissue the values that it would have in the whole slice. How much that is, is measured
for each network at the end of its training (`pipeline.training.background_margin`): the receptive field is of no
help, it is larger than a slice. Slices without tissue are not computed at all.

Toward its edges, where the cut disturbs the network, a window's result passes into the interpolated background.
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
from pipeline.physics.grid import Cut

STEP = 4
"""Windows have sides that this divides, so that there are fewer sizes."""
NEW_SIZE = 4096
"""A network is made ready for a further size in about the time in which it restores so many low-resolution voxels."""

RESERVE = 0.5
"""Share of the tolerance that the measured change may take: other slices than those measured change more."""


class Span(NamedTuple):
    """What is computed of a slice along one axis, and what of it is tissue; in low-resolution voxels.

    Attributes:
        start: of the window.
        stop: of the window.
        first: of the tissue.
        last: of the tissue, the voxel after it.
        size: of the slice.
    """

    start: int
    stop: int
    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """Of the window."""
        return self.stop - self.start

    def grown(self, length: int) -> Span:
        """Return a longer window that lies within the slice."""
        start = min(max(0, self.start - (length - self.length) // 2), self.size - length)
        return self._replace(start=start, stop=start + length)

    def weights(self, factor: int) -> NDArray[np.float32]:
        """Return the share of the computed values along the window, on the fine grid.

        One over the tissue and half of the background around it, from there falling to nothing, but for sides where the
        slice itself ends.
        """
        place = self.start + (np.arange(self.length * factor) + 0.5) / factor
        low = (place - self.start) / max(1.0, (self.first - self.start) / 2)
        high = (self.stop - place) / max(1.0, (self.stop - self.last) / 2)
        rising = np.ones_like(place) if self.start == 0 else low
        falling = np.ones_like(place) if self.stop == self.size else high
        return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)


class Window(NamedTuple):
    """What is computed of a slice."""

    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, in low-resolution voxels."""
        return self.rows.length, self.columns.length

    def place(self, factors: tuple[int, int] = (1, 1)) -> tuple[slice, slice]:
        """Return where it lies in the slice, or, with factors, in the restored one."""
        rows, columns = (
            slice(span.start * factor, span.stop * factor) for span, factor in zip(self, factors, strict=True)
        )
        return rows, columns

    def weights(self, factors: tuple[int, int]) -> NDArray[np.float32]:
        """Return the share of the computed values, on the fine grid; see `Span.weights`."""
        return np.outer(self.rows.weights(factors[0]), self.columns.weights(factors[1]))


class Background(NamedTuple):
    """What need not be computed of a volume.

    Attributes:
        tissue: what stands out from background, of the volume's shape.
        margin: background to be computed around it within the slices, in low-resolution voxels; None stands for all of
            it.
    """

    tissue: NDArray[np.bool_]
    margin: int | None


def needed_margin(record: NetworkRecord, tolerance: float) -> int | None:
    """Return the smallest margin at which the foreground changes by less than `tolerance`; None where none is known."""
    fits = [margin for margin, change in record.background_changes if change < RESERVE * tolerance]
    return min(fits, default=None)


def has_background(image: Image) -> bool:
    """Whether an image shows a head in background: its foreground was looked for and is not all of it."""
    return image.is_anatomical and image.block.foreground_fraction < 1.0


def tissue_of(lr: NDArray[np.float32], slice_axis: int) -> NDArray[np.bool_]:
    """Find everything in a low-resolution volume that stands out from background, connected or not.

    Above half of Otsu's threshold once the slices are smoothed, which takes the noise away.

    Args:
        lr: normalised intensities, shape (x, y, z).
        slice_axis: axis along which the slices follow each other.
    """
    if lr.min() == lr.max():
        return np.ones(lr.shape, dtype=bool)
    return bright_part(lr, [axis for axis in range(lr.ndim) if axis != slice_axis])


def tissue_in_slices(tissue: NDArray[np.bool_], cut: Cut, factor: int) -> NDArray[np.bool_]:
    """Return the tissue of the slices of one way to cut a volume, shape (slice, rows, columns).

    Args:
        tissue: of the volume.
        cut: the way.
        factor: slices for each of the volume, between which they are interpolated: those hold tissue of both.
    """
    slices = np.moveaxis(tissue, cut, (0, 1, 2))
    if factor == 1:
        return slices
    padded = np.pad(slices, ((1, 1), (0, 0), (0, 0)))
    return np.repeat(padded[:-2] | padded[1:-1] | padded[2:], factor, axis=0)


def windows_around(tissue: NDArray[np.bool_], margin: int | None, passes: int = 1) -> list[Window | None]:
    """Return what to compute of each slice; None of one without tissue.

    Args:
        tissue: shape (slice, rows, columns).
        margin: background to be computed on all sides of the tissue, in voxels; None for the whole of each slice.
        passes: how often each window is computed; the more often, the more sizes pay.
    """
    exact = [_around(one, max(one.shape) if margin is None else margin) for one in tissue]
    counts = Counter(window.shape for window in exact if window)
    merged = _merged(counts, passes)
    return [window and _grown(window, merged[window.shape]) for window in exact]


def _around(tissue: NDArray[np.bool_], margin: int) -> Window | None:
    spans = []
    for axis in (0, 1):
        filled = np.flatnonzero(tissue.any(axis=1 - axis))
        if not filled.size:
            return None
        size, first, last = tissue.shape[axis], int(filled[0]), int(filled[-1]) + 1
        start, stop = max(0, first - margin), min(size, last + margin)
        spans.append(Span(start, stop, first, last, size).grown(min(size, -(-(stop - start) // STEP) * STEP)))
    return Window(*spans)


def _grown(window: Window, shape: tuple[int, int]) -> Window:
    return Window(*(span.grown(length) for span, length in zip(window, shape, strict=True)))


def _merged(counts: Counter[tuple[int, int]], passes: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Return for each size the one that is computed in its stead: two become one where that takes less time."""
    members, number = {shape: [shape] for shape in counts}, dict(counts)

    def joined(pair: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return max(rows for rows, _ in pair), max(columns for _, columns in pair)

    def saved(pair: Sequence[tuple[int, int]]) -> int:
        rows, columns = joined(pair)
        return NEW_SIZE - passes * sum(number[one] * (rows * columns - one[0] * one[1]) for one in pair)

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
    """Return how much of all slices is computed, between 0 and 1."""
    voxels = sum(window.shape[0] * window.shape[1] for window in windows if window)
    return voxels / (len(windows) * shape[0] * shape[1])
