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
    """The tables and records of a run."""

    volumes: pd.DataFrame
    slices: pd.DataFrame
    summary: pd.DataFrame
    provenance: Mapping[str, Any]
    models: tuple[ModelRecord, ...]


def read_run_record(volumes: Path, slices: Path, summary: Path, provenance: Path, models: Sequence[Path]) -> RunRecord:
    """Reads everything; errors as `read_table`, `read_json` and `read_model`."""
    return RunRecord(
        volumes=read_table(volumes, VOLUMES),
        slices=read_table(slices, SLICES),
        summary=read_table(summary, SUMMARY),
        provenance=read_json(provenance),
        models=tuple(read_model(folder) for folder in sorted(models, key=lambda folder: folder.name)),
    )


def read_model(folder: Path) -> ModelRecord:
    """Reads what stands beside a network's weights.

    Raises:
        UserError: the card or the history is missing or cannot be read.
    """
    card = folder / "model_card.md"
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {card}: {error}. Train again.") from error
    return ModelRecord(folder.name, text, read_table(folder / "history.csv", ("step",)))
