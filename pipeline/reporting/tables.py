"""The metric tables as a reader sees them: rows of methods, columns of metrics in regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.reporting.titles import REGION_TITLES, classical_methods, in_order, method_title

TEXT_COLUMNS = (
    *("volume", "subject", "split", "method", "region", "metric", "baseline"),
    *("gate", "passed", "kind", "tissue", "picture", "near_duplicate_of", "near_duplicate_split"),
    "near_duplicate_volume",
)
VOLUMES = ("volume", "subject", "split", "method", "region", "metric", "value")
SLICES = (*VOLUMES, "slice")
SUMMARY = (
    *("split", "method", "region", "metric", "n", "mean", "ci_low", "ci_high"),
    *("baseline", "diff", "diff_ci_low", "diff_ci_high", "p"),
)

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One metric in one region.

    Attributes:
        metric: its name.
        region: where it is taken.
        title: as shown.
        unit: as shown; may be empty.
        decimals: digits after the point.
        higher_is_better: the direction of good values.
        baseline: the baseline that differences are taken against.
        of_volumes: whether it is measured on volumes as a whole, and the value of a volume is no mean over its slices.
        of_one_property: whether it measures one property alone, and not likeness to the reference as a whole.
    """

    metric: str
    region: str
    title: str
    unit: str
    decimals: int
    higher_is_better: bool
    baseline: str
    of_volumes: bool = False
    of_one_property: bool = False

    @property
    def heading(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def region_title(self) -> str:
        """The region as a reader sees it."""
        return REGION_TITLES.get(self.region, self.region)

    def format(self, value: float, sign: bool = False) -> str:
        """Write a value with this metric's digits, a true minus sign, and "inf" for a perfect one."""
        if pd.isna(value):
            return "n/a"
        return f"{value:{'+' if sign else ''}.{self.decimals}f}".replace("-", "\N{MINUS SIGN}")

    def better(self, difference: float) -> float:
        """Return a difference so that positive means better."""
        return difference if self.higher_is_better else -difference


@dataclass(frozen=True)
class Cell:
    """One number of the table: the value, and how it differs from the baseline."""

    text: str
    difference: str = ""
    interval: str = ""
    verdict: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One method: kind is "classical", "network" or "delivered"."""

    method: str
    title: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """The metric table of a volume or of a split."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def regions(self) -> list[tuple[str, int]]:
        """Return the titles of the regions and how many columns each spans, in the order of the columns."""
        counts: dict[str, int] = {}
        for column in self.columns:
            counts[column.region_title] = counts.get(column.region_title, 0) + 1
        return list(counts.items())

    def baselines(self) -> list[tuple[str, str]]:
        """Return for every baseline its title and the columns in which it is one."""
        titles: dict[str, list[str]] = {}
        for column in self.columns:
            titles.setdefault(method_title(column.baseline), []).append(
                f"{column.title}, {column.region_title.lower()}"
            )
        return [(title, "; ".join(columns)) for title, columns in titles.items()]


def read_table(path: Path, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """Read a metric table.

    Raises:
        UserError: the file is missing, no table, or lacks one of `columns`.
    """
    try:
        texts: Any = dict.fromkeys(TEXT_COLUMNS, str)
        # A volume may be called nan; a number that is none is written so, too.
        names = pd.read_csv(path, sep=separator, nrows=0).columns
        nothing = {name: [""] if name in TEXT_COLUMNS else ["", "nan"] for name in names}
        table = pd.read_csv(path, sep=separator, dtype=texts, keep_default_na=False, na_values=nothing)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not a metric table: {error}. Delete it and run again.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"{path}: the column {missing[0]!r} is missing. Delete it and run again.")
    return table


def where(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Return the rows that hold the given values."""
    for name, value in values.items():
        table = cast(pd.DataFrame, table[table[name] == value])
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain mappings."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def distinct(table: pd.DataFrame, column: str) -> list[str]:
    """Return the different values of a column as text, in their order."""
    return [str(value) for value in dict.fromkeys(table[column].tolist())]


def columns_of(summary: pd.DataFrame) -> tuple[Column, ...]:
    """Return the columns that a summary fills: regions from left to right, in each the metrics in their order there.

    `pipeline.reporting.run_record.read_run_record` puts the metrics of a summary into the order of the configuration.
    """
    regions = [*REGION_TITLES, *sorted(set(distinct(summary, "region")) - set(REGION_TITLES))]
    found = {(row["region"], row["metric"]): row["baseline"] for row in records(summary)}
    ordered = sorted(found, key=lambda key: regions.index(key[0]))
    return tuple(_column(region, metric, found[region, metric]) for region, metric in ordered)


def _column(region: str, metric: str, baseline: str) -> Column:
    module = plugins.load("pipeline.metrics", metric)
    facts = (module.TITLE, module.UNIT, module.DECIMALS, module.HIGHER_IS_BETTER)
    one_property = getattr(module, "OF_ONE_PROPERTY", False)
    return Column(metric, region, *facts, baseline, hasattr(module, "per_volume"), one_property)


def first_region(columns: Sequence[Column]) -> list[Column]:
    """Return the columns of the first region: the foreground, where it was measured."""
    return [column for column in columns if column.region == columns[0].region]


def split_table(summary: pd.DataFrame, split: str, deliver: str) -> Table:
    """Return the table of a split: means over its volumes, and differences as the summary gives them."""
    numbers = [{**row, "value": row["mean"]} for row in records(where(summary, split=split))]
    return _table(columns_of(summary), numbers, deliver)


def volume_table(numbers: Sequence[Facts], summary: pd.DataFrame, deliver: str) -> Table:
    """Return the table of one volume.

    Args:
        numbers: one row a method, region and metric, with value, diff, diff_ci_low and diff_ci_high of this volume.
        summary: the summary over all volumes, from which the baselines come.
        deliver: method of the deliverable.
    """
    return _table(columns_of(summary), numbers, deliver)


def _table(columns: tuple[Column, ...], numbers: Sequence[Facts], deliver: str) -> Table:
    found = {(row["method"], row["region"], row["metric"]): row for row in numbers}
    methods = in_order({str(method) for method, _, _ in found}, deliver)
    best = {column: _best(column, methods, found) for column in columns}
    classical = classical_methods()
    rows = []
    for method in methods:
        kind = "delivered" if method == deliver else "classical" if method in classical else "network"
        cells = tuple(
            cell(found.get((method, column.region, column.metric)), method, column, method == best[column])
            for column in columns
        )
        rows.append(Row(method, method_title(method), kind, cells))
    return Table(columns, tuple(rows))


def _best(column: Column, methods: Sequence[str], found: Mapping[tuple[str, str, str], Facts]) -> str:
    values = {
        method: found[key]["value"] for method in methods if (key := (method, column.region, column.metric)) in found
    }
    usable = {method: column.better(value) for method, value in values.items() if pd.notna(value)}
    return max(usable, key=lambda method: usable[method], default="")


def cell(numbers: Facts | None, method: str, column: Column, best: bool) -> Cell:
    """Write one cell; the baseline has no difference to itself."""
    if numbers is None:
        return Cell("n/a")
    if method == column.baseline:
        return Cell(column.format(numbers["value"]), "baseline", best=best)
    return Cell(
        column.format(numbers["value"]),
        column.format(numbers["diff"], sign=True),
        interval_text(numbers, column),
        verdict_of(numbers, column),
        best,
    )


def interval_text(numbers: Facts, column: Column) -> str:
    """Write the interval of a difference, or nothing where there is none."""
    low, high = numbers["diff_ci_low"], numbers["diff_ci_high"]
    if pd.isna(low) or pd.isna(high):
        return ""
    return f"[{column.format(low, sign=True)}, {column.format(high, sign=True)}]"


def verdict_of(numbers: Facts, column: Column) -> str:
    """Says "better" or "worse" where the interval of the difference lies on one side of zero, else "unclear"."""
    ends = [column.better(numbers[name]) for name in ("diff_ci_low", "diff_ci_high")]
    if any(pd.isna(end) for end in ends):
        return "unclear"
    if min(ends) > 0:
        return "better"
    return "worse" if max(ends) < 0 else "unclear"
