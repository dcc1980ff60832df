"""The page over all volumes: what stands in its parts, and that a part stands there only where there is a table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pipeline.reporting.cohort_inputs import COLUMNS, Cohort, read_cohort
from pipeline.reporting.cohort_parts import (
    comparisons_part,
    gates_part,
    inserted_part,
    ledger_part,
    nearest_to_limit,
    reliability_part,
    spread_pictures,
)
from pipeline.reporting.cohort_volumes import troubles, volume_listing, winners

from pipeline.reporting.listing import Entry, interval, number
from pipeline.reporting.run_record import RunRecord, by_metric, read_run_record
from pipeline.reporting.tables import Column, columns_of, first_region
from pipeline.steps.__main__ import main
from tests.cohort_run import HOSTILE_NAME, cohort_command, make_cohort
from tests.helpers import Tags, run_step, the_message
from tests.report_run import index_command, make_run, provenance_command

PARTS = {"gates", "inserted", "reliability", "comparisons", "tissue", "diagnosis", "duplicates"}
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
    return read_run_record(files[0], files[1], files[2], tables / "provenance.json", [run / "models/rrdb_l1"])


@pytest.fixture(scope="module")
def cohort(tables) -> Cohort:
    return read_cohort({name: tables / f"{name}.csv" for name in COLUMNS}, [])


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
    assert "Validation: used to choose settings, proves nothing" in text


def test_a_part_stands_there_only_where_its_table_has_rows(run, tables, tmp_path):
    assert main(index_command(run, tmp_path / "none.html")) == 0
    assert not PARTS & sections((tmp_path / "none.html").read_text())
    (tmp_path / "gates.csv").write_text(",".join(COLUMNS["gates"]) + "\n")
    command = [*index_command(run, tmp_path / "some.html"), "--gates", str(tmp_path / "gates.csv")]
    command += ["--inserted", str(tmp_path / "absent.csv"), "--duplicates", str(tables / "duplicates.csv")]
    assert main(command) == 0
    assert PARTS & sections((tmp_path / "some.html").read_text()) == {"duplicates"}


def test_a_table_with_other_columns_is_named(run, tmp_path):
    (tmp_path / "gates.csv").write_text("volume\nx\n")
    command = [*index_command(run, tmp_path / "index.html"), "--gates", str(tmp_path / "gates.csv")]
    message = the_message(run_step(*command))
    assert "gates.csv" in message and "'subject'" in message


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


def test_the_worst_volume_comes_first_and_validation_is_no_proof(tables, record, cohort):
    listing = volume_listing(record, cohort, "rrdb_l1")
    psnr = columns_of(record.summary)[0]
    wanted = "split == 'test' and region == 'foreground' and metric == 'psnr'"
    volumes: Any = pd.read_csv(tables / "volumes.csv").query(wanted)
    by_method = volumes.pivot_table(index="volume", columns="method", values="value")
    expected = (by_method["rrdb_l1"] - by_method[psnr.baseline]).sort_values()
    assert [row[0].text for row in listing.rows] == expected.index.tolist()
    assert [row[3].number for row in listing.rows] == pytest.approx(expected.tolist())
    assert "mid" not in [row[0].text for row in listing.rows]
    worse = next(trouble for trouble in troubles(record, cohort, "rrdb_l1") if "by PSNR" in trouble.what)
    assert list(worse.volumes) == expected.index[expected < 0].tolist()


def test_what_speaks_against_the_deliverable_stands_beside_its_headline(page, record, cohort):
    told = [trouble.what for trouble in troubles(record, cohort, "rrdb_l1")]
    behind = "RRDB network, pixel loss shows fewer inserted structures than Zero-filled k-space"
    assert behind in told
    assert page.count(behind) == 2
    level = Cohort(inserted=cohort.inserted.assign(detected=3), tissue_agreement=cohort.tissue_agreement)
    assert not [trouble for trouble in troubles(record, level, "rrdb_l1") if "inserted" in trouble.what]


def test_what_is_lower_where_lower_is_better_counts_as_gain():
    column = Column("gmsd", "foreground", "GMSD", "", 3, False, "bicubic")
    sharp = Column("edge_sharpness", "foreground", "Edge sharpness", "", 3, True, "bicubic", of_one_property=True)
    means = {column: {"bicubic": 0.2, "rrdb_l1": 0.1, "x": math.nan}, sharp: {"pretrained": 1.0}}
    assert winners(means) == [("rrdb_l1", ["GMSD"])], "whoever draws the sharpest edges has won nothing"


def test_measures_stand_in_the_order_of_the_configuration(record):
    named = ["residual_noise", "ssim", "gmsd", "psnr"]
    row = record.summary.iloc[0].to_dict()
    regions = ("whole", "foreground")
    table = pd.DataFrame([{**row, "metric": m, "region": r} for m in sorted([*named, "vif"]) for r in regions])
    columns = columns_of(by_metric(table, named))
    assert [column.metric for column in first_region(columns)] == [*named, "vif"]
    assert [column.region for column in columns] == ["foreground"] * 5 + ["whole"] * 5
    assert [column.metric for column in columns if column.of_one_property] == ["residual_noise"] * 2


def test_gates_that_the_deliverable_failed_are_listed_each(cohort):
    gates = cohort.gates.assign(passed="true")
    gates.loc[gates.index[2], "passed"] = "false"
    part = gates_part(Cohort(gates=gates), "rrdb_l1")
    assert part is not None
    row = gates.iloc[2]
    assert row["method"] == "rrdb_l1"
    (failed,) = next(listing for listing in part.listings if listing.name == "gates-failed").rows
    assert failed[0] == Entry(row["volume"], link=f"{row['volume']}.html", kind="failed")
    assert failed[3].number == row["value"]
    kept = gates_part(Cohort(gates=gates.assign(passed="True")), "rrdb_l1")
    assert kept is not None and [listing.name for listing in kept.listings] == ["gates-listing"]


def test_a_volume_with_numbers_that_are_none_is_the_worst_of_a_gate(cohort, tmp_path):
    gates = cohort.gates[cohort.gates["method"] == "rrdb_l1"].astype({"value": str})
    gates.loc[gates.index[1], ["value", "passed"]] = ["nan", "false"]
    gates.to_csv(tmp_path / "gates.csv", index=False)
    part = gates_part(read_cohort({"gates": tmp_path / "gates.csv"}, []), "rrdb_l1")
    assert part is not None
    failed, every = part.listings
    assert "n/a" in [row[3].text for row in failed.rows]
    assert [row[4].text for row in every.rows] == ["n/a"], "and not the largest that is a number"
    far = cohort.gates.assign(value=0.01, limit=0.09)
    far.loc[far.index[5], "value"] = 0.08
    assert nearest_to_limit(far) == 5


def test_inserted_structures_are_counted_over_volumes(cohort):
    part = inserted_part(cohort, "rrdb_l1", "zerofill")
    assert part is not None
    rows = {tuple(entry.text for entry in row[:4]): row for row in part.folded[0].rows}
    found = rows["RRDB network, pixel loss", "lesion", "4", "\N{MINUS SIGN}0.2"]
    assert found[5].number == 20 * COUNT
    assert found[6].text == "70 %"  # 4 * 4 - 2 * 2 + 2 of 20
    assert found[6].aside == "[60, 80]"
    assert found[7].text == "5 %"
    (together,) = part.listings
    assert next(row[0].text for row in together.rows) == "RRDB network, pixel loss"
    assert len(together.rows) == 3
    assert together.rows[0][6].text == "\N{MINUS SIGN}10.0"
    assert together.rows[0][6].aside == "[\N{MINUS SIGN}15.0, \N{MINUS SIGN}5.0]"
    assert [entry.kind for entry in together.rows[0][6:]] == ["worse", ""]
    assert len(part.pictures) == 4


def test_reliability_is_pooled_as_means_over_voxels():
    rows = [("a", "A", "test", "m", 1, 0.1, 0.3, 30), ("b", "B", "test", "m", 1, 0.2, 0.1, 10)]
    val = ("c", "C", "val", "m", 1, 9.0, 9.0, 1000)
    table = pd.DataFrame([*rows, val], columns=pd.Index(COLUMNS["reliability"]))
    part = reliability_part(Cohort(reliability=table), "m")
    assert part is not None
    (row,) = part.folded[0].rows
    assert row[2].number == pytest.approx((30 * 0.1 + 10 * 0.2) / 40)
    assert row[3].number == pytest.approx((30 * 0.3 + 10 * 0.1) / 40)
    assert row[4].number == 40


def test_comparisons_show_every_baseline_with_the_corrected_p(record, cohort):
    part = comparisons_part(record, cohort, "rrdb_l1")
    assert part is not None
    (listing,) = part.listings
    assert len(listing.rows) == len(cohort.comparisons)
    assert listing.rows[0][3].aside == "[+0.30, +0.50]"
    assert listing.rows[0][6].number == pytest.approx(0.006)
    assert {row[3].kind for row in listing.rows} == {"better"}
    by_psnr, by_ssim, reach = part.sentences
    assert by_psnr.startswith("Another subject: By PSNR, RRDB network, pixel loss is better than ")
    assert by_ssim.startswith("Another subject: By SSIM")
    assert f"over {COUNT} subjects, corrected for the number of baselines by Holm's method" in reach


def test_the_ledger_shows_right_missing_and_invented_detail(record):
    assert ledger_part(record, "rrdb_l1") is None
    rows = [
        ("test", method, "foreground", f"detail_{kind}", 1, share, share, share, "zerofill", 0.0, 0.0, 0.0, 1.0)
        for method, shares in {"zerofill": (0.1, 0.8, 0.1), "rrdb_l1": (0.5, 0.2, 0.3)}.items()
        for kind, share in zip(("right", "missing", "invented"), shares, strict=True)
    ]
    summary = pd.DataFrame(rows, columns=record.summary.columns)
    part = ledger_part(dataclasses.replace(record, summary=summary), "rrdb_l1")
    assert part is not None
    (listing,) = part.listings
    assert [[entry.number for entry in row[2:]] for row in listing.rows] == [[0.1, 0.8, 0.1], [0.5, 0.2, 0.3]]
    assert "RRDB network, pixel loss: right 0.5, missing 0.2, invented 0.3" in part.pictures[0].text


def test_a_split_of_one_volume_shows_its_slices(run):
    files = [run / f"{name}.csv" for name in ("volumes", "slices", "summary")]
    lone = read_run_record(files[0], files[1], files[2], run / "provenance.json", [run / "models/rrdb_l1"])
    pictures = spread_pictures(lone, "rrdb_l1")
    assert [picture.caption for picture in pictures][:1] == ["Strokes are 16 slices."]
    assert len(pictures) == 4
    assert spread_pictures(lone, "rrdb_l1") == pictures


def test_numbers_know_their_signs_and_what_is_not_known():
    assert number(-1.5, 1) == Entry("\N{MINUS SIGN}1.5", -1.5)
    assert number(None).text == "n/a"
    assert number(math.nan).key == ""
    assert interval(math.nan, 1) == ""
