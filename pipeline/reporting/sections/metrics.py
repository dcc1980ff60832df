"""Metrics of a volume: all methods, pairwise differences, and the course over the slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.reporting.figures.lines import Line, draw_lines
from pipeline.reporting.section import Block, Figure, Figures, Folded, Section, Text
from pipeline.reporting.metric_table import Column, first_region
from pipeline.reporting.tables import distinct, where
from pipeline.reporting.titles import method_style, method_title
from pipeline.reporting.volume_metrics import pairwise_table, slice_values
from pipeline.reporting.volume_report import VolumeReport, curve_methods


def for_volume(volume: VolumeReport) -> Section:
    """Return the metric table of a volume, its pairwise differences and the metrics of its slices."""
    columns = volume.metrics.columns
    slice_count = len(distinct(where(volume.run.slices, volume=volume.id), "slice"))
    caption = table_caption(columns, slice_count, volume.id, stack=volume.is_stack)
    blocks: list[Block] = [
        volume.metrics.table("metrics", caption),
        Text(table_notes(volume.metrics, volume.run.confidence), "note"),
    ]
    pairwise = pairwise_table(volume.run, volume.id, first_region(columns), volume.deliver)
    if pairwise is not None:
        blocks.append(Folded("Deliverable versus every other method", (pairwise,)))
    blocks.append(Figures(tuple(_slice_curves(volume, first_region(columns)))))
    return Section("numbers", "Metrics", tuple(blocks), link="Metrics")


def table_caption(columns: Sequence[Column], slice_count: int, volume: str, *, stack: bool) -> str:
    """Describe the values of the metric table: means over slices, or values of the whole volume."""
    unit = "picture" if stack else "slice"
    caption = f"One {unit} of {volume}" if slice_count == 1 else f"Means over {slice_count} {unit}s of {volume}"
    wholes = [] if stack else list(dict.fromkeys(column.title for column in columns if column.of_volumes))
    return f"{caption}; of the whole volume: {', '.join(wholes)}" if wholes else caption


def _slice_curves(volume: VolumeReport, columns: Sequence[Column]) -> Iterator[Figure]:
    """Draw every metric of the first region over the slices for the main methods."""
    reference = volume.reference
    place = "picture of the stack" if volume.is_stack else "slice of the block"
    place = f"{reference.facts['plane']} {place}" if reference.is_anatomical and not volume.is_stack else place
    of_volume = where(volume.run.slices, volume=volume.id)
    for column in columns:
        here = where(of_volume, region=column.region, metric=column.metric)
        if here.empty:  # a metric of whole volumes
            continue
        lines = [
            Line(method_title(method), *slice_values(here, method), method_style(method, volume.deliver))
            for method in curve_methods(column.baseline, volume.deliver)
            if method in distinct(here, "method")
        ]
        title = f"{column.title}, {column.region_title.lower()}"
        yield Figure(
            draw_lines(title, place, column.heading, lines),
            f"{title}, by slice, for {', '.join(line.label for line in lines)}",
        )
