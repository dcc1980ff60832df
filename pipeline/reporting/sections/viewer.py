"""Interactive viewer of all methods of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.reporting.figures.gallery import LOW, REFERENCE, picture_label
from pipeline.reporting.figures.viewer import Packed, pack, viewer_data
from pipeline.reporting.prediction_summary import uncertainty_layer
from pipeline.reporting.section import Section, Template
from pipeline.reporting.volume_report import VolumeReport, main_methods

LEDGER_BASE = "bspline3"
"""Interpolation of the low-resolution input, relative to which the viewer displays added detail."""


@dataclass(frozen=True)
class Viewer:
    """Content of the template.

    Attributes:
        data: values that the script reads.
        packed: sheets of slices.
        slices: number of pictures that the volume has in the displayed part.
        is_stack: whether the slices are unordered pictures.
    """

    data: dict[str, Any]
    packed: Packed
    slices: int
    is_stack: bool


def for_volume(volume: VolumeReport) -> Section:
    """Return the viewer, which first compares the deliverable with the best baseline."""
    predictions, top = volume.predictions, volume.gallery.error_top
    main = main_methods(predictions.titles, volume.baseline, volume.deliver)
    maps = []
    if volume.uncertainty is not None:
        maps = [uncertainty_layer(volume.uncertainty, volume.reference, predictions.crop, top)]
    packed = pack([*predictions.layers, *maps], predictions.crop, [*main, LEDGER_BASE])
    shown = [layer["name"] for layer in packed.layers if layer["role"] != "map"]
    estimates = [name for name in shown if name not in (LOW, REFERENCE)] or [LOW]
    first = volume.deliver if volume.deliver in shown else estimates[-1]
    data = viewer_data(
        packed,
        volume.reference,
        white=volume.gallery.window,
        error_top=top,
        base=LEDGER_BASE,
        first=first,
        second=volume.baseline if volume.baseline in shown and volume.baseline != first else LOW,
        keys=list(dict.fromkeys([*main, *shown])),
        labels=[picture_label(index, volume.reference) for index in packed.crop.pictures],
    )
    content = Viewer(data, packed, len(predictions.crop.pictures), volume.is_stack)
    return Section("viewer-section", "Viewer", (Template("viewer", content),), link="Viewer")
