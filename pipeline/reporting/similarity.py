"""Similarity of restored volumes to the reference: by spatial frequency, across an edge, and of the intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.image import Image
from pipeline.metrics._shells import shell_correlation
from pipeline.reporting.figures.slices import bounding_box, display_slice, display_slices, display_spacing

FREQUENCIES = (np.arange(64) + 0.5) / 128
"""Spatial frequencies of the correlation in cycles per voxel, to which slices of any size are interpolated."""
MAX_SLICES = 40
"""Maximum number of slices over which the correlation is averaged."""
BINS = 48
PROFILE_REACH = 10.0
"""Half the length of the line profile, in units of the smaller in-plane voxel size."""
PROFILE_STEP = 0.25
EDGE_SIGMA = 1.0
"""Standard deviation of the Gaussian derivative that detects edges, in voxels."""


@dataclass(frozen=True)
class ProfileLine:
    """A line across an edge of a displayed slice.

    Attributes:
        index: index of the slice.
        row: row of its centre, which lies on the edge.
        column: column of its centre.
        rows: rows of its points.
        columns: columns of its points.
        distances: signed distances of its points from the edge, in the unit of the volume; negative on the dark side.
    """

    index: int
    row: int
    column: int
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    distances: NDArray[np.float64]

    def sample(self, displayed: NDArray[np.floating]) -> NDArray[np.float64]:
        """Interpolate a displayed slice linearly at the points of the line."""
        from scipy import ndimage

        points = np.stack([self.rows, self.columns])
        return np.asarray(ndimage.map_coordinates(displayed.astype(np.float64), points, order=1, mode="nearest"))


@dataclass(frozen=True)
class Similarity:
    """Similarity of one volume to the reference.

    Attributes:
        correlation: Fourier ring correlation at `FREQUENCIES`, mean over slices; empty if no slice is large enough.
        histogram: number of foreground voxels by intensity, shape (BINS,).
        distance: Wasserstein distance between the intensities of the volume and of the reference in the foreground.
        profile: normalised intensities along the line profile.
    """

    correlation: NDArray[np.float64]
    histogram: NDArray[np.int64]
    distance: float
    profile: NDArray[np.float64]


class SimilarityReference:
    """A reference volume, prepared for the comparison with restored volumes."""

    def __init__(self, reference: Image, shown: Sequence[int]) -> None:
        """Choose the line profile from the reference alone, so that no method is favoured.

        Args:
            reference: extracted volume with its foreground.
            shown: slices in which the strongest edge is searched for.
        """
        axis = reference.slice_axis
        self.reference = reference
        self.slices = display_slices(np.asarray(reference.data), axis)
        self.mask = display_slices(reference.masks["foreground"], axis)
        self.sorted = np.sort(self.slices[self.mask])
        self.edges = np.linspace(0.0, float(np.percentile(self.sorted, 99.9)) * 1.05, BINS + 1)
        indices = reference.block.foreground_slices
        places = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), MAX_SLICES)).round().astype(int))
        self.correlated = [indices[place] for place in places]
        self.line = strongest_edge(reference, shown)

    def compare(self, slices: NDArray[np.floating]) -> Similarity:
        """Compare the displayed slices of a volume, normalised and of the reference's shape, with the reference."""
        values = slices[self.mask]
        return Similarity(
            correlation=self.correlation(slices),
            histogram=np.histogram(np.clip(values, self.edges[0], self.edges[-1]), self.edges)[0],
            distance=wasserstein_distance(self.sorted, np.sort(values)),
            profile=self.line.sample(slices[self.line.index]),
        )

    def correlation(self, slices: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean Fourier ring correlation over slices (see pipeline/metrics/_shells.py)."""
        found = []
        for index in self.correlated:
            mask = self.mask[index]
            if not mask.any():
                continue
            box = bounding_box([mask], margin=0.0)
            frequencies, values = shell_correlation(box.cut(self.slices[index]), box.cut(slices[index]))
            if frequencies.size:
                found.append(np.interp(FREQUENCIES, frequencies, values))
        return np.mean(found, axis=0) if found else np.empty(0)


def wasserstein_distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the Wasserstein distance of order one between two sorted samples of the same size.

    In one dimension it is the mean absolute difference of the sorted samples (Vallender, Theory of Probability and Its
    Applications 18:784-786, 1974).
    """
    return float(np.mean(np.abs(one.astype(np.float64) - other)))


def strongest_edge(reference: Image, shown: Sequence[int]) -> ProfileLine:
    """Return the line across the strongest edge of some slices, along the gradient and away from the image border."""
    from scipy import ndimage

    axis = reference.slice_axis
    derivative: Any = ndimage.gaussian_filter
    steps = np.array(display_spacing(reference.spacing, axis))
    reach = PROFILE_REACH * float(steps.min())
    best: tuple[float, Any] = (-1.0, None)
    for index in shown:
        displayed = display_slice(np.asarray(reference.data), axis, index).astype(np.float64)
        foreground = display_slice(reference.masks["foreground"], axis, index)
        gradient = [
            derivative(displayed, EDGE_SIGMA, order=order) / step
            for order, step in zip(((1, 0), (0, 1)), steps, strict=True)
        ]
        strength = np.hypot(*gradient) * foreground * _inner_pixels(displayed.shape, reach / steps)
        place = np.unravel_index(int(np.argmax(strength)), strength.shape)
        if strength[place] > best[0]:
            best = float(strength[place]), (index, place, np.array([component[place] for component in gradient]))
    index, place, gradient = best[1]
    direction = gradient / max(float(np.hypot(*gradient)), 1e-12)
    distances = np.arange(-reach, reach + 1e-9, PROFILE_STEP * float(steps.min()))
    rows, columns = (place[side] + distances * direction[side] / steps[side] for side in (0, 1))
    return ProfileLine(int(index), int(place[0]), int(place[1]), rows, columns, distances)


def _inner_pixels(shape: tuple[int, ...], reach: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the pixels further than `reach` from the image border; all pixels if there are none."""
    rows, columns = (np.arange(size) for size in shape)
    inner = [
        (places >= side) & (places < size - side)
        for places, side, size in zip((rows, columns), reach, shape, strict=True)
    ]
    marked = np.logical_and.outer(*inner)
    return marked if marked.any() else np.ones(shape, dtype=bool)
