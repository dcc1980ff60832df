"""The page of a volume: sheets of the viewer, similarity, gates, limitations, run times."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.formats.io.container import read_image, write_image
from pipeline.image.channels import COLOURS
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.metrics import frc
from pipeline.metrics._shells import first_below
from pipeline.provenance.environment import processor_name
from pipeline.reporting.figures import viewer
from pipeline.reporting.figures.gallery import absolute_error, choose_slices, picture_label, scale_bar, with_colours
from pipeline.reporting.figures.slices import Box, display_slice, display_slices, red_of
from pipeline.reporting.figures.viewer import Crop, Layer, choose_crop, limit, mosaics, pack, viewer_data
from pipeline.reporting.literature import bibtex, escape_tex, works
from pipeline.reporting.metric_table import Column
from pipeline.reporting.prediction_summary import saturated_fraction
from pipeline.reporting.resource_usage import Shard, read_volume_jobs
from pipeline.reporting.run_record import read_run_record
from pipeline.reporting.sections import gates, inserted_structures, tissue_volumes
from pipeline.reporting.sections.gates import gate_banner
from pipeline.reporting.sections.limitations import limitations
from pipeline.reporting.sections.metrics import table_caption
from pipeline.reporting.similarity import FREQUENCIES, SimilarityReference, strongest_edge, wasserstein_distance
from pipeline.reporting.volume_metrics import pairwise_table, volume_numbers
from pipeline.reporting.volume_report import VolumeFiles, VolumeReport, read_volume_report
from pipeline.steps.__main__ import main
from pipeline.tables.duplicates import SharedPictures
from pipeline.tables.gates import GATES, GateResult
from pipeline.tables.inserted_structures import INSERTED_STRUCTURES, InsertedStructures
from pipeline.tables.reliability import RELIABILITY, ReliabilityBin
from pipeline.tables.tissue import TISSUE, TissueVolume
from tests.helpers import Tags, described
from tests.report_run import BASELINES, HOSTILE, make_run, provenance_command, write_report

TABLES = ("gates", "inserted", "tissue", "reliability")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run"))
    assert main(provenance_command(folder)) == 0
    return folder


def volume(shape: tuple[int, ...] = (24, 30, 12), **records: Any) -> Image:
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    mask = np.zeros(shape, dtype=bool)
    mask[4:20, 6:28, 2:9] = True
    told = {"id": "v", "split": "test", "plane": "axial", "slice_axis": 2, "foreground_slices": list(range(2, 9))}
    image = Image(data, np.diag([1.0, 2.0, 3.0, 1.0]), IntensityMap(scale=100.0), masks={"foreground": mask})
    return described(image, **told | records)


# The sheets of the viewer


def test_all_slices_are_drawn_as_one_is():
    data = volume().data
    for axis in range(3):
        drawn = display_slices(data, axis)
        assert all(np.array_equal(drawn[index], display_slice(data, axis, index)) for index in range(data.shape[axis]))


def test_the_viewer_holds_the_box_of_the_foreground_through_all_its_slices():
    reference = volume()
    part = choose_crop(reference, None, Box(0, 1, 0, 1))
    assert part.slices == tuple(range(2, 9))
    whole = display_slices(reference.masks["foreground"], 2)
    assert part.box.cut(whole[3]).sum() == whole[3].sum()
    levels = part.grey(display_slices(reference.data, 2))
    expected = np.clip(np.round(255 * part.box.cut(display_slice(reference.data, 2, 5)) / part.top), 0, 255)
    assert np.array_equal(levels[3], expected)


def test_images_that_are_too_large_are_cut_around_the_detail():
    assert limit(Box(0, 100, 0, 90), Box(5, 9, 1, 2)) == Box(0, 100, 0, 90)
    large = limit(Box(0, 3000, 0, 90), Box(1990, 2010, 0, 9))
    assert (large.top, large.bottom) == (2000 - viewer.LARGEST_SIDE // 2, 2000 + viewer.LARGEST_SIDE // 2)
    assert limit(Box(0, 3000, 0, 90), Box(2990, 3000, 0, 9)).bottom == 3000


def unpacked(layer: Any, data: Any) -> np.ndarray:
    """Take the tiles off the sheets again, as the script does."""
    count, rows, columns = data["shape"]
    found = []
    for sheet in map(red_of, layer["sheets"]):
        for tile in range(data["across"] * data["down"]):
            top, left = tile // data["across"] * rows, tile % data["across"] * columns
            if len(found) < count:
                found.append(sheet[top : top + rows, left : left + columns])
    return np.array(found)


def test_sheets_hold_every_slice_without_loss(monkeypatch):
    monkeypatch.setattr(viewer, "SHEET_SIDE", 60)
    reference = volume()
    part = choose_crop(reference, None, Box(0, 1, 0, 1))
    tiles = part.grey(display_slices(reference.data, 2))
    packed = pack([Layer("reference", "Reference", "reference", tiles)], part, [])
    given = {"white": 1.0, "error_top": 0.2, "base": "bspline3", "first": "reference", "second": "reference"}
    data = viewer_data(packed, reference, keys=["reference"], labels=list("abcdefg"), **given)
    assert len(data["layers"][0]["sheets"]) > 1
    assert np.array_equal(unpacked(data["layers"][0], data), tiles)
    assert data["spacing"] == [1.0, 2.0, 3.0]
    assert [plane["name"] for plane in data["planes"]] == ["axial", "sagittal", "coronal"]
    assert data["base"] == ""
    assert data["error_top"] == round(255 * 0.2 / part.top)
    assert packed.departure == 0


def coloured(**records: Any) -> Image:
    """Return two sections of red, green and blue, of which red is the brightest."""
    grey = volume((24, 30, 6))
    tint = np.tile(np.array([1.0, 0.5, 0.25], np.float32), 2)
    mask = np.zeros(grey.data.shape, dtype=bool)
    mask[4:20, 6:28] = True
    told = {"channels": COLOURS, "sections": (0, 0, 0, 1, 1, 1), "plane": "picture", "foreground_slices": range(6)}
    return described(grey.with_data(np.asarray(grey.data) * tint, masks={"foreground": mask}), **told | records)


def test_slices_of_one_colour_each_are_one_picture():
    reference = coloured()
    assert choose_slices(reference, 4) == [1, 4], "each section once, by its green"
    part = choose_crop(reference, None, Box(0, 1, 0, 1))
    assert (part.colours, part.slices, part.pictures) == (3, tuple(range(6)), (0, 3))
    assert part.fewer(1).slices == (0, 1, 2), "no colour is left behind"
    ranked = choose_crop(reference, [4, 1], Box(0, 1, 0, 1))
    assert ranked.slices == (3, 4, 5, 0, 1, 2)
    drawn = with_colours(display_slices(reference.data, 2), 4, 3)
    assert np.array_equal(drawn[..., 2], display_slice(reference.data, 2, 5))
    assert absolute_error(drawn, 0 * drawn) == pytest.approx(drawn.mean(axis=-1))
    named = coloured(names=[f"a.png, {colour}" for colour in (*COLOURS, *COLOURS)])
    assert picture_label(4, named) == "a.png"
    assert picture_label(4, coloured(names=list(COLOURS) * 2)) == "Picture 1"


@pytest.mark.parametrize(
    "records",
    [{"channels": ["red", "green", "DAPI"]}, {"sections": [0, 0, 0, 1, 2, 3]}, {"channels": ["a", "b", "c"]}],
)
def test_other_channels_stay_grey_slices(records):
    part = choose_crop(coloured(**records), None, Box(0, 1, 0, 1))
    assert (part.colours, len(part.pictures)) == (1, 6)


def test_pictures_have_one_plane():
    reference = volume(plane="picture")
    part = choose_crop(reference, [4, 2], Box(0, 1, 0, 1))
    packed = pack(
        [Layer("reference", "Reference", "reference", part.grey(display_slices(reference.data, 2)))], part, []
    )
    given = {"white": 1.0, "error_top": 0.2, "base": "", "first": "reference", "second": "reference"}
    data = viewer_data(packed, reference, keys=[], labels=[HOSTILE, "b"], **given)
    assert [plane["axis"] for plane in data["planes"]] == [2]
    assert part.slices == (4, 2)


def test_sections_of_micrographs_have_three_planes_in_their_own_unit():
    reference = replace(volume(plane="picture"), affine=np.diag([0.01, 0.01, 0.04, 1.0]), unit="um")
    part = choose_crop(reference, None, Box(0, 1, 0, 1))
    tiles = part.grey(display_slices(reference.data, 2))
    packed = pack([Layer("reference", "Reference", "reference", tiles)], part, [])
    given = {"white": 1.0, "error_top": 0.2, "base": "", "first": "reference", "second": "reference"}
    data = viewer_data(packed, reference, keys=[], labels=list("abcdefg"), **given)
    assert [(plane["name"], plane["axis"]) for plane in data["planes"]] == [("xy", 2), ("xz", 1), ("yz", 0)]
    assert data["unit"] == "nm" and data["spacing"] == pytest.approx([10, 10, 40])
    assert scale_bar(0.24, reference) == ("50 nm", pytest.approx(50 / 240))


def smooth_tiles(count: int) -> np.ndarray:
    rows, columns = np.mgrid[:64, :64]
    noise = np.random.default_rng(1).integers(0, 8, (count, 64, 64))
    return (100 + 60 * np.sin(rows / 9) * np.cos(columns / 7) + noise).astype(np.uint8)


def test_a_smaller_budget_costs_quality_then_methods_then_slices():
    part = Crop(2, tuple(range(8)), Box(0, 64, 0, 64), 1.0, ranked=False)
    layers = [Layer(name, name, role, smooth_tiles(8)) for name, role in
              (("low", "input"), ("bicubic", "estimate"), ("brainsr", "estimate"),
               ("reference", "reference"))]  # fmt: skip
    whole = pack(layers, part, ["brainsr"], 10**9)
    assert whole.quality is None and whole.left_out == () and whole.departure == 0
    lossy = pack(layers, part, ["brainsr"], int(whole.size_bytes * 0.75))
    assert lossy.quality is not None and lossy.left_out == ()
    assert 0 < lossy.departure < 3
    assert lossy.size_bytes <= whole.size_bytes * 0.75
    smallest = pack(layers, part, ["brainsr"], int(lossy.size_bytes * 0.3))
    assert smallest.left_out == ("bicubic",)
    assert 0 < len(smallest.crop.slices) < 8
    assert smallest.size_bytes <= lossy.size_bytes * 0.35
    assert [layer["name"] for layer in smallest.layers] == ["low", "brainsr", "reference"]
    measured = mosaics(layers[0].tiles[list(smallest.crop.slices)])[0]
    assert np.array_equal(red_of(smallest.layers[0]["sheets"][0]), measured), "blocks are never stored with loss"


def test_of_a_ranked_stack_the_last_pictures_go_first():
    part = Crop(2, (7, 3, 5, 1), Box(0, 1, 0, 1), 1.0, ranked=True)
    assert part.fewer(2).slices == (7, 3)
    assert Crop(2, (1, 2, 3, 4), Box(0, 1, 0, 1), 1.0, ranked=False).fewer(2).slices == (2, 3)


# Similarity


def test_the_distance_of_distributions_is_that_of_scipy():
    generator = np.random.default_rng(3)
    one, other = generator.random(500), generator.normal(0.4, 0.3, 500)
    found = wasserstein_distance(np.sort(one), np.sort(other))
    assert found == pytest.approx(stats.wasserstein_distance(one, other), rel=1e-9)


def test_the_correlation_agrees_with_the_metric_of_a_single_slice():
    from scipy import ndimage

    reference = volume((40, 40, 3), foreground_slices=[1])
    reference.masks["foreground"] = np.ones((40, 40, 3), dtype=bool)
    blurred = np.asarray(ndimage.gaussian_filter(reference.data, (1.0, 1.0, 0.0)))
    estimate = (blurred + np.random.default_rng(2).normal(0, 0.02, blurred.shape)).astype(np.float32)
    correlation = SimilarityReference(reference, [1]).correlation(display_slices(estimate, 2))
    one, other = (display_slice(data, 2, 1) for data in (reference.data, estimate))
    expected = frc.per_slice(one, other, np.ones(one.shape, dtype=bool), 1.0)
    assert first_below(FREQUENCIES, correlation) == pytest.approx(expected, abs=0.01)
    assert correlation.shape == FREQUENCIES.shape
    perfect = SimilarityReference(reference, [1]).correlation(display_slices(reference.data, 2))
    assert perfect == pytest.approx(np.ones(64))


def test_the_line_crosses_the_strongest_edge_at_a_right_angle():
    reference = volume((60, 60, 2), foreground_slices=[0, 1])
    x, y = np.meshgrid(np.arange(60.0), np.arange(60.0), indexing="ij")
    reference.masks["foreground"] = np.ones((60, 60, 2), dtype=bool)
    weak = (x > 30).astype(np.float32) * 0.2
    strong = (2 * y > 60).astype(np.float32)  # spacing 2 along y: the edge lies at y = 30 voxels
    data = np.stack([weak, strong], axis=-1)
    line = strongest_edge(reference.with_data(data), [0, 1])
    assert line.index == 1
    assert np.ptp(line.columns) < 1e-6, "the edge runs along x, which are the columns"
    intensities = line.sample(display_slice(data, 2, 1))
    assert intensities[0] < 0.05 and intensities[-1] > 0.95, "it climbs from dark to bright"
    assert np.abs(line.distances[np.argmin(abs(intensities - 0.5))]) <= 2
    steps = np.hypot(np.diff(line.rows) * 2.0, np.diff(line.columns) * 1.0)
    assert steps == pytest.approx(np.diff(line.distances)), "distances are in the unit of the spacing"


# Gates, run times


def test_the_gates_of_the_deliverable_come_first_and_in_a_banner(run):
    found = [
        GateResult("block", "S1", "test", "bicubic", "shift", 0.2, 0.1, False),
        GateResult("block", "S1", "test", "rrdb_l1", "mean_square", 1.7, 1.1, False),
        GateResult("block", "S1", "test", "rrdb_l1", "shift", 0.01, 0.1, True),
    ]
    volume = report(run, "block", gates=found)
    assert [gate.gate for gate in volume.failed_gates] == ["mean_square"]
    assert gate_banner(volume)[0].content == ("The deliverable", True, ["mean square 1.7 (limit 1.1)"])
    section = gates.for_volume(volume)
    assert section is not None
    shown, folded = section.tables[0], section.folded_tables[0]
    assert [[cell.text for cell in row[1:]] for row in shown.rows] == [
        ["mean square", "1.7", "1.1", "no"],
        ["shift", "0.01", "0.1", "yes"],
    ]
    assert [row[0].text for row in folded.rows] == ["Bicubic"]
    passed = report(run, "block", gates=found[2:])
    assert gate_banner(passed)[0].content == ("The deliverable", False, ["shift 0.01 (limit 0.1)"])
    assert gates.for_volume(report(run, "block")) is None and gate_banner(report(run, "block")) == ()


def test_the_jobs_of_a_volume_are_its_own_and_the_trainings(tmp_path):
    for name, seconds in (("extract/v.tsv", 2.5), ("infer/rrdb_l1/017.tsv", 75), ("train/rrdb_l1.tsv", 7300),
                          ("extract/other.tsv", 9)):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0\t120.4\n")
    found = read_volume_jobs(tmp_path, "v", Shard("017", 2), ["rrdb_l1"])
    assert [(title.split()[0], job.seconds, job.memory_mb) for title, job in found] == [
        ("Training", 7300, 120.4), ("Extraction", 2.5, 120.4), ("Inference:", 75, 120.4)
    ]  # fmt: skip
    assert "2 volumes together" in found[-1][0]
    assert read_volume_jobs(None, "v", Shard("017", 1), []) == []


def test_the_processor_is_named_by_linux(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Chip 3000\n")
    assert processor_name(tmp_path / "cpuinfo") == "A Chip 3000"
    assert isinstance(processor_name(tmp_path / "nothing"), str)


# Limitations


def report(run: Path, name: str, **changes: Any) -> VolumeReport:
    """Read the inputs of a page and replace some of them, `provenance` and `summary` below the first level too."""
    predictions = {path.parent.name: path for path in (run / "predictions").glob(f"*/{name}.nii.gz")}
    files = VolumeFiles(
        run / f"extracted/{name}.safetensors", run / f"degraded/{name}.safetensors", predictions, run / "tuning.json"
    )
    volumes, slices, summary = (run / f"{table}.csv" for table in ("volumes", "slices", "summary"))
    record = read_run_record(volumes, slices, summary, run / "provenance.json", [run / "models/rrdb_l1"])
    found = read_volume_report(files, record, "rrdb_l1", 2)
    of_run = {key: changes.pop(key) for key in ("provenance", "volumes") if key in changes}
    of_predictions = {key: changes.pop(key) for key in ("saturated", "beyond_noise") if key in changes}
    return dataclasses.replace(
        found,
        run=dataclasses.replace(record, **of_run),
        predictions=dataclasses.replace(found.predictions, **of_predictions),
        **changes,
    )


def titles(found: VolumeReport) -> list[str]:
    return [one.title for one in limitations(found)]


def test_limitations_come_from_the_records(run):
    expected = {"Same subject as in training", "One subject", "Trained on one subject"}
    assert expected <= set(titles(report(run, "block")))
    other = report(run, "other")
    assert "Same subject as in training" not in titles(other)
    more = pd.concat([other.run.volumes, other.run.volumes.assign(subject="S3")])
    assert "One subject" in titles(other) and "One subject" not in titles(report(run, "other", volumes=more))
    assert titles(report(run, "mid"))[0] == "Validation data"
    failed = GateResult("block", "S", "test", "rrdb_l1", "shift", 9, 0.1, False)
    assert titles(report(run, "block", gates=[failed]))[0] == "Failed gate: shift"
    pair = SharedPictures("other", "test", "low", "train", pictures=3)
    twins = other.run.provenance.model_copy(update={"near_duplicates": (pair,)})
    texts = [one.text for one in limitations(report(run, "other", provenance=twins))]
    assert any("3 pictures or slices resemble some of low in the split train" in text for text in texts)
    assert "Near-duplicates in another split" not in titles(report(run, "block", provenance=twins))
    assert "Saturated voxels" in titles(report(run, "block", saturated=0.002))
    assert "Inconsistent with the low-resolution input" in titles(report(run, "block", beyond_noise=0.2))


def test_a_noise_level_outside_the_training_range_is_a_limitation(run):
    title = "Noise level outside the training range"
    found = report(run, "other")
    assert title not in titles(found)
    model = dataclasses.replace(found.low.forward_model, noise_sigma=0.2)
    noisy = dataclasses.replace(found.low, forward_model=model)
    shown = next(one for one in limitations(dataclasses.replace(found, low=noisy)) if one.title == title)
    assert "20.0 % of the intensity range" in shown.text and "0.0 % to 6.0 %" in shown.text


def test_saturated_voxels_are_those_at_the_maximum_of_the_data_type():
    image = Image(np.zeros((2, 2, 1)), np.eye(4), IntensityMap(scale=200.0, dtype="uint8"))
    estimate = np.array([0.0, 0.5, 255 / 200, 254 / 200]).reshape(2, 2, 1)
    assert saturated_fraction(image, estimate) == 0.25
    floating = Image(np.zeros((2, 2, 1)), np.eye(4), IntensityMap(dtype="float32"))
    assert saturated_fraction(floating, estimate) == 0.0


# BibTeX


def test_every_work_has_authors_a_year_and_no_markup():
    for key, work in works().items():
        assert work.entry.count("{") == work.entry.count("}"), key
        assert work.fields["year"] in work.reference, key
        assert not set("{}\\") & set(work.reference), key
    assert works()["rician"].reference == (
        "Gudbjartsson H, Patz S. The Rician Distribution of Noisy MRI Data. Magnetic Resonance in Medicine "
        "34(6):910-914, 1995. doi:10.1002/mrm.1910340618"
    )
    assert "Husz\N{LATIN SMALL LETTER A WITH ACUTE}r F," in works()["srgan"].reference
    assert ", et al. Sustainable" in works()["snakemake"].reference


def test_references_of_data_are_notes_with_special_characters_escaped():
    text = bibtex([works()["adam"].reference, "Own & others {50%} _x_ $5 #1 \\ ~ ^"])
    assert text.startswith("@inproceedings{adam,")
    assert "@misc{reference2" in text
    assert r"Own \& others \{50\%\} \_x\_ \$5 \#1 \textbackslash{} \textasciitilde{} \textasciicircum{}" in text
    assert escape_tex("plain") == "plain"


# The page


def test_the_deliverable_is_compared_with_every_method_in_pairs(run):
    volumes, slices, summary = (run / name for name in ("volumes.csv", "slices.csv", "summary.csv"))
    record = read_run_record(volumes, slices, summary, run / "provenance.json", [run / "models/rrdb_l1"])
    table = pairwise_table(record, "other", record.main_columns, "rrdb_l1")
    assert table is not None
    found = {row[0].code: row[1:] for row in table.rows}
    assert list(found) == [*BASELINES, "pretrained"]
    numbers = {(row["method"], row["region"], row["metric"]): row for row in volume_numbers(record, "other")}
    for place, column in enumerate(record.main_columns):
        delivered = numbers["rrdb_l1", "foreground", column.metric]
        assert found[column.baseline][place].text == column.format(delivered["diff"], sign=True)
        for method, cells in found.items():
            difference = delivered["value"] - numbers[method, "foreground", column.metric]["value"]
            assert cells[place].text == column.format(difference, sign=True)


def counts(method: str, kind: str, detected: int, size: float = 2.0) -> InsertedStructures:
    return InsertedStructures(
        *("block", "S1", "test", method, kind, size, 0.3, 20, detected, 1, 1.0, 0.8, 2.0, "mm"),
        *(detected / 20, 0.0, 1.0),
    )


def long_page(run: Path, tmp: Path) -> str:
    """Return a page with all sections, with long and hostile names in its tables."""
    reference = read_image(run / "extracted/block.safetensors")
    spread = reference.with_data(np.full(reference.data.shape, 0.01, np.float32), masks={})
    write_image(tmp / "block.safetensors", spread)
    name = (HOSTILE + "\N{BRAIN}").ljust(300, "x")
    found = [counts("rrdb_l1", name, 1), counts("zerofill", "lesion", 9), counts("rrdb_l1", "lesion", 8)]
    INSERTED_STRUCTURES.write(tmp / "inserted.csv", [*found, counts("zerofill", name, 1)])
    TISSUE.write(tmp / "tissue.csv", [TissueVolume("block", "S1", "test", "rrdb_l1", name, 0.5, 0.5, 0.5)])
    RELIABILITY.write(tmp / "reliability.csv", [ReliabilityBin("block", "S1", "test", "rrdb_l1", 3, 0.5, 0.5, 0.9, 5)])
    GATES.write(tmp / "gates.csv", [GateResult("block", "S1", "test", "rrdb_l1", name, 9.5, 0.1, False)])
    given = [part for kind in TABLES for part in (f"--{kind}", str(tmp / f"{kind}.csv"))]
    given += ["--uncertainty", str(tmp / "block.safetensors"), "--benchmarks", str(tmp)]
    assert write_report(run, "block", tmp / "full.html", *given, title=HOSTILE) == 0
    return (tmp / "full.html").read_text(encoding="utf-8")


def test_every_section_is_shown_where_its_table_is_given_and_names_stay_text(run, tmp_path):
    text = long_page(run, tmp_path)
    tags = Tags(text)
    assert tags.open == []
    assert HOSTILE not in text
    identifiers = [attributes.get("id") for _, attributes in tags.found]
    assert {*TABLES} <= set(identifiers)
    assert "The deliverable fails one gate" in text
    behind = "RRDB network, pixel loss preserves fewer inserted structures than Zero-filled k-space"
    assert text.count(behind) == 2, "in the summary and in the limitations"
    held = json.loads(text.split('id="viewer-data">')[1].split("</script>")[0])
    assert [layer["name"] for layer in held["layers"] if layer["role"] == "map"] == ["uncertainty"]
    assert write_report(run, "block", tmp_path / "plain.html") == 0
    plain = Tags((tmp_path / "plain.html").read_text(encoding="utf-8"))
    assert not {*TABLES} & {attributes.get("id") for _, attributes in plain.found}


def test_the_caption_distinguishes_means_over_slices_from_values_of_the_whole_volume():
    psnr, fsc = (Column(name, "foreground", name.upper(), "", 2, True, "bicubic") for name in ("psnr", "fsc"))
    columns = [psnr, dataclasses.replace(fsc, of_volumes=True)]
    assert table_caption(columns, 24, "v", stack=False) == "Means over 24 slices of v; of the whole volume: FSC"
    assert table_caption(columns, 24, "v", stack=True) == "Means over 24 pictures of v"
    assert table_caption(columns[:1], 24, "v", stack=False) == "Means over 24 slices of v"
    assert table_caption(columns[:1], 1, "v", stack=False) == "One slice of v"


def test_an_uncertainty_map_of_another_volume_is_rejected(run, tmp_path):
    other = str(run / "extracted/other.safetensors")
    assert write_report(run, "block", tmp_path / "page.html", "--uncertainty", other) == 1
    assert not (tmp_path / "page.html").exists()


def test_tables_without_the_volume_give_no_section(run):
    volume = report(run, "block")
    assert tissue_volumes.for_volume(volume) is None and inserted_structures.for_volume(volume) is None
    tissue = TISSUE.frame([TissueVolume("block", "S1", "test", "bicubic", "grey", 1.0, 2.0, 0.5)])
    section = tissue_volumes.for_volume(dataclasses.replace(volume, tissue=tissue))
    assert section is not None
    assert [cell.text for cell in section.tables[0].rows[0]] == ["Bicubic", "grey", "1", "2", "0.5"]
    rows = [("lesion", 9, 2.0), ("lesion", 15, 4.0), ("vessel", 9, 2.0)]
    inserted = INSERTED_STRUCTURES.frame([counts(volume.baseline, *row) for row in rows])
    section = inserted_structures.for_volume(dataclasses.replace(volume, inserted=inserted))
    assert section is not None and ["Lesion" in figure.alt for figure in section.figures] == [True, False]
