"""The verdict on a volume: is the deliverable better than the best classical method?"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.reporting.methods import method_title
from pipeline.reporting.tables import Row, Table

HEADLINES = {
    "better": "Better than the best classical method",
    "worse": "Worse than the best classical method",
    "unclear": "No clear difference from the best classical method",
    "mixed": "Better by one measure, not by another",
    "classical": "The deliverable is a classical method",
    "absent": "The deliverable was not measured",
}


@dataclass(frozen=True)
class Figure:
    """One measure in large type: the deliverable's value, the baseline's, and the difference with its interval."""

    title: str
    unit: str
    value: str
    baseline: str
    baseline_title: str
    difference: str
    interval: str
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """What the summary box says: a key of `HEADLINES`, and the figures behind it."""

    kind: str
    figures: tuple[Figure, ...]

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return HEADLINES[self.kind]


def verdict(table: Table, deliver: str) -> Verdict:
    """Judges the deliverable over the foreground (or over the first region, where the foreground was not measured)."""
    rows = {row.method: row for row in table.rows}
    if deliver not in rows or not table.columns:
        return Verdict("absent", ())
    regions = [column.region for column in table.columns]
    region = "foreground" if "foreground" in regions else regions[0]
    places = [place for place, column in enumerate(table.columns) if column.region == region]
    figures = tuple(_figure(table, rows, rows[deliver], place) for place in places)
    if rows[deliver].kind == "classical" or any(table.columns[place].baseline == deliver for place in places):
        return Verdict("classical", figures)
    found = {figure.verdict for figure in figures}
    return Verdict(found.pop() if len(found) == 1 else "mixed", figures)


def _figure(table: Table, rows: dict[str, Row], delivered: Row, place: int) -> Figure:
    column, cell = table.columns[place], delivered.cells[place]
    baseline = rows.get(column.baseline)
    return Figure(
        title=column.title,
        unit=column.unit,
        value=cell.text,
        baseline=baseline.cells[place].text if baseline else "n/a",
        baseline_title=method_title(column.baseline),
        difference=cell.difference,
        interval=cell.interval,
        verdict=cell.verdict,
    )
