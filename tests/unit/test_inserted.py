"""Structures of known place, and an observer that looks for them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats

from pipeline import plugins
from pipeline.config.sections import Insertion
from pipeline.fidelity.insertion import observer
from pipeline.fidelity.insertion.methods import baseline_methods
from pipeline.fidelity.insertion.sites import DIRECTIONS, KINDS, Condition, background_sites, insertion_sites
from pipeline.fidelity.insertion.structure import Structure, disk, rasterise
from pipeline.fidelity.insertion.study import Responses, count_detections, plan_insertion, run_study
from pipeline.files import write_json
from pipeline.formats.io.container import write_image
from pipeline.image.image import Image
from pipeline.models.weights import save_generator
from pipeline.physics.degradation import degrade
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.figures.detection import detection_figures, detection_rates
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS
from tests.helpers import described, run_step, synthetic_head
from tests.small_training import tiny_generator

NO_DENOISING = {"sigma": 0.02, "h_in_sigma": 0.0, "patch_size": 3, "patch_distance": 3}
SHAPES = list(product(plugins.names(KINDS), (2.0, 3.5), range(len(DIRECTIONS))))


def structure_of(kind: str, size: float, direction: int) -> Structure:
    """Return a structure with a margin of four voxels."""
    radius = Condition(kind, size).radius(4)
    return plugins.load(KINDS, kind).structure(size, DIRECTIONS[direction], radius)


@pytest.mark.parametrize(("kind", "size", "direction"), SHAPES)
def test_a_structure_keeps_to_the_middle_of_its_window(kind, size, direction):
    structure = structure_of(kind, size, direction)
    for part in structure:
        assert part.shape == structure.signal.shape
        rim = part.copy()
        rim[4:-4, 4:-4] = 0
        assert np.abs(rim).max() == 0
    assert structure.signal.min() >= 0 and structure.signal.max() <= 1
    assert np.all(structure.signal + structure.carrier <= 1 + 1 / 16)


@pytest.mark.parametrize("direction", range(len(DIRECTIONS)))
def test_structures_have_the_area_of_their_shape(direction):
    radius = Condition("vessel", 3.0).radius(4)
    for size in (2.0, 3.0, 4.5):
        lesion, vessel, spine, vesicle, process = (
            plugins.load(KINDS, kind).structure(size, DIRECTIONS[direction], radius)
            for kind in ("lesion", "vessel", "spine", "vesicle", "process")
        )
        assert lesion.signal.sum() == pytest.approx(math.pi * size**2 / 4, rel=0.03)
        assert vessel.signal.sum() == pytest.approx(12 * size, rel=0.05)
        assert spine.signal.sum() == pytest.approx(math.pi * size**2 / 4, rel=0.03)
        assert spine.carrier.sum() == pytest.approx(12 * 2, rel=0.05)
        assert vesicle.signal.sum() == pytest.approx(math.pi * (size**2 - (size - 2) ** 2) / 4, rel=0.03)
        assert process.signal.sum() == pytest.approx(12 * 2, rel=0.05), "two membranes, a voxel wide"
        assert size < 4 or vesicle.signal[radius, radius] == process.signal[radius, radius] == 0, "they are hollow"


def test_partial_volume_agrees_with_a_finer_count():
    points = (np.arange(13 * 50) + 0.5) / 50 - 0.5 - 6
    fine = (points[:, None] ** 2 + points[None] ** 2 <= 2.3**2).reshape(13, 50, 13, 50).mean(axis=(1, 3))
    assert np.abs(rasterise(disk(4.6), 0.0, 6) - fine).max() < 0.03


@pytest.mark.parametrize(("kind", "size", "direction"), SHAPES)
def test_the_observer_sees_the_contrast_and_no_slope(kind, size, direction):
    structure = structure_of(kind, size, direction)
    weights = observer.weights(structure)
    rows, columns = np.indices(weights.shape)
    assert np.sum(weights * structure.signal) == pytest.approx(1)
    for background in (np.ones(weights.shape), rows, columns):
        assert np.sum(weights * background) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("blur", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("direction", range(len(DIRECTIONS)))
def test_a_bare_shaft_gives_no_answer_however_blurred(direction, blur):
    structure = structure_of("spine", 3.0, direction)
    shaft = ndimage.gaussian_filter(structure.carrier, blur) if blur else structure.carrier
    assert np.sum(observer.weights(structure) * shaft) == pytest.approx(0, abs=0.01)


def test_in_white_noise_detectability_has_its_closed_form():
    contrast, sigma, count = 0.15, 0.1, 20_000
    generator = np.random.default_rng(7)
    structure = structure_of("lesion", 3.5, 0)
    weights = observer.weights(structure)
    windows = sigma * generator.standard_normal((2 * count, *weights.shape))
    windows[:count] += 0.5 + contrast * structure.signal
    places = np.column_stack([np.arange(2 * count), *[np.full(2 * count, weights.shape[0] // 2)] * 2])
    found = observer.responses(windows, places, [weights] * (2 * count))
    present, absent = found[:count], found[count:]
    # The template without the plane that fits it best is what the plane leaves of the structure: ||s|| of the formula.
    seen = weights / np.sum(weights**2)
    expected = contrast * np.linalg.norm(seen) / sigma
    assert np.mean(present) == pytest.approx(contrast, rel=0.03)
    assert observer.detectability(present, absent) == pytest.approx(expected, rel=0.03)
    assert observer.area_under_curve(present, absent) == pytest.approx(
        stats.norm.cdf(expected / math.sqrt(2)), abs=0.01
    )
    limit = observer.threshold(absent, 0.05)
    assert np.mean(present > limit) == pytest.approx(stats.norm.cdf(expected - stats.norm.ppf(0.95)), abs=0.02)


def test_the_area_under_the_curve_counts_pairs_and_halves_ties():
    present, absent = np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0])
    pairs = [(one > other) + 0.5 * (one == other) for one in present for other in absent]
    assert observer.area_under_curve(present, absent) == pytest.approx(np.mean(pairs))
    assert np.isnan(observer.detectability(present[:1], absent))


def test_structures_stand_in_the_foreground_and_never_overlap():
    foreground = np.zeros((3, 90, 80), dtype=bool)
    foreground[:, 5:85, 6:70] = True
    conditions = [Condition("lesion", 2.0), Condition("vessel", 3.0)]
    found = insertion_sites(foreground, conditions, 6, 4, np.random.default_rng(1))
    used = np.zeros(foreground.shape, dtype=int)
    for condition, sites in found.items():
        radius = condition.radius(4)
        assert len(sites.places) == 6
        for index, row, column in sites.places:
            window = (index, slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
            assert foreground[window].all()
            used[window] += 1
    assert used.max() == 1
    plain = background_sites(foreground, used > 0, 5, 50, np.random.default_rng(2))
    for index, row, column in plain.places:
        window = (index, slice(row - 5, row + 6), slice(column - 5, column + 6))
        assert foreground[window].all() and not used[window].any()


def test_where_there_is_no_room_fewer_are_inserted():
    foreground = np.ones((1, 24, 24), dtype=bool)
    found = insertion_sites(foreground, [Condition("lesion", 2.0)], 50, 4, np.random.default_rng(1))
    assert 1 <= len(found[Condition("lesion", 2.0)].places) <= 4
    nothing = plan_insertion(foreground[:, :8, :8], 4, Insertion(), 1)
    assert nothing.signals.max() == 0


@pytest.fixture(scope="module")
def pair():
    """A large head with the usual degradation."""
    head = synthetic_head((160, 168, 8), texture=15.0) / np.float32(1000)
    mask = head > 0.05
    facts = {"id": "head", "subject": "S1", "split": "test", "slice_axis": 2, "foreground_slices": list(range(2, 6))}
    reference = described(Image(head, np.diag([0.5, 0.5, 2.0, 1.0]), masks={"foreground": mask}), **facts)
    return reference, degrade(reference, ForwardModel((4, 4, 1), head.shape, "rician", 0.02, seed=9))


def counted(reference: Image, seen: Iterable[Responses]) -> pd.DataFrame:
    """Return the table of detections."""
    return DETECTION_COUNTS.frame(count_detections(reference, seen))


SMALL = Insertion(draws=1, kinds=("lesion",), sizes_voxels=(2.0, 6.0), contrasts=(0.1, 0.8), count=12, slices=4)


@pytest.fixture(scope="module")
def table(pair: tuple[Image, LowResolutionImage]) -> pd.DataFrame:
    methods = {name: method for name, method in baseline_methods({}).items() if name in ("bspline3", "zerofill")}
    return counted(pair[0], run_study(*pair, methods, SMALL, 2026))


def test_more_is_detected_of_larger_and_brighter_structures(table):
    assert set(table["method"]) == {"reference", "bspline3", "zerofill"}
    assert set(table["inserted"]) == {12}
    for _, rows in table[table["method"] != "reference"].groupby("method"):
        found: Any = rows.set_index(["size_voxels", "contrast"])
        for column in ("d_prime", "auc", "detected"):
            by_contrast = [found.loc[(6.0, contrast), column] for contrast in (0.1, 0.8)]
            by_size = [found.loc[(size, 0.8), column] for size in (2.0, 6.0)]
            assert by_contrast[0] < by_contrast[1], column
            assert by_size[0] < by_size[1], column
        assert found.loc[(6.0, 0.8), "detected"] == 12


def test_nothing_is_seen_better_than_in_the_reference(table):
    means = table.groupby("method")["auc"].mean()
    assert means["reference"] > max(means["bspline3"], means["zerofill"])


def test_sizes_are_told_in_the_unit_of_the_image(table):
    assert np.allclose(table["size"], 0.5 * table["size_voxels"])
    assert set(table["unit"]) == {"mm"}


def test_the_same_seed_inserts_the_same(pair: tuple[Image, LowResolutionImage], table: pd.DataFrame):
    methods = {"zerofill": baseline_methods({})["zerofill"]}
    again: Any = counted(pair[0], run_study(*pair, methods, SMALL, 2026))
    first: Any = table[table["method"] == "zerofill"].reset_index(drop=True)
    repeated: Any = again[again["method"] == "zerofill"]
    pd.testing.assert_frame_equal(repeated.reset_index(drop=True), first)
    other = counted(pair[0], run_study(*pair, methods, SMALL, 2027))
    assert list(other["auc"]) != list(again["auc"])


def test_every_draw_has_places_and_noise_of_its_own(pair: tuple[Image, LowResolutionImage], table: pd.DataFrame):
    methods = {"zerofill": baseline_methods({})["zerofill"]}
    settings = SMALL.model_copy(update={"draws": 2})
    seen = list(run_study(*pair, methods, settings, 2026))
    first, second = ([one for one in seen if one.draw == draw] for draw in (0, 1))
    alone: Any = table[table["method"].isin(["reference", "zerofill"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(counted(pair[0], first), alone)
    assert not np.array_equal(first[-1].present, second[-1].present)
    both = counted(pair[0], seen)
    assert set(both["inserted"]) == {24}
    assert list(both["detected"]) == list(alone["detected"] + counted(pair[0], second)["detected"])


def test_dark_structures_are_found_as_bright_ones_are(pair: tuple[Image, LowResolutionImage]):
    settings = SMALL.model_copy(update={"contrasts": (0.4, -0.4), "sizes_voxels": (6.0,)})
    rows = [row for row in count_detections(pair[0], run_study(*pair, {}, settings, 2026)) if row.method == "reference"]
    assert [row.contrast for row in rows] == [0.4, -0.4]
    assert rows[0].auc == pytest.approx(rows[1].auc, abs=0.1)
    assert min(row.detected for row in rows) >= 10


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_in_noise_alone_false_alarms_come_at_the_rate_that_was_asked_for(rate):
    shape = (200, 200, 12)
    noise = np.random.default_rng(3).normal(0.5, 0.05, shape).astype(np.float32)
    facts = {"id": "noise", "subject": "S", "split": "test", "slice_axis": 2, "foreground_slices": list(range(12))}
    reference = described(Image(noise, np.eye(4), masks={"foreground": np.ones(shape, dtype=bool)}), **facts)
    lr = degrade(reference, ForwardModel((2, 2, 1), shape))
    settings = SMALL.model_copy(update={"count": 150, "slices": 12, "false_alarm_rate": rate, "contrasts": (0.1,)})
    rows = [
        row
        for row in count_detections(reference, run_study(reference, lr, {}, settings, 1))
        if row.method == "reference"
    ]
    alarms, places = sum(row.false_alarms for row in rows), sum(row.inserted for row in rows)
    assert places > 250
    assert alarms / places == pytest.approx(rate, abs=3 * math.sqrt(rate * (1 - rate) / places))


def test_the_stage_writes_one_row_a_method_kind_size_and_contrast(pair, tmp_path):
    reference, lr = pair
    write_image(tmp_path / "hr.safetensors", reference)
    write_image(tmp_path / "lr.safetensors", lr)
    save_generator(tmp_path / "rrdb_l1" / "generator.safetensors", tiny_generator())
    write_json(tmp_path / "tuning.json", {"methods": {"nlm_bspline3": {"settings": NO_DENOISING}}})
    settings = {"count": 2, "slices": 1, "draws": 2, "sizes_voxels": [2, 4], "contrasts": [0.2]}
    command = (
        *(
            "insert_structures",
            "--hr",
            tmp_path / "hr.safetensors",
            "--lr",
            tmp_path / "lr.safetensors",
            "--device",
            "cpu",
        ),
        *("--models", tmp_path / "rrdb_l1/generator.safetensors", "--tuning", tmp_path / "tuning.json"),
        *("--infer", json.dumps({"threads": 1}), "--settings"),
    )
    made = run_step(
        *command, json.dumps(settings), "--output", tmp_path / "inserted.csv", "--places", tmp_path / "places.csv"
    )
    assert made.returncode == 0, made.stderr
    found = pd.read_csv(tmp_path / "inserted.csv")
    assert list(found)[:10] == [
        *("volume", "subject", "split", "method", "kind", "size_voxels", "contrast"),
        *("inserted", "detected", "false_alarms"),
    ]
    classical = plugins.names("pipeline.baselines")
    assert set(found["method"]) == {"reference", "rrdb_l1", *classical}
    assert len(found) == (len(classical) + 2) * 3 * 2
    made = run_step(
        *command, json.dumps({"kinds": []}), "--output", tmp_path / "none.csv", "--places", tmp_path / "no.csv"
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "none.csv").read_text() == ",".join(DETECTION_COUNTS.columns) + "\n"
    assert (tmp_path / "no.csv").read_text() == ",".join(INSERTED_PLACES.columns) + "\n"

    listed: Any = pd.read_csv(tmp_path / "places.csv")
    assert set(listed["draw"]) == {0, 1}
    keys = ["method", "kind", "size_voxels", "contrast"]
    sums: Any = listed.groupby(keys)[["detected", "false_alarm"]].sum()
    counts = found.set_index(keys).loc[sums.index]
    assert np.array_equal(sums.to_numpy(), counts[["detected", "false_alarms"]].to_numpy())
    assert np.array_equal(listed.groupby(keys).size(), counts["inserted"])

    both = [[tmp_path / f"{name}.csv" for name in names] for names in (("inserted", "none"), ("places", "no"))]
    made = run_step(
        *("summarise_fidelity", "--detections", *both[0], "--places", *both[1], "--deliver", "rrdb_l1"),
        *("--output", tmp_path / "metrics"),
    )
    assert made.returncode == 0, made.stderr
    merged: Any = pd.read_csv(tmp_path / "metrics/inserted_structures.csv")
    pd.testing.assert_frame_equal(merged[list(found)], found)
    assert np.all(merged["ci_low"] <= merged["rate"]) and np.all(merged["rate"] <= merged["ci_high"])
    rates: Any = pd.read_csv(tmp_path / "metrics/detection_rates.csv")
    everything = rates[rates["kind"].isna()].set_index("method")
    reference_row = everything.loc["reference"]
    assert reference_row["detected"] == found.loc[found["method"] == "reference", "detected"].sum()
    assert reference_row["diff"] == pytest.approx(everything.loc["rrdb_l1", "rate"] - reference_row["rate"])
    refused = run_step(
        *("summarise_fidelity", "--detections", tmp_path / "places.csv", "--places", tmp_path / "no.csv"),
        *("--deliver", "rrdb_l1", "--output", tmp_path / "metrics"),
    )
    assert refused.returncode == 1 and "has the columns" in refused.stderr


def test_of_thick_slices_those_that_cut_through_them_are_inserted():
    head = synthetic_head((40, 96, 96), texture=15.0) / np.float32(1000)
    facts = {"id": "head", "subject": "S1", "split": "test", "slice_axis": 2, "foreground_slices": list(range(20, 70))}
    reference = described(Image(head, np.eye(4), masks={"foreground": head > 0.05}), **facts)
    lr = degrade(reference, ForwardModel((1, 1, 4), head.shape, "rician", 0.02, seed=9))
    settings = SMALL.model_copy(update={"count": 4})
    rows = count_detections(
        reference, run_study(reference, lr, {"bspline3": baseline_methods({})["bspline3"]}, settings, 1)
    )
    assert {row.inserted for row in rows} == {4}
    assert {row.method for row in rows} == {"reference", "bspline3"}


def test_rates_add_up_over_volumes_and_are_drawn(table):
    other = table.assign(volume="other", inserted=4, detected=1, false_alarms=0)
    rates = detection_rates(pd.concat([table, other]))
    one = rates[(rates["method"] == "reference") & (rates["size_voxels"] == 6.0) & (rates["contrast"] == 0.8)]
    assert one["inserted"].item() == 16
    assert (one["detected"].item(), one["rate"].item()) == (13, pytest.approx(13 / 16))
    figures = detection_figures(table, ["zerofill", "reference", "absent"], "zerofill")
    assert len(figures) == len(table[["kind", "contrast"]].drop_duplicates())
    assert all(figure.image.startswith("data:image/svg+xml;base64,") for figure in figures)
    assert len({figure.image for figure in figures}) == len(figures)
    assert figures == detection_figures(table, ["zerofill", "reference", "absent"], "zerofill")
    assert "Reference" in figures[0].alt and "absent" not in figures[0].alt


def test_in_a_volume_that_is_coarse_along_all_axes_structures_are_as_thick_as_their_size():
    foreground = np.ones((40, 60, 60), dtype=bool)
    settings = SMALL.model_copy(update={"sizes_voxels": (4.0,), "count": 5})
    plan = plan_insertion(foreground, 2, settings, 1, adjacent=True)
    places = plan.sites[Condition("lesion", 4.0)].inserted.places
    assert len(places) == 5
    for index, row, column in places:
        column_of_slices = plan.signals[:, row, column]
        assert column_of_slices[index - 2 : index + 2].tolist() == [1.0] * 4
        assert column_of_slices[index - 4 : index - 2].max() == column_of_slices[index + 2 : index + 4].max() == 0


def test_in_such_a_volume_the_whole_study_runs():
    head = synthetic_head((72, 76, 64), texture=15.0) / np.float32(1000)
    facts = {"id": "head", "subject": "S1", "split": "test", "slice_axis": 2, "foreground_slices": list(range(10, 50))}
    reference = described(Image(head, np.eye(4), masks={"foreground": head > 0.05}), **facts)
    lr = degrade(reference, ForwardModel((2, 2, 2), head.shape, "rician", 0.02, seed=9))
    settings = SMALL.model_copy(update={"slices": 6, "sizes_voxels": (6.0,), "contrasts": (0.8,)})
    rows = count_detections(
        reference, run_study(reference, lr, {"bspline3": baseline_methods({})["bspline3"]}, settings, 1)
    )
    assert {row.inserted for row in rows} == {12}
    assert min(row.auc for row in rows) > 0.9
