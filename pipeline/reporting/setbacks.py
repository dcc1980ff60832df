"""Properties other than similarity metrics in which the deliverable is worse than the best baseline.

A higher PSNR does not imply that small lesions stay visible or that tissue volumes are correct. Such properties are
compared directly, without a test of significance, with the baseline that performs best on the same volumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.numbers import format_interval, format_number, format_share
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.titles import baselines, method_title
from pipeline.tables.cell_agreement import CELL_AGREEMENT
from pipeline.tables.detection_rates import DETECTION_RATES
from pipeline.tables.diagnosis import DIAGNOSIS
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES
from pipeline.tables.membrane_agreement import MEMBRANE_AGREEMENT
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT


@dataclass(frozen=True)
class Setback:
    """A property in which the deliverable is worse than a baseline.

    Attributes:
        title: statement, without a full stop.
        text: numbers behind the statement.
        volumes: affected volumes; empty if the statement refers to all volumes of a split together.
        in_total: whether the statement holds for all volumes together.
    """

    title: str
    text: str
    volumes: tuple[str, ...] = ()
    in_total: bool = True


def split_setbacks(run: RunRecord, split: str) -> list[Setback]:
    """Return where the deliverable is worse than the best baseline on a split in other respects than similarity."""
    inserted, rates = (where(run.table(table), split=split) for table in (INSERTED_STRUCTURES, DETECTION_RATES))
    return [
        *inserted_setbacks(inserted, run.deliver, rates),
        *agreement_setbacks(where(run.table(TISSUE_AGREEMENT), split=split), run.deliver),
        *diagnosis_setbacks(where(run.table(DIAGNOSIS), split=split), run.deliver),
        *membrane_setbacks(where(run.table(MEMBRANE_AGREEMENT), split=split), run.deliver),
        *cell_setbacks(where(run.table(CELL_AGREEMENT), split=split), run.deliver),
    ]


def inserted_setbacks(table: pd.DataFrame, deliver: str, rates: pd.DataFrame | None = None) -> list[Setback]:
    """Find volumes in which fewer inserted structures are detected than with the best baseline.

    Args:
        table: counts by volume and method, with the columns volume, method, inserted and detected.
        deliver: method of the deliverable.
        rates: rows of detection_rates.csv for the same volumes; None if unknown.
    """
    counts: Any = table.groupby(["method", "volume"], sort=True)[["inserted", "detected"]].sum()
    found: Any = counts["detected"].unstack()
    compared = [name for name in baselines() if name in found.index]
    if deliver not in found.index or not compared:
        return []
    baseline = max(compared, key=lambda name: found.loc[name].sum())
    difference = (found.loc[deliver] - found.loc[baseline]).sort_values(kind="stable")
    fewer = tuple(str(volume) for volume in difference.index[difference < 0])
    if not fewer:
        return []
    own, other = (_share(counts.loc[name].sum()) for name in (deliver, baseline))
    return [
        Setback(
            f"{method_title(deliver)} preserves fewer inserted structures than {method_title(baseline)}",
            f"Detected: {own} versus {other}{_difference(rates, baseline)}.",
            fewer,
            in_total=bool(difference.sum() < 0),
        )
    ]


def _difference(rates: pd.DataFrame | None, baseline: str) -> str:
    """Write the difference from a method over all structures with its interval; nothing where it is not known."""
    of_all = [] if rates is None else records(where(rates, method=baseline, kind=""))
    if not of_all:
        return ""
    (row,) = of_all
    interval = format_interval(100 * row["diff_ci_low"], 100 * row["diff_ci_high"], 1)
    return f", a difference of {format_number(100 * row['diff'], 1, sign=True)} percentage points {interval}"


def _share(counts: Any) -> str:
    detected, inserted = int(counts["detected"]), int(counts["inserted"])
    return f"{detected} of {inserted} ({format_share(detected / max(inserted, 1))})"


def tissue_setbacks(biases: Mapping[str, Mapping[str, float]], deliver: str) -> list[Setback]:
    """Find tissues whose volumes are further from the reference than with the best baseline.

    Args:
        biases: volume minus that of the reference in millilitres, by tissue and method.
        deliver: method of the deliverable.
    """
    nearest = _nearest(biases)
    compared = {
        tissue: (found[deliver], found[nearest])
        for tissue, found in biases.items()
        if deliver in found and nearest in found
    }
    further = [
        f"{tissue.replace('_', ' ')} "
        f"{' versus '.join(format_number(bias, 1, sign=True, unit='ml') for bias in (own, other))}"
        for tissue, (own, other) in compared.items()
        if abs(own) > abs(other)
    ]
    if not further:
        return []
    worse, better = method_title(deliver), method_title(nearest)
    title = f"Tissue volumes deviate more from the reference with {worse} than with {better}"
    return [Setback(title, f"Result minus reference: {'; '.join(further)}.")]


def _nearest(biases: Mapping[str, Mapping[str, float]]) -> str:
    """Return the baseline with the smallest sum of absolute biases over all tissues; empty if there is none."""
    sums = {name: sum(abs(found.get(name, float("nan"))) for found in biases.values()) for name in baselines()}
    known = {name: off for name, off in sums.items() if pd.notna(off)}
    return min(known, key=lambda name: known[name], default="") if biases else ""


def agreement_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Compare mean differences of tissue volumes; `table` has the columns method, tissue and bias_ml."""
    biases = {
        tissue: {row["method"]: row["bias_ml"] for row in records(where(table, tissue=tissue))}
        for tissue in distinct(table, "tissue")
    }
    return tissue_setbacks(biases, deliver)


def tissue_volume_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Compare the tissue volumes of one volume; `table` has the columns method, tissue, reference_ml and method_ml."""
    bias = table["method_ml"].astype(float) - table["reference_ml"].astype(float)
    return agreement_setbacks(table.assign(bias_ml=bias), deliver)


def diagnosis_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Find losses in diagnostic agreement; `table` contains the rows of diagnosis.csv of one split."""
    return [
        Setback(
            f"Fewer pictures keep their diagnosis with {method_title(deliver)} than with "
            f"{method_title(str(row['baseline']))}",
            f"Agreement {format_number(row['agreement'], 3)}, difference {format_number(row['diff'], 3, sign=True)}.",
        )
        for row in records(where(table, method=deliver))
        if row["diff"] < 0
    ]


def membrane_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Find losses in the segmentation of neurons; `table` has the rows of membrane_agreement.csv of one split."""
    return [
        Setback(
            f"Neurons are separated less correctly with {method_title(deliver)} than with "
            f"{method_title(str(row['baseline']))}",
            f"Variation of information {format_number(row['voi'], 3, unit='bits')}, a difference of "
            f"{format_number(row['diff'], 3, sign=True)} "
            f"{format_interval(row['diff_ci_low'], row['diff_ci_high'], 3)}.",
        )
        for row in records(where(table, method=deliver))
        if row["diff"] > 0
    ]


def cell_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Find losses in the detection of cells; `table` has the rows of cell_agreement.csv of one split."""
    return [
        Setback(
            f"Cells are found less correctly with {method_title(deliver)} than with "
            f"{method_title(str(row['baseline']))}",
            f"F1 score {format_number(row['f1'], 3)}, a difference of {format_number(row['diff'], 3, sign=True)} "
            f"{format_interval(row['diff_ci_low'], row['diff_ci_high'], 3)}.",
        )
        for row in records(where(table, method=deliver))
        if row["diff"] < 0
    ]
