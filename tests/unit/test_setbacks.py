"""What speaks against the deliverable is said, with its numbers, and only where it does."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.setbacks import (
    cell_setbacks,
    diagnosis_setbacks,
    inserted_setbacks,
    membrane_setbacks,
    split_setbacks,
    tissue_setbacks,
    tissue_volume_setbacks,
)
from pipeline.tables.cell_agreement import CELL_AGREEMENT, CellAgreement
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES
from pipeline.tables.membrane_agreement import MEMBRANE_AGREEMENT, MembraneAgreement
from pipeline.tables.table import Table
from pipeline.tables.tissue import TISSUE, TissueVolume
from tests.provenance import provenance


def inserted(**detected: tuple[int, int]) -> pd.DataFrame:
    """Return a table of two volumes with two conditions each, of 20 structures; counts by method and volume."""
    rows = [
        (volume, "S", "test", method, kind, 2, 0.2, 20, count if kind == "lesion" else 0, 0)
        for method, counts in detected.items()
        for volume, count in zip(("a", "b"), counts, strict=True)
        for kind in ("lesion", "vessel")
    ]
    return pd.DataFrame(rows, columns=pd.Index(INSERTED_STRUCTURES.columns[:10]))


def run_with(table: Table[Any], rows: pd.DataFrame) -> RunRecord:
    """Return a run whose deliverable is brainsr, and which has one table alone."""
    nothing = pd.DataFrame()
    return RunRecord(nothing, nothing, nothing, provenance(), (), {table: rows})


def test_fewer_inserted_structures_than_the_best_baseline_are_told():
    (found,) = inserted_setbacks(
        inserted(bicubic=(9, 9), zerofill=(10, 12), brainsr=(11, 5), reference=(20, 20)), "brainsr"
    )
    assert found.title == "BrainSR preserves fewer inserted structures than Zero-filled k-space"
    assert found.text == "Detected: 16 of 80 (20 %) versus 22 of 80 (28 %)."
    assert found.volumes == ("b",)
    assert found.in_total


def test_a_method_that_shows_as_many_has_nothing_against_it():
    assert inserted_setbacks(inserted(zerofill=(10, 12), brainsr=(10, 12), reference=(20, 20)), "brainsr") == []
    assert inserted_setbacks(inserted(pretrained=(10, 12), brainsr=(1, 1)), "brainsr") == [], "no baseline"
    assert inserted_setbacks(inserted(zerofill=(1, 1)), "brainsr") == [], "the deliverable was not asked"
    assert inserted_setbacks(inserted().iloc[:0], "brainsr") == []


def test_one_volume_with_fewer_is_none_of_the_split_as_a_whole():
    table = inserted(zerofill=(10, 12), brainsr=(30, 11))
    (found,) = inserted_setbacks(table, "brainsr")
    assert found.volumes == ("b",) and not found.in_total
    assert split_setbacks(run_with(INSERTED_STRUCTURES, table), "test") == [found]
    assert split_setbacks(run_with(INSERTED_STRUCTURES, table), "test_within_subject") == []


def test_the_interval_is_that_of_the_difference_over_all_structures():
    names = pd.Index(["split", "method", "kind", "diff", "diff_ci_low", "diff_ci_high"])
    rows = [
        ("test", "zerofill", "lesion", 9.0, 9.0, 9.0),
        ("test", "zerofill", "", -0.075, -0.101, 0.0204),
        ("test", "bicubic", "", 7.0, 7.0, 7.0),
    ]
    table = inserted(bicubic=(9, 9), zerofill=(10, 12), brainsr=(11, 5))
    (found,) = inserted_setbacks(table, "brainsr", pd.DataFrame(rows, columns=names))
    minus = "\N{MINUS SIGN}"
    difference = f"{minus}7.5 percentage points [{minus}10.1, +2.0]"
    assert found.text == f"Detected: 16 of 80 (20 %) versus 22 of 80 (28 %), a difference of {difference}."


def test_tissues_are_compared_with_the_baseline_that_is_least_off():
    biases = {
        "white_matter": {"bspline3": 5.0, "zerofill": -8.0, "brainsr": -6.5, "pretrained": 0.1},
        "grey_matter": {"bspline3": 5.0, "zerofill": -4.0, "brainsr": -4.9, "bicubic": 0.1},
    }
    (found,) = tissue_setbacks(biases, "brainsr")
    assert found.title.endswith("from the reference with BrainSR than with Cubic B-spline")
    assert found.text == "Result minus reference: white matter \N{MINUS SIGN}6.5 ml versus +5.0 ml."
    assert tissue_setbacks({"csf": {"bspline3": 5.0, "brainsr": -4.9}}, "brainsr") == []
    assert tissue_setbacks({"csf": {"bspline3": float("nan"), "brainsr": 90.0}}, "brainsr") == []
    assert tissue_setbacks(biases, "esrgan") == [] and tissue_setbacks({}, "brainsr") == []


def test_diagnoses_that_are_lost_are_told():
    rows = [
        ("test", name, 80, 0.8, 0.9, 0.8, 1.0, "zerofill", diff, 0.0, 0.0) for name, diff in (("a", -0.1), ("b", 0.1))
    ]
    names = ["split", "method", "pictures", "accuracy", "agreement", "agreement_ci_low", "agreement_ci_high"]
    names += ["baseline", "diff", "diff_ci_low", "diff_ci_high"]
    table = pd.DataFrame(rows, columns=pd.Index(names))
    assert [one.text for one in diagnosis_setbacks(table, "a")] == ["Agreement 0.900, difference \N{MINUS SIGN}0.100."]
    assert diagnosis_setbacks(table, "b") == []


def test_neurons_that_are_joined_or_divided_are_told():
    rows = [
        MembraneAgreement(
            "test", name, 18, 0.9, 0.7, 1.6, 1.4, 1.8, 0.3, 0.2, 0.4, "bspline3", diff, diff - 1, diff + 1
        )
        for name, diff in (("a", 0.25), ("b", -0.25))
    ]
    (found,) = membrane_setbacks(MEMBRANE_AGREEMENT.frame(rows), "a")
    assert found.title == "Neurons are separated less correctly with a than with Cubic B-spline"
    assert found.text.startswith("Variation of information 1.600 bits, a difference of +0.250 ")
    assert membrane_setbacks(MEMBRANE_AGREEMENT.frame(rows), "b") == []


def test_cells_that_are_missed_are_told():
    rows = [
        CellAgreement("test", name, 12, 900, 850, 0.9, 0.85, 0.87, 0.8, 0.9, "bspline3", diff, diff - 1, diff + 1)
        for name, diff in (("a", -0.02), ("b", 0.02))
    ]
    (found,) = cell_setbacks(CELL_AGREEMENT.frame(rows), "a")
    assert found.title == "Cells are found less correctly with a than with Cubic B-spline"
    assert found.text.startswith("F1 score 0.870, a difference of \N{MINUS SIGN}0.020 ")
    assert cell_setbacks(CELL_AGREEMENT.frame(rows), "b") == []


def test_tissue_volumes_of_one_volume_are_compared_with_the_reference():
    rows = [("zerofill", 104.0), ("brainsr", 94.0)]
    table = TISSUE.frame([TissueVolume("b", "S", "test", name, "bright", 100.0, ml, 0.9) for name, ml in rows])
    (found,) = tissue_volume_setbacks(table, "brainsr")
    assert found.text == "Result minus reference: bright \N{MINUS SIGN}6.0 ml versus +4.0 ml."
    assert tissue_volume_setbacks(TISSUE.frame(), "brainsr") == []
