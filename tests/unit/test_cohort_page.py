"""The page over all volumes: what stands in its parts, and that a part stands there only where there is a table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.reporting.metric_table import Column, MetricTable, Score, columns_of, first_region
from pipeline.reporting.numbers import format_interval, format_number
from pipeline.reporting.run_record import RunRecord, by_metric, read_run_record
from pipeline.reporting.section import Cell, Section, Text
from pipeline.reporting.sections import (
    comparisons,
    detail_ledger,
    gates,
    inserted_structures,
    metrics,
    reliability,
)
from pipeline.reporting.sections.problems import problems
from pipeline.reporting.sections.summary import best_methods
from pipeline.reporting.sections.volumes import volume_table
from pipeline.steps.__main__ import main
from pipeline.tables.comparisons import COMPARISONS
from pipeline.tables.gates import GATES
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES
from pipeline.tables.reliability import RELIABILITY, ReliabilityBin
from pipeline.tables.table import Table
from pipeline.tables.uncertainty import UNCERTAINTY, UncertaintySummary
from tests.cohort_run import HOSTILE_NAME, TABLES, cohort_command, make_cohort
from tests.helpers import Tags, run_step, the_message
from tests.report_run import index_command, make_run, provenance_command

PARTS = {"gates", "inserted", "reliability", "comparisons", "tissue", "diagnosis", "membranes", "cells", "duplicates"}
COUNT = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run"))
    assert main(provenance_command(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def tables(run, tmp_path_factory) -> Path:
    return make_cohort(run, tmp_path_factory.mktemp("cohort"), COUNT)


@pytest.fixture(scope="module")
def page(run, tables) -> str:
    assert main(cohort_command(run, tables, tables / "index.html")) == 0
    return (tables / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record(run, tables) -> RunRecord:
    files = [tables / f"{name}.csv" for name in ("volumes", "slices", "summary")]
    optional = [tables / f"{name}.csv" for name in TABLES]
    return read_run_record(files[0], files[1], files[2], tables / "provenance.json", [run / "models/rrdb_l1"], optional)


def with_table(record: RunRecord, table: Table[Any], rows: pd.DataFrame) -> RunRecord:
    """Return a run that has one optional table alone."""
    return dataclasses.replace(record, optional={table: rows})


def shown(section: Section | None) -> Section:
    assert section is not None
    return section


def sections(text: str) -> set[str]:
    return {str(attributes.get("id")) for tag, attributes in Tags(text).found if tag == "section"}


def test_every_table_has_its_part(page):
    assert sections(page) >= PARTS
    assert {"failures", "conclusions", "volumes", "numbers", "training", "data"} <= sections(page)


def test_without_test_volumes_the_page_says_that_nothing_was_tested(run, tmp_path):
    command = index_command(run, tmp_path / "untested.html")
    for name in ("volumes", "slices", "summary"):
        table = pd.read_csv(run / f"{name}.csv")
        table[table["split"] == "val"].to_csv(tmp_path / f"{name}.csv", index=False)
        command[command.index(str(run / f"{name}.csv"))] = str(tmp_path / f"{name}.csv")
    assert main(command) == 0
    text = (tmp_path / "untested.html").read_text(encoding="utf-8")
    assert "untested" in sections(text) and "No volume of this run has the split test" in text
    assert not {"failures", "conclusions", "volumes"} & sections(text)
    assert "Validation: used to choose settings, no evidence" in text


def test_a_part_stands_there_only_where_its_table_has_rows(run, tables, tmp_path):
    assert main(index_command(run, tmp_path / "none.html")) == 0
    assert not PARTS & sections((tmp_path / "none.html").read_text())
    GATES.write(tmp_path / "gates.csv", [])
    paths = [tmp_path / "gates.csv", tmp_path / "inserted_structures.csv", tables / "duplicates.csv"]
    assert main([*index_command(run, tmp_path / "some.html"), "--tables", *map(str, paths)]) == 0
    assert PARTS & sections((tmp_path / "some.html").read_text()) == {"duplicates"}


def test_a_table_with_other_columns_is_named(run, tmp_path):
    (tmp_path / "gates.csv").write_text("volume\nx\n")
    command = [*index_command(run, tmp_path / "index.html"), "--tables", str(tmp_path / "gates.csv")]
    message = the_message(run_step(*command))
    assert "gates.csv" in message and "subject" in message
    (tmp_path / "gate.csv").write_text("volume\n")
    assert "'gates'" in the_message(run_step(*command[:-1], str(tmp_path / "gate.csv")))


def test_hostile_names_are_text(page):
    tags = Tags(page)
    assert tags.open == []
    assert HOSTILE_NAME not in page
    assert page.count("&#34;&gt;&lt;img src=x onerror=alert(1)&gt;") >= 2
    assert not [1 for _, attributes in tags.found for name in attributes if name.startswith("on")]
    assert sum(tag == "script" for tag, _ in tags.found) == 1
    assert all(str(a.get("src")).startswith("data:") for tag, a in tags.found if tag == "img")
    identifiers = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_the_worst_volume_comes_first_and_validation_is_left_out(tables, record):
    listing = volume_table(record)
    psnr = columns_of(record.summary)[0]
    wanted = "split == 'test' and region == 'foreground' and metric == 'psnr'"
    volumes: Any = pd.read_csv(tables / "volumes.csv").query(wanted)
    by_method = volumes.pivot_table(index="volume", columns="method", values="value")
    expected = (by_method["rrdb_l1"] - by_method[psnr.baseline]).sort_values()
    assert [row[0].text for row in listing.rows] == expected.index.tolist()
    assert [row[3].number for row in listing.rows] == pytest.approx(expected.tolist())
    assert "mid" not in [row[0].text for row in listing.rows]
    worse = next(problem for problem in problems(record) if "by PSNR" in problem.what)
    assert list(worse.volumes) == expected.index[expected < 0].tolist()


def test_setbacks_are_shown_beside_the_headline(page, record):
    behind = "RRDB network, pixel loss preserves fewer inserted structures than Zero-filled k-space"
    assert behind in [problem.what for problem in problems(record)]
    assert page.count(behind) == 2
    assert page.count("a difference of \N{MINUS SIGN}10.0 percentage points") == 2
    level = with_table(record, INSERTED_STRUCTURES, record.table(INSERTED_STRUCTURES).assign(detected=3))
    assert not [problem for problem in problems(level) if "inserted" in problem.what]


def test_lower_values_win_where_lower_is_better():
    column = Column("gmsd", "foreground", "GMSD", "", 3, False, "bicubic")
    sharp = Column("edge_sharpness", "foreground", "Edge sharpness", "", 3, True, "bicubic", single_property=True)
    values = {("bicubic", column): 0.2, ("brainsr", column): 0.1, ("x", column): math.nan, ("pretrained", sharp): 1.0}
    scores = {key: Score(value) for key, value in values.items()}
    table = MetricTable((column, sharp), ("bicubic", "x", "pretrained", "brainsr"), scores, "brainsr")
    assert best_methods(table) == [("BrainSR", ["GMSD"])], "the sharpest edges win nothing"


def test_measures_stand_in_the_order_of_the_configuration(record):
    named = ["residual_noise", "ssim", "gmsd", "psnr"]
    row = record.summary.iloc[0].to_dict()
    regions = ("whole", "foreground")
    table = pd.DataFrame([{**row, "metric": m, "region": r} for m in sorted([*named, "vif"]) for r in regions])
    columns = columns_of(by_metric(table, named))
    assert [column.metric for column in first_region(columns)] == [*named, "vif"]
    assert [column.region for column in columns] == ["foreground"] * 5 + ["whole"] * 5
    assert [column.metric for column in columns if column.single_property] == ["residual_noise"] * 2


def test_every_gate_that_the_deliverable_failed_is_listed(record):
    rows = record.table(GATES).assign(passed=True)
    rows.loc[rows.index[2], "passed"] = False
    row = rows.iloc[2]
    assert row["method"] == "rrdb_l1"
    section = shown(gates.for_index(with_table(record, GATES, rows)))
    (failed,) = next(table for table in section.tables if table.name == "gates-failed").rows
    assert failed[0] == Cell(row["volume"], link=f"{row['volume']}.html", style="failed")
    assert failed[3].number == row["value"]
    kept = shown(gates.for_index(with_table(record, GATES, rows.assign(passed=True))))
    assert [table.name for table in kept.tables] == ["gates-table"]


def test_a_value_that_is_not_a_number_is_the_worst_of_a_gate(record):
    rows = record.table(GATES)
    own = rows[rows["method"] == "rrdb_l1"].reset_index(drop=True)
    own.loc[1, ["value", "passed"]] = [math.nan, False]
    failed, every = shown(gates.for_index(with_table(record, GATES, own))).tables
    assert "n/a" in [row[3].text for row in failed.rows]
    assert [row[4].text for row in every.rows] == ["n/a"], "and not the largest number"
    far = rows.assign(value=0.01, limit=0.09)
    far.loc[far.index[5], "value"] = 0.08
    assert gates.nearest_to_limit(far) == 5


def test_inserted_structures_are_counted_over_volumes(record):
    section = shown(inserted_structures.for_index(record))
    rows = {tuple(cell.text for cell in row[:4]): row for row in section.folded_tables[0].rows}
    found = rows["RRDB network, pixel loss", "lesion", "4", "\N{MINUS SIGN}0.2"]
    assert found[5].number == 20 * COUNT
    assert found[6].text == "70 %"  # 4 * 4 - 2 * 2 + 2 of 20
    assert found[6].interval == "[60, 80]"
    assert found[7].text == "5 %"
    (together,) = section.tables
    assert next(row[0].text for row in together.rows) == "RRDB network, pixel loss"
    assert len(together.rows) == 3
    assert together.rows[0][6].text == "\N{MINUS SIGN}10.0"
    assert together.rows[0][6].interval == "[\N{MINUS SIGN}15.0, \N{MINUS SIGN}5.0]"
    assert [cell.style for cell in together.rows[0][6:]] == ["worse", ""]
    assert len(section.figures) == 4


def test_reliability_counts_every_person_once_and_no_validation_person(record):
    levels = [
        UncertaintySummary(volume, subject, split, record.deliver, 0.9, coverage, 0.1, 0.05, 0.5, 100)
        for volume, subject, split, coverage in (
            *(("a", "A", "test", 0.8), ("b", "A", "test", 0.9), ("c", "C", "test", 0.95)),
            ("d", "D", "val", 0.1),
        )
    ]
    bins = [
        ReliabilityBin(one.volume, one.subject, one.split, record.deliver, 3, 0.2, 0.1, one.coverage, 10)
        for one in levels
    ]
    tables = {UNCERTAINTY: UNCERTAINTY.frame(levels), RELIABILITY: RELIABILITY.frame(bins)}
    section = shown(reliability.for_index(dataclasses.replace(record, optional=tables)))
    (note,) = [block.text for block in section.blocks if isinstance(block, Text)]
    assert "contain 90.0 % of the foreground voxels of the reference, on average over 2 persons" in note
    assert "range 85.0 % to 95.0 %" in note
    (row,) = section.folded_tables[0].rows
    assert row[3].number == pytest.approx(90) and row[3].interval == "[85.0 % to 95.0 %]"
    assert len(section.figures) == 2 and "90 %: 90.0 %" in section.figures[0].alt


def test_comparisons_show_every_method_with_the_corrected_p(record):
    section = shown(comparisons.for_index(record))
    (table,) = section.tables
    assert len(table.rows) == len(record.table(COMPARISONS))
    assert table.rows[0][3].interval == "[+0.30, +0.50]"
    assert table.rows[0][6].number == pytest.approx(0.006)
    assert {row[3].style for row in table.rows} == {"better"}
    by_psnr, by_ssim, reach = comparisons.statements(record.table(COMPARISONS), record.main_columns, record)
    assert by_psnr.startswith("Unseen subjects: By PSNR, RRDB network, pixel loss is better than ")
    assert by_ssim.startswith("Unseen subjects: By SSIM")
    assert f"over {COUNT} subjects, corrected for the number of baselines by Holm's method" in reach


def test_the_ledger_shows_right_missing_and_invented_detail(record):
    assert detail_ledger.for_index(record) is None
    rows = [
        ("test", method, "foreground", f"detail_{kind}", 1, share, share, share, "zerofill", 0.0, 0.0, 0.0, 1.0)
        for method, shares in {"zerofill": (0.1, 0.8, 0.1), "rrdb_l1": (0.5, 0.2, 0.3)}.items()
        for kind, share in zip(("right", "missing", "invented"), shares, strict=True)
    ]
    summary = pd.DataFrame(rows, columns=record.summary.columns)
    section = shown(detail_ledger.for_index(dataclasses.replace(record, summary=summary)))
    (table,) = section.tables
    assert [[cell.number for cell in row[2:]] for row in table.rows] == [[0.1, 0.8, 0.1], [0.5, 0.2, 0.3]]
    assert "RRDB network, pixel loss: right 0.5, missing 0.2, invented 0.3" in section.figures[0].alt


def test_a_split_of_one_volume_shows_its_slices(run):
    files = [run / f"{name}.csv" for name in ("volumes", "slices", "summary")]
    lone = read_run_record(files[0], files[1], files[2], run / "provenance.json", [run / "models/rrdb_l1"])
    figures = metrics.distribution_figures(lone)
    assert [figure.caption for figure in figures][:1] == ["Strokes are 16 slices."]
    assert len(figures) == 4
    assert metrics.distribution_figures(lone) == figures


def test_a_cell_knows_its_sign_and_missing_numbers():
    assert Cell.of(-1.5, 1) == Cell("\N{MINUS SIGN}1.5", -1.5)
    assert format_number(None) == "n/a"
    assert Cell.of(math.nan).key == ""
    assert format_interval(math.nan, 1) == ""
