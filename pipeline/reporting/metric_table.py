"""The metrics of a split or a volume: methods by metrics, with differences from the best baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import pandas as pd

from pipeline import plugins
from pipeline.reporting.numbers import format_interval, format_number
from pipeline.reporting.section import Cell, Table
from pipeline.reporting.titles import REGION_TITLES, baselines, in_order, method_title

METRICS = "pipeline.metrics"


@dataclass(frozen=True)
class Column:
    """One metric in one region.

    Attributes:
        metric: its name.
        region: where it is computed.
        title: as shown.
        unit: as shown; may be empty.
        decimals: digits after the point.
        higher_is_better: the direction of good values.
        baseline: the baseline that differences are taken against.
        of_volumes: whether it is computed on the volume as a whole rather than averaged over slices.
        single_property: whether it measures a single property, such as sharpness, rather than similarity to the
            reference.
    """

    metric: str
    region: str
    title: str
    unit: str
    decimals: int
    higher_is_better: bool
    baseline: str
    of_volumes: bool = False
    single_property: bool = False

    @property
    def heading(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def region_title(self) -> str:
        """The region as a reader sees it."""
        return REGION_TITLES.get(self.region, self.region)

    def format(self, value: float, *, sign: bool = False) -> str:
        """Format a value with the digits of this metric."""
        return format_number(value, self.decimals, sign=sign)

    def gain(self, difference: float) -> float:
        """Return a difference with the sign that makes positive values better."""
        return difference if self.higher_is_better else -difference

    def verdict(self, low: float, high: float) -> str:
        """Return "better" or "worse" where the interval of a difference excludes zero, otherwise "unclear"."""
        ends = (self.gain(low), self.gain(high))
        if isnan(ends[0]) or isnan(ends[1]):
            return "unclear"
        return "better" if min(ends) > 0 else "worse" if max(ends) < 0 else "unclear"


@dataclass(frozen=True)
class Score:
    """The value of a method, and its difference from the baseline with the interval of that difference."""

    value: float
    diff: float = nan
    diff_ci_low: float = nan
    diff_ci_high: float = nan


@dataclass(frozen=True)
class MetricTable:
    """The scores of methods.

    Attributes:
        columns: metrics, region by region.
        methods: in the order of the table, the deliverable last.
        scores: by method and column; missing where a method was not evaluated.
        deliver: method of the deliverable.
    """

    columns: tuple[Column, ...]
    methods: tuple[str, ...]
    scores: Mapping[tuple[str, Column], Score]
    deliver: str

    def best(self, column: Column) -> str:
        """Return the method with the best value of a metric; empty where there is none."""
        values = {name: column.gain(self.scores[name, column].value) for name in self.methods_with(column)}
        return max(values, key=lambda name: values[name], default="")

    def methods_with(self, column: Column) -> list[str]:
        """Return the methods that have a value in a column."""
        return [name for name in self.methods if not isnan(self.scores.get((name, column), Score(nan)).value)]

    def baselines(self) -> str:
        """Name the baseline of every column."""
        titles: dict[str, list[str]] = {}
        for column in self.columns:
            named = f"{column.title}, {column.region_title.lower()}"
            titles.setdefault(method_title(column.baseline), []).append(named)
        return "; ".join(f"{title} ({'; '.join(columns)})" for title, columns in titles.items())

    def table(self, name: str, caption: str) -> Table:
        """Return the table that a page shows."""
        groups: dict[str, int] = {}
        for column in self.columns:
            groups[column.region_title] = groups.get(column.region_title, 0) + 1
        best = {column: self.best(column) for column in self.columns}
        return Table(
            name,
            caption,
            ("Method", *(heading_with_direction(column) for column in self.columns)),
            tuple(
                (
                    Cell(method_title(method), code=method),
                    *(self._cell(method, column, method == best[column]) for column in self.columns),
                )
                for method in self.methods
            ),
            "metrics",
            groups=tuple(groups.items()),
            row_styles=tuple(row_style(method, self.deliver) for method in self.methods),
        )

    def _cell(self, method: str, column: Column, best: bool) -> Cell:
        score = self.scores.get((method, column))
        if score is None:
            return Cell.of(nan)
        if method == column.baseline:
            return Cell(column.format(score.value), score.value, aside="baseline", best=best)
        return Cell(
            column.format(score.value),
            score.value,
            aside=column.format(score.diff, sign=True),
            aside_style=column.verdict(score.diff_ci_low, score.diff_ci_high),
            interval=format_interval(score.diff_ci_low, score.diff_ci_high, column.decimals),
            best=best,
        )


def heading_with_direction(column: Column) -> str:
    """Return the heading of a metric with an arrow in the direction of good values."""
    return f"{column.heading} {'↑' if column.higher_is_better else '↓'}"


def row_style(method: str, deliver: str) -> str:
    """Return the CSS class of the row of a method."""
    return "delivered" if method == deliver else "classical" if method in baselines() else "network"


def columns_of(summary: pd.DataFrame) -> tuple[Column, ...]:
    """Return the columns of a summary: region by region, the metrics of each in the order of the summary."""
    pairs: Any = summary[["region", "metric", "baseline"]]
    rows: list[Any] = list(pairs.drop_duplicates(["region", "metric"], keep="last").itertuples(index=False, name=None))
    regions = [*REGION_TITLES, *sorted({region for region, *_ in rows} - set(REGION_TITLES))]
    return tuple(_column(*row) for row in sorted(rows, key=lambda row: regions.index(row[0])))


def _column(region: str, metric: str, baseline: str) -> Column:
    module = plugins.load(METRICS, metric)
    return Column(
        metric,
        region,
        title=module.TITLE,
        unit=module.UNIT,
        decimals=module.DECIMALS,
        higher_is_better=module.HIGHER_IS_BETTER,
        baseline=baseline,
        of_volumes=hasattr(module, "per_volume"),
        single_property=getattr(module, "SINGLE_PROPERTY", False),
    )


def first_region(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of the first region: the foreground, where it was evaluated."""
    return tuple(column for column in columns if column.region == columns[0].region)


def metric_table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], deliver: str) -> MetricTable:
    """Return the table of a split or of a volume.

    Args:
        columns: metrics of the table.
        rows: one a method, region and metric, with value, diff, diff_ci_low and diff_ci_high.
        deliver: method of the deliverable.
    """
    named = {(column.region, column.metric): column for column in columns}
    scores = {
        (str(row["method"]), named[row["region"], row["metric"]]): Score(
            *(float(row[name]) for name in ("value", "diff", "diff_ci_low", "diff_ci_high"))
        )
        for row in rows
    }
    return MetricTable(tuple(columns), tuple(in_order({name for name, _ in scores}, deliver)), scores, deliver)


def split_table(summary: pd.DataFrame, split: str, deliver: str) -> MetricTable:
    """Return the means over the volumes of a split, with their differences as the summary has them."""
    rows: Any = summary[summary["split"] == split].assign(value=summary["mean"]).to_dict("records")
    return metric_table(columns_of(summary), rows, deliver)
