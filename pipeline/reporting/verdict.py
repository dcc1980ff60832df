"""The verdict on a volume or split: is the deliverable better than the best baseline?

Measures of likeness to the reference as a whole decide it. Those of one property alone (`pipeline.metrics`) stand in
the
tables: an image can have the sharpest edges, or no noise at all, and be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.reporting.tables import Row, Table, first_region
from pipeline.reporting.titles import classical_methods, method_title

HEADLINES = {
    "better": "Better than the best baseline",
    "partly_better": "Better than the best baseline by some measures, no clear difference by others",
    "unclear": "No clear difference from the best baseline",
    "mixed": "Better than the best baseline by some measures, worse by others",
    "partly_worse": "Worse than the best baseline by some measures, no clear difference by others",
    "worse": "Worse than the best baseline",
    "untold": "No measure of likeness was taken",
    "undecided": "One value a measure, no interval: nothing can be concluded",
    "classical": "The deliverable is a baseline",
    "absent": "The deliverable was not measured",
}
KINDS = {
    frozenset({"better"}): "better",
    frozenset({"better", "unclear"}): "partly_better",
    frozenset({"worse", "unclear"}): "partly_worse",
    frozenset({"worse"}): "worse",
    frozenset({"unclear"}): "unclear",
    frozenset[str](): "undecided",
}
"""What the verdicts of single measures come to; every other set of them is mixed."""
MAX_FIGURES = 4
"""Measures in large type; the others stand in the table."""
COUNTED = {"better": "better by", "unclear": "no clear difference by", "worse": "worse by"}


@dataclass(frozen=True)
class Figure:
    """One measure: the deliverable's value, the baseline's, and the difference with its interval."""

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
    """What the summary box says.

    Attributes:
        kind: a key of `HEADLINES`.
        region: where the measures were taken, as a reader sees it.
        deciding: measures of likeness that have an interval, on which the headline rests.
        figures: what stands in large type: the first measures of likeness.
    """

    kind: str
    region: str = ""
    deciding: tuple[Figure, ...] = ()
    figures: tuple[Figure, ...] = ()

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return HEADLINES[self.kind]

    @property
    def counts(self) -> str:
        """Says by which measures the deliverable is what; nothing where these are all in large type."""
        if self.kind == "classical" or set(self.deciding) <= set(self.figures):
            return ""
        if len({one.verdict for one in self.deciding}) == 1:
            return f"The same holds for all {len(self.deciding)} measures of likeness that were taken."
        titles = {kind: [one.title for one in self.deciding if one.verdict == kind] for kind in COUNTED}
        parts = [f"{words} {', '.join(titles[kind])}" for kind, words in COUNTED.items() if titles[kind]]
        return f"Of {len(self.deciding)} measures of likeness: {'; '.join(parts)}."


def verdict(table: Table, deliver: str) -> Verdict:
    """Judge the deliverable over the foreground (or over the first region, where the foreground was not measured)."""
    rows = {row.method: row for row in table.rows}
    if deliver not in rows or not table.columns:
        return Verdict("absent")
    columns = first_region(table.columns)
    places = [table.columns.index(column) for column in columns if not column.of_one_property]
    likeness = tuple(_figure(table, rows, rows[deliver], place) for place in places)
    deciding = tuple(figure for figure in likeness if figure.interval)
    region, figures = columns[0].region_title.lower(), likeness[:MAX_FIGURES]
    if deliver in classical_methods():
        return Verdict("classical", region, deciding, figures)
    if not likeness:
        return Verdict("untold", region)
    kind = KINDS.get(frozenset(figure.verdict for figure in deciding), "mixed")
    return Verdict(kind, region, deciding, figures)


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
