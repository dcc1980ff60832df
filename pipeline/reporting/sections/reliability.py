"""Reliability of the uncertainty map: the share of errors within its intervals."""

from __future__ import annotations

import pandas as pd

from pipeline.models.error_intervals import MAP_LEVEL
from pipeline.reporting.figures.reliability import by_person, level_figure, width_figure
from pipeline.reporting.frames import records, where
from pipeline.reporting.numbers import format_number, format_share
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Figure, Figures, Section, Table, Text, folded_table
from pipeline.reporting.volume_report import VolumeReport
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.uncertainty import UNCERTAINTY


def for_index(run: RunRecord) -> Section | None:
    """Compare nominal and observed coverage over the persons of the test splits."""
    levels = by_person(where(run.tested(UNCERTAINTY), method=run.deliver), "level")
    bins = by_person(where(run.tested(RELIABILITY), method=run.deliver), "bin")
    if bins.empty or levels.empty:
        return None
    found = next(row for row in records(levels) if row["level"] == MAP_LEVEL)
    persons = int(found["persons"])
    over = f"on average over {persons} persons (range {_range(found)})" if persons > 1 else "in one person"
    correlation = run.tested(UNCERTAINTY)["spearman"].mean()
    note = (
        f"The uncertainty map is the half-width of the {format_share(MAP_LEVEL)} prediction interval of each voxel, "
        "calibrated on the validation persons. In the test splits, these intervals contain "
        f"{format_share(found['mean'], 1)} of the foreground voxels of the reference, {over}. The mean rank "
        f"correlation of half-width and absolute error is {format_number(correlation, 2)}."
    )
    return _section(bins, note, (level_figure(levels), width_figure(bins)))


def for_volume(volume: VolumeReport) -> Section | None:
    """Show the coverage by half-width in one volume."""
    bins = by_person(where(volume.reliability, method=volume.deliver), "bin")
    if bins.empty:
        return None
    note = (
        f"The uncertainty map is the half-width of the {format_share(MAP_LEVEL)} prediction interval of each voxel. In "
        f"this volume, the intervals contain {format_share(bins['mean'].mean(), 1)} of the foreground voxels of the "
        "reference."
    )
    return _section(bins, note, (width_figure(bins),))


def _section(bins: pd.DataFrame, note: str, figures: tuple[Figure, ...]) -> Section:
    """Return the figures, and the bins as a table."""
    rows = tuple(
        (
            Cell.of(row["bin"], 0),
            Cell.of(row["half_width"]),
            Cell.of(row["error"]),
            Cell.of(100 * row["mean"], 1, interval=f"[{_range(row)}]" if row["persons"] > 1 else ""),
        )
        for row in records(bins)
    )
    headings = ("Bin", "Half-width", "Mean error", "Coverage (%)")
    table = Table("reliability-table", "Errors by half-width, as fractions of the normalised range", headings, rows)
    return Section(
        "reliability",
        "Reliability of the uncertainty map",
        (Text(note, "note"), Figures(figures), folded_table(table)),
    )


def _range(row: dict[str, float]) -> str:
    return f"{format_share(row['low'], 1)} to {format_share(row['high'], 1)}"
