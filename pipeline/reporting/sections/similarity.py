"""Similarity of the main methods to the reference: spatial frequencies, an edge profile, and intensities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics._shells import NYQUIST, THRESHOLD, first_below
from pipeline.reporting.figures.gallery import LOW, REFERENCE, slice_label
from pipeline.reporting.figures.lines import Line, Marks, draw_lines
from pipeline.reporting.figures.viewer import display_unit
from pipeline.reporting.numbers import format_number
from pipeline.reporting.section import Figure, Figures, Section
from pipeline.reporting.similarity import FREQUENCIES
from pipeline.reporting.titles import method_style
from pipeline.reporting.volume_report import VolumeReport, curve_methods


def for_volume(volume: VolumeReport) -> Section:
    """Return the figures of a volume."""
    compared = volume.predictions.similarity
    drawn = [name for name in curve_methods(volume.baseline, volume.deliver) if name in compared]
    methods = {name: method_style(name, volume.deliver) for name in drawn}
    with_reference = {REFERENCE: "reference", **methods}
    profiled = {LOW: "input", **{name: style for name, style in with_reference.items() if name != "pretrained"}}
    return Section(
        "similarity",
        "Similarity to the reference",
        (Figures((*_correlation(volume, methods), _profile(volume, profiled), _intensities(volume, with_reference))),),
        link="Similarity",
    )


def _correlation(volume: VolumeReport, styles: dict[str, str]) -> Iterator[Figure]:
    """Draw the Fourier ring correlation, unless no slice is large enough."""
    titles, found = volume.predictions.titles, volume.predictions.similarity
    drawn = [method for method in styles if found[method].correlation.size]
    if not drawn:
        return
    factors = np.delete(volume.low.forward_model.factors, volume.reference.slice_axis)
    nyquist = NYQUIST / max(factors.tolist())
    image = draw_lines(
        "Correlation with the reference",
        "spatial frequency (cycles per reference voxel)",
        "Fourier ring correlation",
        [Line(titles[method], FREQUENCIES, found[method].correlation, styles[method]) for method in drawn],
        marks=[Marks("other", "Nyquist limit of the input", (nyquist,))] if nyquist < NYQUIST else (),
        whole_numbers=False,
    )
    cut_offs = "; ".join(
        f"{titles[method]} {format_number(first_below(FREQUENCIES, found[method].correlation), 3)}" for method in drawn
    )
    caption = (
        "Mean over slices; 1 is perfect agreement at a frequency and 0 is none. Frequency at which the correlation "
        f"falls below {THRESHOLD:g}, in cycles per voxel: {cut_offs}. No method can agree with the noise of the "
        "reference."
    )
    yield Figure(image, f"Fourier ring correlation with the reference. {caption}", caption)


def _profile(volume: VolumeReport, styles: dict[str, str]) -> Figure:
    titles, found = volume.predictions.titles, volume.predictions.similarity
    unit, per_unit = display_unit(volume.reference)
    line = volume.predictions.similarity_reference.line
    image = draw_lines(
        "Profile across the strongest edge",
        f"distance from the edge ({unit})",
        "intensity",
        [
            Line(titles[method], per_unit * line.distances, _in_units(volume, found[method].profile), style)
            for method, style in styles.items()
        ],
        whole_numbers=False,
    )
    caption = (
        f"{slice_label(line.index, volume.reference)}, across the strongest edge of the reference in the slices shown "
        f"(row {line.row}, column {line.column} of the displayed slice, from its upper left corner). A blurred edge "
        "rises slowly; overshoot on either side is ringing."
    )
    return Figure(image, f"Intensity profile. {caption}", caption)


def _intensities(volume: VolumeReport, styles: dict[str, str]) -> Figure:
    titles, found = volume.predictions.titles, volume.predictions.similarity
    edges = volume.predictions.similarity_reference.edges
    centres = _in_units(volume, (edges[:-1] + edges[1:]) / 2)
    lines = [
        Line(titles[method], centres, 100 * found[method].histogram / max(found[method].histogram.sum(), 1), style)
        for method, style in styles.items()
    ]
    image = draw_lines("Intensity distribution", "intensity", "% of the foreground", lines, whole_numbers=False)
    distances = "; ".join(
        f"{titles[method]} {format_number(found[method].distance, 4)}" for method in styles if method != REFERENCE
    )
    caption = (
        "Histogram of the foreground intensities. Wasserstein distance to the reference, as a fraction of the "
        f"normalised range: {distances}. Intensities outside the range are counted in the first or last bin."
    )
    return Figure(image, f"Intensity distribution. {caption}", caption)


def _in_units(volume: VolumeReport, normalised: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return intensities in the units of the image."""
    offset, scale = volume.reference.intensity.shown_range
    return offset + scale * np.asarray(normalised, dtype=np.float64)
