"""What both pages are made of, read from the files of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.reporting.tables import SLICES, SUMMARY, VOLUMES, read_table


@dataclass(frozen=True)
class ModelRecord:
    """A network: its method's name, its card, and the history of its training (empty for an untrained one)."""

    method: str
    card: str
    history: pd.DataFrame


@dataclass(frozen=True)
class RunRecord:
    """The tables and records of a run; the metrics of the summary stand in the order of the configuration."""

    volumes: pd.DataFrame
    slices: pd.DataFrame
    summary: pd.DataFrame
    provenance: Mapping[str, Any]
    models: tuple[ModelRecord, ...]


def read_run_record(volumes: Path, slices: Path, summary: Path, provenance: Path, models: Sequence[Path]) -> RunRecord:
    """Read everything; errors as `read_table`, `read_json` and `read_model`."""
    record = read_json(provenance)
    return RunRecord(
        volumes=read_table(volumes, VOLUMES),
        slices=read_table(slices, SLICES),
        summary=by_metric(read_table(summary, SUMMARY), record["config"]["evaluate"]["metrics"]),
        provenance=record,
        models=tuple(read_model(folder) for folder in sorted(models, key=lambda folder: folder.name)),
    )


def by_metric(table: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Sort the rows of a table by their metrics, as a user listed these; any others come last."""
    places = {metric: place for place, metric in enumerate(metrics)}
    return table.sort_values(
        "metric", key=lambda names: names.map(places).fillna(len(places)), kind="stable", ignore_index=True
    )


def read_model(folder: Path) -> ModelRecord:
    """Read what stands beside a network's weights.

    Raises:
        UserError: the card or the history is missing or cannot be read.
    """
    card = folder / "model_card.md"
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {card}: {error}. Train again.") from error
    return ModelRecord(folder.name, text, read_table(folder / "history.csv", ("step",)))
