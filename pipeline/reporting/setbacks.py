"""Where the deliverable falls behind the best baseline in what is asked beside measures of likeness.

A higher PSNR is no promise that a small lesion is shown or that volumes of tissue are right. These are counted and
compared as they are, whether or not a difference is larger than chance: the best baseline is the one that does
best on the very same volumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.reporting.numbers import format_interval, format_number, format_share
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.tables import distinct, read_table, records, where
from pipeline.reporting.titles import baselines, method_title
from pipeline.tables.detection_rates import DETECTION_RATES
from pipeline.tables.diagnosis import DIAGNOSIS
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT

INSERTED = ("volume", "method", "inserted", "detected")
TISSUE = ("volume", "method", "tissue", "reference_ml", "method_ml")


@dataclass(frozen=True)
class Setback:
    """Something in which the deliverable falls behind.

    Attributes:
        title: what it is, as a sentence without its stop.
        text: the numbers behind it.
        volumes: in which this is so; none where it is told over all volumes of a split.
        in_total: whether it is so over all volumes together.
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
    ]


def inserted_setbacks(table: pd.DataFrame, deliver: str, rates: pd.DataFrame | None = None) -> list[Setback]:
    """Says where fewer inserted structures were found than after the baseline that shows most of them.

    Args:
        table: counts by volume and method, with the columns `INSERTED`.
        deliver: method of the deliverable.
        rates: rows of detection_rates.csv for the same volumes, where they are known.
    """
    counts: Any = table.groupby(["method", "volume"], sort=True)[["inserted", "detected"]].sum()
    found: Any = counts["detected"].unstack()
    classical = [name for name in baselines() if name in found.index]
    if deliver not in found.index or not classical:
        return []
    baseline = max(classical, key=lambda name: found.loc[name].sum())
    difference = (found.loc[deliver] - found.loc[baseline]).sort_values(kind="stable")
    fewer = tuple(str(volume) for volume in difference.index[difference < 0])
    if not fewer:
        return []
    own, other = (_share(counts.loc[name].sum()) for name in (deliver, baseline))
    return [
        Setback(
            f"{method_title(deliver)} shows fewer inserted structures than {method_title(baseline)}",
            f"Found: {own} against {other}{_difference(rates, baseline)}.",
            fewer,
            in_total=bool(difference.sum() < 0),
        )
    ]


def _difference(rates: pd.DataFrame | None, baseline: str) -> str:
    """Write the difference to a method over all structures with its interval; nothing where it is not known."""
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
    """Says which volumes of tissue are further from the reference than after the baseline that is nearest to it.

    Args:
        biases: by tissue and method, volume minus that of the reference in millilitres.
        deliver: method of the deliverable.
    """
    nearest = _nearest(biases)
    compared = {
        tissue: (found[deliver], found[nearest])
        for tissue, found in biases.items()
        if deliver in found and nearest in found
    }
    further = [
        f"{tissue.replace('_', ' ')} {_millilitres(own)} against {_millilitres(other)}"
        for tissue, (own, other) in compared.items()
        if abs(own) > abs(other)
    ]
    if not further:
        return []
    worse, better = method_title(deliver), method_title(nearest)
    title = f"Volumes of tissue are further from the reference after {worse} than after {better}"
    return [Setback(title, f"Result minus reference: {'; '.join(further)}.")]


def _nearest(biases: Mapping[str, Mapping[str, float]]) -> str:
    """Return the baseline whose volumes of all tissues together are least off; empty where none is known."""
    sums = {name: sum(abs(found.get(name, float("nan"))) for found in biases.values()) for name in baselines()}
    known = {name: off for name, off in sums.items() if pd.notna(off)}
    return min(known, key=lambda name: known[name], default="") if biases else ""


def _millilitres(bias: float) -> str:
    return format_number(bias, 1, sign=True, unit="ml")


def agreement_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Says the same of a split's mean differences; `table` has the columns method, tissue and bias_ml."""
    return tissue_setbacks(_by_tissue(table, "bias_ml"), deliver)


def _by_tissue(table: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    return {
        tissue: {row["method"]: row[column] for row in records(where(table, tissue=tissue))}
        for tissue in distinct(table, "tissue")
    }


def diagnosis_setbacks(table: pd.DataFrame, deliver: str) -> list[Setback]:
    """Says where pictures keep fewer of their diagnoses; `table` has the columns of diagnosis.csv, of one split."""
    return [
        Setback(
            f"Pictures keep fewer of their diagnoses after {method_title(deliver)} than after "
            f"{method_title(str(row['baseline']))}",
            f"Agreement {format_number(row['agreement'], 3)}, difference {format_number(row['diff'], 3, sign=True)}.",
        )
        for row in records(where(table, method=deliver))
        if row["diff"] < 0
    ]


def read_setbacks(inserted: Sequence[Path], tissue: Sequence[Path], volume: str, deliver: str) -> list[Setback]:
    """Read what speaks against the deliverable on one volume.

    Args:
        inserted: tables of inserted structures.
        tissue: tables of volumes of tissue.
        volume: its id.
        deliver: method of the deliverable.

    Raises:
        UserError: a file is no such table.
    """
    found = []
    for path in inserted:
        found += inserted_setbacks(where(read_table(path, INSERTED), volume=volume), deliver)
    for path in tissue:
        table = where(read_table(path, TISSUE), volume=volume)
        biases = table.assign(bias_ml=table["method_ml"].astype(float) - table["reference_ml"].astype(float))
        found += agreement_setbacks(biases, deliver)
    return found
