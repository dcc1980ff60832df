"""The tables and records of a run, from which the pages are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.provenance.record import Provenance, read_provenance
from pipeline.reporting.frames import distinct, where
from pipeline.reporting.metric_table import Column, columns_of, first_region
from pipeline.reporting.titles import TESTED, split_title
from pipeline.tables.dial import DIAL, DialSetting
from pipeline.tables.history import HISTORY
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.table import Table
from pipeline.tables.volumes import VOLUMES


@dataclass(frozen=True)
class ModelRecord:
    """A network: its method's name, its card, and the history of its training (empty for an untrained one)."""

    method: str
    card: str
    history: pd.DataFrame


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The tables and records of a run.

    Attributes:
        volumes: metrics of every volume (volumes.csv).
        slices: metrics of every slice (slices.csv).
        summary: means, intervals and differences (summary.csv), its metrics in the order of the configuration.
        provenance: what made the results (provenance.json).
        models: the networks.
        optional: further tables that the run has.
        dials: settings of the fidelity dial, by network.
    """

    volumes: pd.DataFrame
    slices: pd.DataFrame
    summary: pd.DataFrame
    provenance: Provenance
    models: tuple[ModelRecord, ...]
    optional: Mapping[Table[Any], pd.DataFrame] = field(default_factory=dict)
    dials: Mapping[str, Sequence[DialSetting]] = field(default_factory=dict)

    @property
    def deliver(self) -> str:
        """Method of the deliverable."""
        return self.provenance.config.infer.deliver

    @property
    def confidence(self) -> float:
        """Coverage of the confidence intervals."""
        return self.provenance.config.evaluate.confidence

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Metrics of the summary, region by region."""
        return columns_of(self.summary)

    @cached_property
    def main_columns(self) -> tuple[Column, ...]:
        """Metrics over the foreground, or over the first region where it was not evaluated."""
        return first_region(self.columns)

    @property
    def baseline(self) -> str:
        """The best baseline by the first metric of the configuration."""
        return self.columns[0].baseline

    @cached_property
    def stacks(self) -> set[str]:
        """Volumes that are stacks of pictures."""
        return self.provenance.stacks

    def table(self, table: Table[Any]) -> pd.DataFrame:
        """Return a table of the run, such as `GATES`; without rows where the run does not have it."""
        return self.optional[table] if table in self.optional else table.frame()

    def tested(self, table: Table[Any]) -> pd.DataFrame:
        """Return the rows of a table that belong to the test splits."""
        return tested(self.table(table))

    def has_pictures(self, split: str) -> bool:
        """Return whether a split consists of pictures, whose subjects are unknown."""
        return not self.stacks.isdisjoint(distinct(where(self.volumes, split=split), "volume"))

    def split_title(self, split: str) -> str:
        """Return the title of a split of this run."""
        self_supervised = self.provenance.config.is_self_supervised
        return split_title(split, pictures=self.has_pictures(split), self_supervised=self_supervised)


def tested(table: pd.DataFrame) -> Any:
    """Return the rows of the test splits."""
    return table[table["split"].isin(TESTED)]


def read_run_record(
    volumes: Path,
    slices: Path,
    summary: Path,
    provenance: Path,
    models: Sequence[Path],
    optional: Sequence[Path] = (),
) -> RunRecord:
    """Read the tables and records of a run.

    Args:
        volumes: volumes.csv.
        slices: slices.csv.
        summary: summary.csv.
        provenance: provenance.json.
        models: folders of the networks, with model_card.md, history.csv and, for some, dial.csv.
        optional: further tables, each in a file with the name of its module in `pipeline.tables`; files that do not
            exist are skipped.

    Raises:
        UserError: a file is missing, damaged or not one of these tables.
    """
    record = read_provenance(provenance)
    return RunRecord(
        volumes=VOLUMES.read(volumes),
        slices=SLICES.read(slices),
        summary=by_metric(SUMMARY.read(summary), record.config.evaluate.metrics),
        provenance=record,
        models=tuple(read_model(folder) for folder in sorted(models, key=lambda folder: folder.name)),
        optional={table: table.read(path) for path in optional if path.exists() for table in [table_of(path)]},
        dials={folder.name: settings for folder in models if (settings := read_dial(folder))},
    )


def table_of(path: Path) -> Table[Any]:
    """Return the table that a file has by its name, such as `GATES` for gates.csv.

    Raises:
        UserError: no module of `pipeline.tables` declares such a table.
    """
    table = getattr(plugins.load("pipeline.tables", path.stem), path.stem.upper(), None)
    if not isinstance(table, Table):
        raise UserError(f"{path}: pipeline.tables declares no table of this name.")
    return table


def by_metric(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Sort the rows of a table by their metrics in the order of the configuration; any others come last."""
    places = {metric: place for place, metric in enumerate(metrics)}
    return table.sort_values(
        "metric", key=lambda names: names.map(places).fillna(len(places)), kind="stable", ignore_index=True
    )


def read_model(folder: Path) -> ModelRecord:
    """Read the card and the training history of a network.

    Raises:
        UserError: the card or the history is missing or cannot be read.
    """
    card = folder / "model_card.md"
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {card}: {error}. Train again.") from error
    return ModelRecord(folder.name, text, HISTORY.read(folder / "history.csv"))


def read_dial(folder: Path) -> list[DialSetting]:
    """Read the settings of the fidelity dial of a network, sorted by alpha; empty if it has none.

    Raises:
        UserError: the table is damaged.
    """
    path = folder / "dial.csv"
    return sorted(DIAL.read_rows(path), key=lambda setting: setting.alpha) if path.exists() else []
