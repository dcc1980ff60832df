from __future__ import annotations

import base64
import io
import json
import math
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PillowImage

from pipeline.config.volumes import Volume
from pipeline.formats.io.container import read_image
from pipeline.image.slices import evenly_spaced
from pipeline.physics.forward import describe_noise
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise import none, rician
from pipeline.provenance.environment import git_state, installed_commit, package_versions
from pipeline.provenance.record import find_gaps
from pipeline.reporting.figures.gallery import error_scale, repeat_voxels
from pipeline.reporting.figures.lines import Line, draw_lines
from pipeline.reporting.figures.slices import (
    LONGEST_SIDE,
    Box,
    bounding_box,
    colours,
    data_uri,
    detail_box,
    display_slice,
    display_spacing,
    fit,
    to_colour,
    to_grey,
)
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.methods_text import region_text
from pipeline.reporting.metric_table import Column, split_table
from pipeline.reporting.run_record import read_model, read_run_record
from pipeline.reporting.templates import cited, linked, render
from pipeline.reporting.titles import SPLIT_ORDER, in_order, method_title, split_claim
from pipeline.reporting.verdict import Verdict, verdict
from pipeline.reporting.volume_metrics import volume_numbers
from pipeline.steps.__main__ import main
from pipeline.tables.summary import SUMMARY
from tests.helpers import Tags, run_step, the_message
from tests.provenance import provenance
from tests.report_run import BLOCKS, HOSTILE, index_command, make_run, provenance_command, report_command, write_report

PSNR = Column("psnr", "foreground", "PSNR", "dB", 2, True, "bicubic")
ERROR = Column("error", "foreground", "Error", "", 3, False, "bicubic")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run"))
    assert main(provenance_command(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def page(run) -> str:
    assert write_report(run, "block", run / "reports/block.html", title=HOSTILE) == 0
    return (run / "reports/block.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def index(run) -> str:
    assert main(index_command(run, run / "reports/index.html", title=HOSTILE)) == 0
    return (run / "reports/index.html").read_text(encoding="utf-8")


def pixels(uri: str) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


# Pictures


def test_evenly_spaced_takes_the_middles_of_equal_parts():
    assert evenly_spaced(range(100, 112), 3) == [102, 106, 110]
    assert evenly_spaced([4, 9], 5) == [4, 9]


@pytest.mark.parametrize(
    ("axis", "left", "right", "top", "bottom"),
    [(2, "R", "L", "A", "P"), (1, "R", "L", "S", "I"), (0, "A", "P", "S", "I")],
)
def test_a_drawn_slice_lies_in_the_radiological_convention(axis, left, right, top, bottom):
    ends = {"L": (0, 0), "R": (0, -1), "P": (1, 0), "A": (1, -1), "I": (2, 0), "S": (2, -1)}
    for letter, place in ((left, (slice(None), 0)), (right, (slice(None), -1)), (top, 0), (bottom, -1)):
        volume = np.zeros((4, 5, 6))
        where, end = ends[letter]
        np.moveaxis(volume, where, 0)[end] = 1
        drawn = display_slice(volume, axis, 2)
        assert drawn[place].all()
        assert drawn.sum() == drawn[place].size


def test_spacing_follows_the_drawn_rows_and_columns():
    assert display_spacing((1, 2, 3), 2) == (2, 1)
    assert display_spacing((1, 2, 3), 1) == (3, 1)
    assert display_spacing((1, 2, 3), 0) == (3, 2)


def test_the_box_holds_the_foreground_of_all_slices_with_a_margin():
    one, other = np.zeros((50, 60), bool), np.zeros((50, 60), bool)
    one[10:20, 30:40] = True
    other[15:45, 5:8] = True
    box = bounding_box([one, other])
    assert box.top < 10
    assert box.bottom > 45
    assert box.left < 5
    assert box.right > 40
    assert box.cut(one).sum() + box.cut(other).sum() == one.sum() + other.sum()


def test_the_detail_is_where_the_reference_has_edges_and_square_in_millimetres():
    mask = np.zeros((100, 50), bool)
    mask[10:90, 5:45] = True
    reference = np.zeros((100, 50))
    reference[54:62:2, 26:30] = 1
    box = bounding_box([mask])
    detail = detail_box(reference, mask, box, (1.0, 2.0))
    assert detail.top <= 54
    assert detail.bottom > 60
    assert detail.left <= 26
    assert detail.right > 29
    assert detail.shape[0] == pytest.approx(2 * detail.shape[1], abs=2)


def test_the_detail_stays_inside_small_pictures():
    reference = np.random.default_rng(0).random((11, 13))
    detail = detail_box(reference, np.ones((11, 13), bool), Box(0, 11, 0, 13), (1.0, 1.0))
    assert detail.top >= 0
    assert detail.left >= 0
    assert detail.bottom <= 11
    assert detail.right <= 13


def test_grey_pictures_survive_encoding_without_loss():
    picture = np.random.default_rng(0).integers(0, 256, (37, 21), dtype=np.uint8)
    decoded = pixels(data_uri(picture))
    assert np.array_equal(decoded if decoded.ndim == 2 else decoded[..., 0], picture)
    assert len(data_uri(picture, 30)) < len(data_uri(picture))


def test_grey_levels_clip_at_the_window():
    assert to_grey(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0]]), 0.0, 1.0).tolist() == [[0, 0, 128, 255, 255]]


def test_errors_get_brighter_colours():
    ramp = to_colour(np.linspace(0, 1, 256)[None], 1.0)[0].astype(float)
    lightness = ramp @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1).all()
    assert lightness[0] < 5
    assert lightness[-1] > 200
    assert np.array_equal(to_colour(np.array([[7.0]]), 1.0)[0, 0], colours()[255])


def test_large_pictures_are_averaged_to_fit():
    picture = np.arange(LONGEST_SIDE * 2 * 4, dtype=float).reshape(LONGEST_SIDE * 2, 4)
    small = fit(picture)
    assert small.shape == (LONGEST_SIDE, 2)
    assert small[0, 0] == picture[:2, :2].mean()
    assert fit(picture[:10]) is not None
    assert np.array_equal(fit(picture[:10]), picture[:10])


def test_low_resolution_pixels_cover_the_voxels_they_measured(run):
    reference = read_image(run / "extracted/block.safetensors")
    low = read_image(run / "degraded/block.safetensors", LowResolutionImage)
    enlarged = repeat_voxels(low, reference)
    assert enlarged.shape == reference.data.shape == (45, 52, 8)
    assert (enlarged[8:12, 4:8, 3] == low.data[2, 1, 3]).all()
    assert (enlarged[44, 51] == low.data[11, 12]).all()


def test_pages_that_would_be_too_large_store_pictures_with_loss_and_say_so(run, page, monkeypatch):
    monkeypatch.setattr("pipeline.reporting.figures.gallery.BUDGET_BYTES", 1)
    assert write_report(run, "block", run / "again/small.html", title=HOSTILE) == 0
    text = (run / "again/small.html").read_text(encoding="utf-8")
    assert "stored with slight loss" in text
    assert "stored with slight loss" not in page
    assert len(text) < len(page)


def test_the_scale_of_errors_is_rounded_up_to_percents():
    reference, mask = np.zeros((10, 10)), np.ones((10, 10), bool)
    assert error_scale([reference + 0.231], [reference], [mask]) == pytest.approx(0.24)
    assert error_scale([reference], [reference], [mask]) == 0.01


# Curves


def test_drawings_are_the_same_bytes_each_time_and_bear_no_date():
    def draw():
        line = Line("a $x$ <b>", np.arange(5.0), np.array([1, math.inf, 3, math.nan, 2.0]), "delivered")
        return draw_lines("PSNR", "slice", "PSNR (dB)", [line, line])

    first = draw()
    assert first == draw()
    svg = base64.b64decode(first.split(",", 1)[1]).decode()
    assert "<dc:date>" not in svg
    assert "<svg" in svg


# Tables


@pytest.mark.parametrize(
    ("low", "high", "column", "expected"),
    [
        (0.1, 0.3, PSNR, "better"),
        (-0.3, -0.1, PSNR, "worse"),
        (-0.1, 0.2, PSNR, "unclear"),
        (0.1, 0.3, ERROR, "worse"),
        (-0.3, -0.1, ERROR, "better"),
        (math.nan, math.nan, PSNR, "unclear"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(low, high, column, expected):
    assert column.verdict(low, high) == expected


def test_numbers_have_true_minus_signs_and_say_when_there_is_none():
    assert PSNR.format(-1.234, sign=True) == "\N{MINUS SIGN}1.23"
    assert PSNR.format(1.236, sign=True) == "+1.24"
    assert PSNR.format(math.nan) == "n/a"
    assert PSNR.format(math.inf) == "inf"


def test_methods_go_from_classical_to_delivered():
    given = ["rrdb_l1", "zerofill", "another", "pretrained", "nearest", "bicubic"]
    assert in_order(given, "rrdb_l1") == ["nearest", "bicubic", "zerofill", "pretrained", "another", "rrdb_l1"]
    assert method_title("another") == "another"


def test_the_split_table_marks_the_best_and_the_baseline(run):
    summary = SUMMARY.read(run / "summary.csv")
    scores = split_table(summary, "test", "rrdb_l1")
    table = scores.table("metrics-test", "Means")
    assert [title for title, _ in table.groups] == ["Foreground", "Whole slice"]
    for place, column in enumerate(scores.columns, start=1):
        part = summary[
            (summary.split == "test") & (summary.region == column.region) & (summary.metric == column.metric)
        ].set_index("method")
        best = [row[0].code for row in table.rows if row[place].best]
        assert best == [part["mean"].idxmax()]
        baseline = [row[0].code for row in table.rows if row[place].aside == "baseline"]
        assert baseline == [part["baseline"].iloc[0]]
        delivered = table.rows[-1][place]
        assert delivered.text == column.format(part.loc["rrdb_l1", "mean"])
        assert delivered.interval.startswith("[")


def test_the_interval_of_a_lone_volume_equals_the_summary(run):
    models = [run / "models/rrdb_l1"]
    volumes, slices, summary = (run / name for name in ("volumes.csv", "slices.csv", "summary.csv"))
    record = read_run_record(volumes, slices, summary, run / "provenance.json", models)
    for volume, split in (("block", "test_within_subject"), ("other", "test")):
        own = pd.DataFrame(volume_numbers(record, volume)).set_index(["method", "region", "metric"]).sort_index()
        part = record.summary[record.summary["split"] == split].set_index(["method", "region", "metric"]).sort_index()
        names = ["diff", "diff_ci_low", "diff_ci_high"]
        np.testing.assert_allclose(own[names].to_numpy(float), part[names].to_numpy(float), atol=2e-6)
        np.testing.assert_allclose(own["value"].to_numpy(float), part["mean"].to_numpy(float), atol=2e-6)


def test_the_verdict_compares_over_the_foreground(run):
    summary = SUMMARY.read(run / "summary.csv")

    def found(table: pd.DataFrame, deliver: str = "rrdb_l1") -> Verdict:
        return verdict(split_table(table, "test", deliver))

    assert [number.title for number in found(summary).key_numbers] == ["PSNR", "SSIM"]
    assert found(summary).kind == "better"
    worse = summary.assign(**{name: -summary[name] for name in ("diff", "diff_ci_low", "diff_ci_high")})
    assert found(worse).kind == "worse"
    mixed = summary.copy()
    mixed.loc[mixed["metric"] == "psnr", ["diff_ci_low", "diff_ci_high"]] *= -1
    assert found(mixed).kind == "mixed"
    for baseline in ("nearest", summary["baseline"].iloc[0]):
        assert found(summary, baseline).kind == "baseline"
    assert found(summary, "nothing").kind == "absent"


def judged(run: Path, **ends: tuple[float, float]) -> Verdict:
    """Return the verdict on a network of which the intervals of the differences are given by metric."""
    row = SUMMARY.read(run / "summary.csv").query("split == 'test' and method == 'rrdb_l1'").iloc[0].to_dict()
    rows = [{**row, "metric": name, "diff_ci_low": low, "diff_ci_high": high} for name, (low, high) in ends.items()]
    return verdict(split_table(pd.DataFrame(rows), "test", "rrdb_l1"))


GAIN, LOSS, NEITHER, UNKNOWN = (0.1, 0.2), (-0.2, -0.1), (-0.1, 0.2), (math.nan, math.nan)


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ({"psnr": GAIN, "gmsd": LOSS}, "better"),
        ({"psnr": GAIN, "ssim": NEITHER}, "partly_better"),
        ({"psnr": LOSS, "ssim": NEITHER}, "partly_worse"),
        ({"psnr": LOSS, "ssim": NEITHER, "vif": GAIN}, "mixed"),
        ({"psnr": NEITHER}, "unclear"),
        ({"psnr": GAIN, "psnr_3d": UNKNOWN}, "better"),
        ({"psnr_3d": UNKNOWN}, "undecided"),
        ({"edge_sharpness": GAIN}, "no_metric"),
    ],
)
def test_the_headline_says_no_more_than_the_measures(run, ends, kind):
    assert judged(run, **ends).kind == kind


def test_measures_of_one_property_decide_no_headline(run):
    one_property = ("detail_right", "edge_sharpness", "residual_noise", "detail_missing", "detail_invented")
    found = judged(run, **dict.fromkeys(one_property, NEITHER), psnr=GAIN, ssim=GAIN)
    assert found.kind == "better"
    assert [number.title for number in found.key_numbers] == ["PSNR", "SSIM"]
    assert found.counts == "", "all that decides is in large type"


def test_measures_that_agree_need_not_be_listed(run):
    found = judged(run, **dict.fromkeys(("ssim", "psnr", "ms_ssim", "vif", "haarpsi"), GAIN))
    assert found.counts == "All 5 metrics of similarity agree."


def test_a_measure_that_is_not_in_large_type_is_told_where_it_decides(run):
    better = dict.fromkeys(("ssim", "psnr", "ms_ssim", "vif"), GAIN)
    found = judged(run, **better, haarpsi=LOSS)
    assert [number.title for number in found.key_numbers] == ["SSIM", "PSNR", "MS-SSIM", "VIF"]
    assert found.kind == "mixed"
    assert found.counts == "Of 5 metrics of similarity: better by SSIM, PSNR, MS-SSIM, VIF; worse by HaarPSI."


# Words


def test_references_are_numbered_as_they_are_cited():
    books = Bibliography()
    assert books.cite("adam") == " [1]"
    assert books.cite("n4", "adam") == " [2][1]"
    assert books.cite_text("", "Own work") == " [3]"
    assert books.cite_text("") == ""
    assert books.references[2] == "Own work"


def test_marks_and_identifiers_become_links_and_all_else_is_escaped():
    assert str(cited("<b> [2]")) == '&lt;b&gt; <a class="mark" href="#reference-2">[2]</a>'
    text = str(linked('x doi:10.1000/a"onclick="b'))
    assert 'href="https://doi.org/10.1000/a"' in text
    assert '"onclick' not in text


def test_every_split_says_what_it_can_prove():
    assert "at least 8 slices" in split_claim("test_within_subject", 8)
    assert "do not show that it generalises to others" in split_claim("test_within_subject")
    assert "trained on the low-resolution volume itself" in split_claim("test", self_supervised=True)
    assert region_text(["foreground", "whole"]) == "over the foreground and over the whole slice"
    assert "against the mean of the two neighbouring slices" in region_text(["neighbours"])
    assert "no evidence" in split_claim("val")
    assert all(split_claim(split) for split in SPLIT_ORDER)


def test_no_noise_is_told_as_such():
    assert describe_noise(none.Parameters(), 0.02) == "without noise"
    assert "Rician" in describe_noise(rician.Parameters(), 0.02)


# Provenance


def test_gaps_are_counted_between_blocks_of_one_head_in_different_splits():
    volumes = [Volume.model_validate_json(json.dumps(entry)) for entry in BLOCKS]
    found = {(gap.one, gap.other): gap.slices for gap in find_gaps(volumes)}
    assert found == {("low", "mid"): 10, ("low", "block"): 25, ("mid", "block"): 9}
    record = provenance(gaps=tuple(find_gaps(volumes)))
    assert record.gap_to_training("block") == 25
    assert record.gap_to_training("other") is None


def test_the_record_is_complete_and_the_same_each_time(run):
    first = (run / "provenance.json").read_bytes()
    assert main(provenance_command(run)) == 0
    assert (run / "provenance.json").read_bytes() == first
    record = json.loads(first)
    assert record["config"]["train"]["validate_every"] > 0
    assert record["seed"] == 7
    assert not {"report", "resources"} & record["config"].keys()
    assert record["packages"]["numpy"] == np.__version__
    assert {volume["id"] for volume in record["volumes"]} == {entry["id"] for entry in BLOCKS}
    assert record["sources"][0]["used_for"] == ["low", "mid", "block"]
    assert record["sources"][0]["licence"] == HOSTILE


def test_versions_are_found_without_importing_the_packages(tmp_path):
    code = (
        "import sys; from pipeline.provenance.environment import package_versions; versions = package_versions();"
        "assert 'torch' in versions and 'snakemake' in versions, versions;"
        "assert not {'torch', 'snakemake', 'SimpleITK', 'matplotlib'} & set(sys.modules)"
    )
    import sys

    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert package_versions()["nibabel"]


def test_the_commit_is_of_the_checkout_itself(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert git_state(tmp_path) is None
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/a.py").write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "x")
    state = git_state(tmp_path)
    assert state is not None
    assert re.fullmatch("[0-9a-f]{40}", state.commit)
    assert not state.changed
    (tmp_path / "my_notes.txt").write_text("not code")
    assert git_state(tmp_path) == state
    (tmp_path / "pipeline/a.py").write_text("2")
    assert git_state(tmp_path) == state.model_copy(update={"changed": True})
    assert git_state(tmp_path / "pipeline") is None


def test_the_commit_of_an_installed_package_is_that_which_pip_recorded(tmp_path):
    assert installed_commit(tmp_path) is None
    (tmp_path / "brainsr-1.dist-info").mkdir()
    (tmp_path / "brainsr-1.dist-info/METADATA").write_text("Name: brainsr\nVersion: 1\n")
    assert installed_commit(tmp_path) is None
    record = tmp_path / "brainsr-1.dist-info/direct_url.json"
    record.write_text('{"url": "file:///home/me/brainsr", "dir_info": {}}')
    assert installed_commit(tmp_path) is None
    record.write_text('{"url": "https://example.org/brainsr", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}}')
    state = installed_commit(tmp_path)
    assert state is not None
    assert (state.commit, state.changed) == ("0a1b", False)


# Pages


def test_pages_are_the_same_bytes_each_time(run, page, index):
    assert write_report(run, "block", run / "again/block.html", title=HOSTILE) == 0
    assert main(index_command(run, run / "again/index.html", title=HOSTILE)) == 0
    assert (run / "again/block.html").read_text(encoding="utf-8") == page
    assert (run / "again/index.html").read_text(encoding="utf-8") == index


def test_the_clock_of_the_training_does_not_reach_the_page(run, index):
    assert "61.5" not in index
    path = run / "models/rrdb_l1/history.csv"
    before = path.read_text()
    try:
        path.write_text(before.replace("61.5", "99.9").replace("120.2", "777.7"))
        assert main(index_command(run, run / "again/clock.html", title=HOSTILE)) == 0
        assert (run / "again/clock.html").read_text(encoding="utf-8") == index
        path.write_text(before.replace(",22,", ",12,"))
        assert main(index_command(run, run / "again/clock.html", title=HOSTILE)) == 0
        assert (run / "again/clock.html").read_text(encoding="utf-8") != index
    finally:
        path.write_text(before)


@pytest.mark.parametrize("kind", ["page", "index"])
def test_pages_need_nothing_from_elsewhere_and_escape_what_comes_from_data(kind, request):
    text = request.getfixturevalue(kind)
    tags = Tags(text)
    assert tags.open == []
    assert HOSTILE not in text
    assert "&lt;script&gt;alert" in text
    assert sum(tag == "script" and "type" not in attributes for tag, attributes in tags.found) == 1
    for tag, attributes in tags.found:
        for name in ("src", "href"):
            value = attributes.get(name)
            if value is None or value.startswith(("data:", "#")):
                continue
            assert tag == "a", (tag, attributes)
            assert value.startswith(("https://doi.org/", "https://arxiv.org/")) or value.endswith(".html")
        assert tag != "img" or attributes.get("alt") is not None
        assert not [name for name in attributes if name.startswith("on")]
    identifiers = [attributes["id"] for _, attributes in tags.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = [attributes["href"] for _, attributes in tags.found if (attributes.get("href") or "").startswith("#")]
    assert {(link or "")[1:] for link in links} <= set(identifiers)


def test_a_volume_page_has_every_method_and_slice(run, page):
    tags = Tags(page)
    shown = [str(attributes.get("id")) for tag, attributes in tags.found if tag == "img"]
    for method in ("low", "least_squares", "pretrained", "rrdb_l1", "reference"):
        assert sum(name.endswith(f"-{method}") for name in shown) == 4, method
    held = json.loads(page.split('id="viewer-data">')[1].split("</script>")[0])
    baselines = ["bicubic", "bspline3", "zerofill", "nlm_bspline3", "least_squares"]
    methods = ["low", *baselines, "pretrained", "rrdb_l1", "reference"]
    assert [layer["name"] for layer in held["layers"]] == methods
    assert held["shape"][0] == len(held["labels"]) == 8
    assert len(page) < 6_000_000
    assert "at least 25 slices" in page
    assert "Not for diagnosis" in page


def test_pictures_show_the_right_slice_the_right_way_up(run, page):
    reference = read_image(run / "extracted/block.safetensors")
    index = evenly_spaced(reference.block.foreground_slices, 4)[1]
    uri = next(a["src"] for _, a in Tags(page).found if a.get("id") == f"picture-{index}-reference")
    found = pixels(str(uri))
    found = (found if found.ndim == 2 else found[..., 0]).astype(float)
    own = reference.data[:, :, index].T[::-1, ::-1]
    scores = {}
    for name, candidate in (("same", own), ("left-right", own[:, ::-1]), ("upside down", own[::-1])):
        rows, columns = candidate.shape
        top, left = (rows - found.shape[0]) // 2, (columns - found.shape[1]) // 2
        part = candidate[top : top + found.shape[0], left : left + found.shape[1]]
        scores[name] = np.corrcoef(part.ravel(), found.ravel())[0, 1]
    assert max(scores, key=scores.__getitem__) == "same"


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_other_planes_and_long_voxels_keep_their_shape(tmp_path, plane):
    folder = make_run(tmp_path, plane, (1.0, 1.5, 2.0))
    assert main(provenance_command(folder)) == 0
    assert write_report(folder, "block", folder / "block.html", slices_shown=1) == 0
    images = [a for _, a in Tags((folder / "block.html").read_text()).found if str(a.get("id")).endswith("-reference")]
    aspect = float(str(images[0]["style"]).split(":")[1])
    found = pixels(str(images[0]["src"]))
    rows, columns = found.shape[:2]
    expected = columns * 1.0 / (rows * 2.0) if plane == "coronal" else columns * 1.5 / (rows * 2.0)
    assert aspect == pytest.approx(expected, rel=1e-3)


def test_one_slice_and_one_method_are_enough(run):
    command = report_command(run, "block", run / "again/one", slices_shown=1)
    start = command.index("--predictions")
    stop = command.index("--volumes-table")
    only = [item for item in command[start + 1 : stop] if "rrdb_l1" in item]
    assert main([*command[: start + 1], *only, *command[stop:]]) == 0


def test_the_policy_of_the_page_names_its_script(page):
    import hashlib

    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page


def test_a_missing_value_in_a_template_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("page.html.j2")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("summary.csv", "split,method\n", "region"),
        ("slices.csv", "", "slices.csv"),
        ("provenance.json", "{", "provenance.json"),
        ("volumes.csv", None, "volumes.csv"),
    ],
)
def test_a_damaged_input_is_named(run, tmp_path, name, content, expected):
    command = index_command(run, tmp_path / "index.html")
    broken = tmp_path / name
    if content is not None:
        broken.write_text(content)
    command = [str(broken) if part == str(run / name) else part for part in command]
    message = the_message(run_step(*command))
    assert name in message
    assert expected in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ([name] if content is not None else [])


def test_a_model_without_a_card_is_named(tmp_path):
    from pipeline.errors import UserError

    with pytest.raises(UserError, match=r"model_card\.md"):
        read_model(tmp_path)


def test_captions_of_the_snakemake_report_are_filled():
    from types import SimpleNamespace

    from jinja2 import Environment, StrictUndefined

    job = SimpleNamespace(config={"run": "demo"}, wildcards=SimpleNamespace(volume="mni152"))
    captions = sorted((Path(__file__).parents[2] / "workflow/report").glob("*.rst"))
    assert captions
    for caption in captions:
        template = Environment(undefined=StrictUndefined, autoescape=True).from_string(caption.read_text())
        assert "{{" not in template.render(snakemake=job)
