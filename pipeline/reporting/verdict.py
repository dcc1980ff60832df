"""The verdict on a volume or split: is the deliverable better than the best baseline?

Only metrics of similarity to the reference decide. Metrics of a single property (`SINGLE_PROPERTY` in
`pipeline.metrics`) are shown in the tables: an image with the sharpest edges, or without noise, can still be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from pipeline.reporting.metric_table import Column, MetricTable, Score, first_region
from pipeline.reporting.numbers import format_interval, format_share
from pipeline.reporting.section import Template
from pipeline.reporting.setbacks import Setback
from pipeline.reporting.titles import baselines, method_title

HEADLINES = {
    "better": "Better than the best baseline",
    "partly_better": "Better than the best baseline by some metrics, no clear difference by others",
    "unclear": "No clear difference from the best baseline",
    "mixed": "Better than the best baseline by some metrics, worse by others",
    "partly_worse": "Worse than the best baseline by some metrics, no clear difference by others",
    "worse": "Worse than the best baseline",
    "no_metric": "No metric of similarity was computed",
    "undecided": "One value for each metric and no interval: nothing can be concluded",
    "baseline": "The deliverable is a baseline",
    "absent": "The deliverable was not evaluated",
}
KINDS = {
    frozenset({"better"}): "better",
    frozenset({"better", "unclear"}): "partly_better",
    frozenset({"worse", "unclear"}): "partly_worse",
    frozenset({"worse"}): "worse",
    frozenset({"unclear"}): "unclear",
    frozenset[str](): "undecided",
}
"""Verdict by the verdicts of single metrics; any other set of them is mixed."""
MAX_KEY_NUMBERS = 4
"""Metrics in large type; the others are in the table."""
COUNTED = {"better": "better by", "unclear": "no clear difference by", "worse": "worse by"}


@dataclass(frozen=True)
class KeyNumber:
    """One metric in large type: the deliverable's value, the baseline's, and their difference with its interval."""

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
    """The summary box of a split or volume.

    Attributes:
        kind: a key of `HEADLINES`.
        region: where the metrics were computed, as a reader sees it.
        deciding: metrics of similarity with an interval, on which the headline rests.
        key_numbers: what is shown in large type: the first metrics of similarity.
    """

    kind: str
    region: str = ""
    deciding: tuple[KeyNumber, ...] = ()
    key_numbers: tuple[KeyNumber, ...] = ()

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return HEADLINES[self.kind]

    @property
    def counts(self) -> str:
        """How many metrics favour which side; empty where all of them are shown in large type."""
        if self.kind == "baseline" or set(self.deciding) <= set(self.key_numbers):
            return ""
        if len({one.verdict for one in self.deciding}) == 1:
            return f"All {len(self.deciding)} metrics of similarity agree."
        titles = {kind: [one.title for one in self.deciding if one.verdict == kind] for kind in COUNTED}
        parts = [f"{words} {', '.join(titles[kind])}" for kind, words in COUNTED.items() if titles[kind]]
        return f"Of {len(self.deciding)} metrics of similarity: {'; '.join(parts)}."


def verdict(table: MetricTable) -> Verdict:
    """Compare the deliverable with the best baseline over the foreground, or the first region where it is missing."""
    if table.deliver not in table.methods or not table.columns:
        return Verdict("absent")
    columns = first_region(table.columns)
    numbers = tuple(_key_number(table, column) for column in columns if not column.single_property)
    deciding = tuple(number for number in numbers if number.interval)
    region, shown = columns[0].region_title.lower(), numbers[:MAX_KEY_NUMBERS]
    if table.deliver in baselines():
        return Verdict("baseline", region, deciding, shown)
    if not numbers:
        return Verdict("no_metric", region)
    kind = KINDS.get(frozenset(number.verdict for number in deciding), "mixed")
    return Verdict(kind, region, deciding, shown)


def _key_number(table: MetricTable, column: Column) -> KeyNumber:
    own = table.scores.get((table.deliver, column), Score(nan))
    other = table.scores.get((column.baseline, column), Score(nan))
    is_baseline = table.deliver == column.baseline
    return KeyNumber(
        title=column.title,
        unit=column.unit,
        value=column.format(own.value),
        baseline=column.format(other.value),
        baseline_title=method_title(column.baseline),
        difference="" if is_baseline else column.format(own.diff, sign=True),
        interval="" if is_baseline else format_interval(own.diff_ci_low, own.diff_ci_high, column.decimals),
        verdict="" if is_baseline else column.verdict(own.diff_ci_low, own.diff_ci_high),
    )


@dataclass(frozen=True)
class VerdictBox:
    """What the template of the verdict reads: the verdict, its split, and what qualifies it."""

    verdict: Verdict
    split: str
    confidence: str
    covered: str
    setbacks: tuple[Setback, ...]


def verdict_box(found: Verdict, split: str, confidence: float, covered: str, setbacks: Sequence[Setback]) -> Template:
    """Return the box that shows a verdict.

    Args:
        found: the verdict.
        split: split of the volume or volumes.
        confidence: coverage of the intervals.
        covered: what the intervals cover, as the end of a sentence.
        setbacks: where the deliverable is worse than a baseline in other respects.
    """
    return Template("verdict", VerdictBox(found, split, format_share(confidence), covered, tuple(setbacks)))
