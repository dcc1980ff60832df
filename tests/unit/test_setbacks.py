"""What speaks against the deliverable is said, with its numbers, and only where it does."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.reporting.cohort_inputs import COLUMNS, Cohort
from pipeline.reporting.cohort_volumes import split_setbacks
from pipeline.reporting.setbacks import diagnosis_setbacks, planted_setbacks, read_setbacks, tissue_setbacks


def planted(**detected: tuple[int, int]) -> pd.DataFrame:
    """Returns a table of two volumes with two conditions each, of 20 structures; counts by method and volume."""
    rows = [
        (volume, "S", "test", method, kind, 2, 0.2, 20, count if kind == "lesion" else 0, 0)
        for method, counts in detected.items()
        for volume, count in zip(("a", "b"), counts, strict=True)
        for kind in ("lesion", "vessel")
    ]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS["planted"]))


def test_fewer_planted_structures_than_the_best_classical_method_are_told():
    (found,) = planted_setbacks(planted(bicubic=(9, 9), zerofill=(10, 12), brainsr=(11, 5), truth=(20, 20)), "brainsr")
    assert found.title == "BrainSR shows fewer planted structures than Zero-filled k-space"
    assert found.text.startswith("Found after BrainSR: 16 of 80 (20%); after Zero-filled k-space: 22 of 80 (28%).")
    assert found.volumes == ("b",)
    assert found.in_total


def test_a_method_that_shows_as_many_has_nothing_against_it():
    assert planted_setbacks(planted(zerofill=(10, 12), brainsr=(10, 12), truth=(20, 20)), "brainsr") == []
    assert planted_setbacks(planted(pretrained=(10, 12), brainsr=(1, 1)), "brainsr") == [], "no classical method"
    assert planted_setbacks(planted(zerofill=(1, 1)), "brainsr") == [], "the deliverable was not asked"
    assert planted_setbacks(planted().iloc[:0], "brainsr") == []


def test_one_volume_with_fewer_is_none_of_the_split_as_a_whole():
    table = planted(zerofill=(10, 12), brainsr=(30, 11))
    (found,) = planted_setbacks(table, "brainsr")
    assert found.volumes == ("b",) and not found.in_total
    assert split_setbacks(Cohort(planted=table), "test", "brainsr") == []
    assert len(split_setbacks(Cohort(planted=planted(zerofill=(10, 12), brainsr=(1, 1))), "test", "brainsr")) == 1
    assert split_setbacks(Cohort(planted=planted(zerofill=(10, 12), brainsr=(1, 1))), "val", "brainsr") == []


def test_each_tissue_is_compared_with_the_nearest_classical_method():
    biases = {
        "white_matter": {"bspline3": 5.0, "zerofill": -8.0, "brainsr": -6.5, "pretrained": 0.1},
        "grey_matter": {"bspline3": 5.0, "brainsr": -4.9},
        "csf": {"bspline3": float("nan"), "brainsr": 90.0},
    }
    (found,) = tissue_setbacks(biases, "brainsr")
    assert found.text == "Result minus truth: white matter \N{MINUS SIGN}6.5 ml, Cubic B-spline +5.0 ml."
    assert tissue_setbacks({"csf": biases["grey_matter"]}, "brainsr") == []
    assert tissue_setbacks(biases, "esrgan") == []


def test_diagnoses_that_are_lost_are_told():
    rows = [
        ("test", name, 80, 0.8, 0.9, 0.8, 1.0, "zerofill", diff, 0.0, 0.0) for name, diff in (("a", -0.1), ("b", 0.1))
    ]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS["diagnosis"]))
    assert [one.text for one in diagnosis_setbacks(table, "a")] == ["Agreement 0.900, difference \N{MINUS SIGN}0.100."]
    assert diagnosis_setbacks(table, "b") == []


def test_those_of_a_volume_are_read_from_its_rows_alone(tmp_path: Path):
    planted(zerofill=(10, 12), brainsr=(11, 5)).to_csv(tmp_path / "planted.csv", index=False)
    (tmp_path / "tissue.csv").write_text(
        "volume,method,tissue,truth_ml,method_ml\nb,zerofill,bright,100,104\nb,brainsr,bright,100,94\n"
        "a,zerofill,bright,100,109\na,brainsr,bright,100,94\n"
    )
    paths = [tmp_path / "planted.csv"], [tmp_path / "tissue.csv"]
    assert read_setbacks(*paths, "a", "brainsr") == []
    found = read_setbacks(*paths, "b", "brainsr")
    assert [one.text.split(":")[0] for one in found] == ["Found after BrainSR", "Result minus truth"]
    assert read_setbacks([], [], "b", "brainsr") == []
    with pytest.raises(UserError, match=r"tissue\.csv: the column 'planted' is missing"):
        read_setbacks(paths[1], [], "b", "brainsr")
