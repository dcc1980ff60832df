"""How close methods come to the reference of one volume: by frequency, along an edge, and in their intensities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.image.image import Image
from pipeline.metrics._shells import NYQUIST, THRESHOLD, first_below, shell_correlation
from pipeline.reporting.figures.lines import Line, Marks, draw_lines
from pipeline.reporting.figures.slices import bounding_box, draw_slice, drawn_slices, drawn_spacing

FREQUENCIES = (np.arange(64) + 0.5) / 128
"""In cycles per voxel, up to the highest there is; the rings of slices of any size are read off at these."""
MAX_SLICES = 40
"""Slices over which the correlation is averaged; more change nothing that is seen."""
BINS = 48
PROFILE_REACH = 10.0
"""Of the line to either side of the edge, in the shorter side of a voxel."""
PROFILE_STEP = 0.25
EDGE_SIGMA = 1.0
"""Of the Gaussian that keeps noise from being taken for an edge, in voxels."""


@dataclass(frozen=True)
class Profile:
    """A line across an edge of a drawn slice.

    Attributes:
        index: of the slice.
        row: of its middle, which lies on the edge.
        column: of its middle.
        rows: of its points.
        columns: of its points.
        distances: of its points from the edge, in the unit of the volume; negative on the dark side.
    """

    index: int
    row: int
    column: int
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Closeness:
    """What is kept of a volume for the drawings.

    Attributes:
        correlation: with the reference, at `FREQUENCIES`, mean over slices; empty where no slice is large enough.
        counts: voxels of the foreground by intensity, shape (BINS,).
        distance: between the distributions of its intensities and of the reference's, see `distribution_distance`.
        profile: normalised intensities along the line.
    """

    correlation: NDArray[np.float64]
    counts: NDArray[np.int64]
    distance: float
    profile: NDArray[np.float64]


class Yardstick:
    """The reference of a volume, made ready for comparing methods with it."""

    def __init__(self, reference: Image, shown: Sequence[int]) -> None:
        """Choose the line by the reference alone, so that no method is favoured.

        Args:
            reference: extracted volume with its foreground.
            shown: slices of which the strongest edge is looked for.
        """
        axis = reference.slice_axis
        self.reference = reference
        self.drawn = drawn_slices(np.asarray(reference.data), axis)
        self.mask = drawn_slices(reference.masks["foreground"], axis)
        self.sorted = np.sort(self.drawn[self.mask])
        self.edges = np.linspace(0.0, float(np.percentile(self.sorted, 99.9)) * 1.05, BINS + 1)
        slices = reference.block.foreground_slices
        places = np.unique(np.linspace(0, len(slices) - 1, min(len(slices), MAX_SLICES)).round().astype(int))
        self.slices = [slices[place] for place in places]
        self.profile = strongest_edge(reference, shown)

    def compare(self, drawn: NDArray[np.floating]) -> Closeness:
        """Compare a volume's drawn slices, of the shape of the reference's, normalised, with the reference."""
        values = drawn[self.mask]
        return Closeness(
            correlation=self.correlation(drawn),
            counts=np.histogram(np.clip(values, self.edges[0], self.edges[-1]), self.edges)[0],
            distance=distribution_distance(self.sorted, np.sort(values)),
            profile=along(drawn[self.profile.index], self.profile),
        )

    def correlation(self, drawn: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean over slices of the correlation of rings of frequencies (pipeline/metrics/_shells.py)."""
        found = []
        for index in self.slices:
            mask = self.mask[index]
            if not mask.any():
                continue
            box = bounding_box([mask], margin=0.0)
            frequencies, values = shell_correlation(box.cut(self.drawn[index]), box.cut(drawn[index]))
            if frequencies.size:
                found.append(np.interp(FREQUENCIES, frequencies, values))
        return np.mean(found, axis=0) if found else np.empty(0)


def distribution_distance(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return the Wasserstein distance of order one between two samples of the same size.

    In one dimension it is the mean absolute difference of the sorted samples (Vallender, Theory of Probability and Its
    Applications 18:784-786, 1974): by how much intensities would have to be changed on average, where their places do
    not matter.

    Args:
        one: sorted values.
        other: sorted values, of the same shape.
    """
    return float(np.mean(np.abs(one.astype(np.float64) - other)))


def strongest_edge(reference: Image, shown: Sequence[int]) -> Profile:
    """Return the line across the strongest edge of some drawn slices, along the gradient, away from their borders."""
    from scipy import ndimage

    axis = reference.slice_axis
    blur: Any = ndimage.gaussian_filter
    steps = np.array(drawn_spacing(reference.spacing, axis))
    reach = PROFILE_REACH * float(steps.min())
    best: tuple[float, Any] = (-1.0, None)
    for index in shown:
        drawn = draw_slice(np.asarray(reference.data), axis, index).astype(np.float64)
        inside = draw_slice(reference.masks["foreground"], axis, index)
        slopes = [
            blur(drawn, EDGE_SIGMA, order=order) / step for order, step in zip(((1, 0), (0, 1)), steps, strict=True)
        ]
        strength = np.hypot(*slopes) * inside * _far_from_border(drawn.shape, reach / steps)
        place = np.unravel_index(int(np.argmax(strength)), strength.shape)
        if strength[place] > best[0]:
            best = float(strength[place]), (index, place, np.array([slope[place] for slope in slopes]))
    index, place, slope = best[1]
    direction = slope / max(float(np.hypot(*slope)), 1e-12)
    distances = np.arange(-reach, reach + 1e-9, PROFILE_STEP * float(steps.min()))
    rows, columns = (place[side] + distances * direction[side] / steps[side] for side in (0, 1))
    return Profile(int(index), int(place[0]), int(place[1]), rows, columns, distances)


def _far_from_border(shape: tuple[int, ...], reach: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the pixels around which a line fits into the picture; all, where it fits nowhere."""
    rows, columns = (np.arange(size) for size in shape)
    far = [
        (places >= side) & (places < size - side)
        for places, side, size in zip((rows, columns), reach, shape, strict=True)
    ]
    marked = np.logical_and.outer(*far)
    return marked if marked.any() else np.ones(shape, dtype=bool)


def along(drawn: NDArray[np.floating], profile: Profile) -> NDArray[np.float64]:
    """Read a drawn slice off along a line, linearly between its pixels."""
    from scipy import ndimage

    points = np.stack([profile.rows, profile.columns])
    return np.asarray(ndimage.map_coordinates(drawn.astype(np.float64), points, order=1, mode="nearest"))


def correlation_drawing(
    found: Mapping[str, Closeness], titles: Mapping[str, str], styles: Mapping[str, str], factors: Sequence[int]
) -> dict[str, str] | None:
    """Draw the correlation with the reference over the frequency; None where no slice is large enough.

    Args:
        found: by method.
        titles: of the methods.
        styles: of the lines (keys of `STYLES`) by method, in the order in which they are drawn.
        factors: of the axes of a slice: above half their inverse, nothing was measured.
    """
    drawn = [method for method in styles if found[method].correlation.size]
    if not drawn:
        return None
    lines = [Line(titles[method], FREQUENCIES, found[method].correlation, styles[method]) for method in drawn]
    limit = NYQUIST / max(factors)
    image = draw_lines(
        "Correlation with the reference, by frequency",
        "spatial frequency (cycles per voxel of the reference)",
        "ring correlation",
        lines,
        marks=[Marks("other", "measured up to here", (limit,))] if limit < NYQUIST else (),
        whole_numbers=False,
    )
    cut_offs = "; ".join(
        f"{titles[method]} {first_below(FREQUENCIES, found[method].correlation):.3f}" for method in drawn
    )
    caption = (
        "1 is full agreement at that frequency, 0 none; mean over the slices. The frequency at which it falls below "
        f"{THRESHOLD:g}, in cycles per voxel: {cut_offs}. Where the reference is noise, no method can agree with it."
    )
    return {"image": image, "text": f"Fourier ring correlation with the reference. {caption}", "caption": caption}


def _in_units(normalised: NDArray[np.floating], reference: Image) -> NDArray[np.float64]:
    """Return intensities in the units of the image."""
    offset, scale = reference.intensity.shown_range
    return offset + scale * np.asarray(normalised, dtype=np.float64)


def profile_drawing(
    found: Mapping[str, Closeness],
    titles: Mapping[str, str],
    styles: Mapping[str, str],
    yardstick: Yardstick,
    where: str,
) -> dict[str, str]:
    """Draw intensities along the line; `where` names the slice, other arguments as in `correlation_drawing`."""
    reference, line = yardstick.reference, yardstick.profile
    lines = [
        Line(titles[method], line.distances, _in_units(found[method].profile, reference), style)
        for method, style in styles.items()
    ]
    image = draw_lines(
        "Across the strongest edge",
        f"distance from the edge ({reference.unit})",
        "intensity",
        lines,
        whole_numbers=False,
    )
    caption = (
        f"{where}, across the strongest edge of the reference in the slices shown (row {line.row}, "
        f"column {line.column} of "
        "the slice as drawn, counted from its upper left). A blurred edge climbs slowly; a swing beyond the reference "
        "on "
        "either side is ringing."
    )
    return {"image": image, "text": f"Intensities along a line. {caption}", "caption": caption}


def distribution_drawing(
    found: Mapping[str, Closeness], titles: Mapping[str, str], styles: Mapping[str, str], yardstick: Yardstick
) -> dict[str, str]:
    """Draw how often each intensity occurs in the foreground; arguments as in `profile_drawing`."""
    middles = (yardstick.edges[:-1] + yardstick.edges[1:]) / 2
    lines = [
        Line(titles[method], _in_units(middles, yardstick.reference), 100 * shares(found[method].counts), style)
        for method, style in styles.items()
    ]
    image = draw_lines("Distribution of intensities", "intensity", "% of the foreground", lines, whole_numbers=False)
    distances = "; ".join(
        f"{titles[method]} {found[method].distance:.4f}" for method in styles if method != "reference"
    )
    caption = (
        "How often each intensity occurs in the foreground. Wasserstein distance to the reference's distribution, as a "
        f"share of the normalised range: {distances}. Intensities beyond the ends are counted at the ends."
    )
    return {"image": image, "text": f"Distribution of intensities. {caption}", "caption": caption}


def shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return counts as shares of their sum."""
    return counts / max(int(counts.sum()), 1)
