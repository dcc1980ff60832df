"""Tables that the page over all volumes shows where a run has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.reporting.tables import read_table
from pipeline.reporting.training_inputs import DIAL

COLUMNS: Mapping[str, Sequence[str]] = {
    "comparisons": (
        *("split", "method", "region", "metric", "baseline", "subjects", "diff", "diff_ci_low", "diff_ci_high"),
        *("effect", "p", "p_holm"),
    ),
    "gates": ("volume", "subject", "split", "method", "gate", "value", "limit", "passed"),
    "inserted": (
        *("volume", "subject", "split", "method", "kind", "size_voxels", "contrast"),
        *("inserted", "detected", "false_alarms"),
    ),
    "detection_rates": (
        *("split", "method", "kind", "size_voxels", "contrast", "subjects", "inserted", "rate", "ci_low", "ci_high"),
        *("false_alarm_rate", "diff", "diff_ci_low", "diff_ci_high"),
        *("net_diff", "net_diff_ci_low", "net_diff_ci_high"),
    ),
    "reliability": ("volume", "subject", "split", "method", "bin", "predicted", "observed", "voxels"),
    "tissue_agreement": (
        *("split", "method", "tissue", "n", "bias_ml", "bias_ci_low", "bias_ci_high"),
        *("loa_low_ml", "loa_high_ml"),
    ),
    "diagnosis": (
        *("split", "method", "pictures", "accuracy", "agreement", "agreement_ci_low", "agreement_ci_high"),
        *("baseline", "diff", "diff_ci_low", "diff_ci_high"),
    ),
    "duplicates": (
        *("picture", "split", "volume", "near_duplicate_of", "near_duplicate_split", "near_duplicate_volume"),
        "distance",
    ),
}
"""What is read of every table; others of its columns are left aside."""


def nothing(name: str) -> pd.DataFrame:
    """Return a table without rows."""
    return pd.DataFrame(columns=pd.Index(COLUMNS[name]))


@dataclass(frozen=True)
class Cohort:
    """The tables, each without rows where a run has none.

    Attributes:
        comparisons: every network against every baseline and the untouched network.
        gates: limits that results must keep.
        inserted: structures of known place, and whether they were found.
        detection_rates: the share of them that every method shows, with intervals.
        reliability: predicted and observed errors.
        tissue_agreement: volumes of tissue against those of the reference.
        diagnosis: classes of pictures against those of the reference.
        duplicates: pictures and slices that stand in two splits.
        dials: settings of the fidelity dial by network.
    """

    comparisons: pd.DataFrame = field(default_factory=lambda: nothing("comparisons"))
    gates: pd.DataFrame = field(default_factory=lambda: nothing("gates"))
    inserted: pd.DataFrame = field(default_factory=lambda: nothing("inserted"))
    detection_rates: pd.DataFrame = field(default_factory=lambda: nothing("detection_rates"))
    reliability: pd.DataFrame = field(default_factory=lambda: nothing("reliability"))
    tissue_agreement: pd.DataFrame = field(default_factory=lambda: nothing("tissue_agreement"))
    diagnosis: pd.DataFrame = field(default_factory=lambda: nothing("diagnosis"))
    duplicates: pd.DataFrame = field(default_factory=lambda: nothing("duplicates"))
    dials: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def read_cohort(paths: Mapping[str, Path | None], models: Sequence[Path]) -> Cohort:
    """Read the tables that exist.

    Args:
        paths: by the names of `COLUMNS`; one that is None or does not exist gives a table without rows.
        models: folders of the networks, of which some hold a dial.csv.

    Raises:
        UserError: a file that exists is no such table.
    """
    tables: dict[str, Any] = {
        name: read_table(path, COLUMNS[name])[list(COLUMNS[name])]
        for name, path in paths.items()
        if path is not None and path.exists()
    }
    dials = {folder.name: folder / "dial.csv" for folder in models}
    return Cohort(**tables, dials={name: read_table(path, DIAL) for name, path in dials.items() if path.exists()})
