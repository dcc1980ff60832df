"""The metrics of the splits (tables of means, distributions over volumes) and of one volume (table, slice by slice)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.reporting.figures.distributions import Distribution, draw_distributions
from pipeline.reporting.figures.lines import Line, draw_lines
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.metric_table import Column, first_region, split_table
from pipeline.reporting.numbers import format_share
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Figure, Figures, Folded, Heading, Section, Table, Text
from pipeline.reporting.titles import SPLIT_ORDER, TESTED, in_order, method_style, method_title, split_claim
from pipeline.reporting.volume_metrics import pairwise_table, slice_values
from pipeline.reporting.volume_report import VolumeReport, curve_methods

UNREADABLE = ("nearest",)
"""Methods so much worse that drawing them would squeeze the others together."""


def for_index(run: RunRecord) -> Section:
    """Show the distributions and the means of every metric, the validation split folded."""
    evaluated = [split for split in SPLIT_ORDER if split in distinct(run.summary, "split")]
    figures, blocks = distribution_figures(run), []
    if figures:
        blocks += [Figures(figures, "wide", "Distributions of the metrics"), _reading_note(run)]
    for split in evaluated:
        if split != "val":
            blocks += [Heading(run.split_title(split), split), _table(run, split)]
    if evaluated:
        blocks.append(table_note(split_table(run.summary, evaluated[0], run.deliver).baselines(), run.confidence))
    if "val" in evaluated:
        claim = split_claim("val", self_supervised=run.provenance.config.is_self_supervised)
        folded: tuple[Block, ...] = (Text(claim, "note"), _table(run, "val"))
        blocks.append(Folded("Validation: used to choose settings, no evidence", folded))
    return Section("numbers", "Metrics", tuple(blocks), link="Metrics")


def _table(run: RunRecord, split: str) -> Table:
    count = len(distinct(where(run.volumes, split=split), "volume"))
    caption = f"Mean over {count} volume{'s' if count != 1 else ''} of the split {split}"
    return split_table(run.summary, split, run.deliver).table(f"metrics-{split}", caption)


def table_note(baselines: str, confidence: float) -> Text:
    """Explain the table of metrics."""
    return Text(
        "Bold on a tint: best value of the column. Below each value: difference from the best baseline and its "
        f"{format_share(confidence)} confidence interval, for networks in green or red where it excludes zero. The "
        f"best baseline was chosen on validation: {baselines}.",
        "note",
    )


def _reading_note(run: RunRecord) -> Text:
    left_out = "" if run.deliver in UNREADABLE else " Nearest neighbour is not drawn."
    return Text(
        "Left: a stroke for every volume, or for every slice where a split has one volume; a box from the lower to the "
        "upper quartile with a line at the median. Right: the same for the paired differences from the best baseline, "
        f"with the mean as a point and its {format_share(run.confidence)} confidence interval as a bar.{left_out}",
        "note",
    )


def distribution_figures(run: RunRecord) -> tuple[Figure, ...]:
    """Draw the distribution of every metric over the first region on each test split.

    For a split of one volume, the figure shows its slices instead, where the metric was computed on slices.
    """
    splits = [split for split in TESTED if split in distinct(run.summary, "split")]
    return tuple(figure for split in splits for column in run.main_columns for figure in _figure(run, split, column))


def _figure(run: RunRecord, split: str, column: Column) -> Iterator[Figure]:
    place = {"split": split, "region": column.region, "metric": column.metric}
    table, unit = where(run.volumes, **place), "volume"
    slices = where(run.slices, **place)
    if len(distinct(table, "volume")) == 1 and not slices.empty:
        table, unit = slices, "slice"
    values: Any = table.pivot_table(index=unit, columns="method", values="value", aggfunc="first", sort=True)
    scores = {row["method"]: row for row in records(where(run.summary, **place))}
    methods = [name for name in in_order(scores, run.deliver) if name in values and name not in UNREADABLE]
    if not methods or column.baseline not in values:
        return
    rows = [
        Distribution(
            label=method_title(name),
            values=values[name].to_numpy(float),
            differences=(values[name] - values[column.baseline]).to_numpy(float),
            mean=float(scores[name]["diff"]),
            low=float(scores[name]["diff_ci_low"]),
            high=float(scores[name]["diff_ci_high"]),
            style=method_style(name, run.deliver),
        )
        for name in methods
    ]
    direction = "higher is better" if column.higher_is_better else "lower is better"
    title = f"{run.split_title(split)}: {column.title}, {direction}"
    difference = f"difference from {method_title(column.baseline)}"
    count = f"{len(values)} {unit}{'s' if len(values) != 1 else ''}"
    means = "; ".join(f"{row.label} {column.format(row.mean, sign=True)}" for row in rows)
    image = draw_distributions(title, column.heading, difference, rows)
    yield Figure(image, f"{title}, over {count}. Mean {difference}: {means}", f"Strokes are {count}.")


def for_volume(volume: VolumeReport) -> Section:
    """Return the metric table of a volume, its pairwise differences and the metrics of its slices."""
    columns = volume.metrics.columns
    slice_count = len(distinct(where(volume.run.slices, volume=volume.id), "slice"))
    caption = table_caption(columns, slice_count, volume.id, stack=volume.is_stack)
    blocks: list[Block] = [
        volume.metrics.table("metrics", caption),
        table_note(volume.metrics.baselines(), volume.run.confidence),
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
    place = f"{reference.plane} {place}" if reference.is_anatomical and not volume.is_stack else place
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
