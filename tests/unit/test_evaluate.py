"""Prediction files, tuning and evaluation, and the whole way from a head to the tables by the real command lines."""

import csv
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from pipeline import metrics, plugins
from pipeline.baselines.tuning.search import tune
from pipeline.config.sections import Degrade, Evaluate, Extract
from pipeline.errors import UserError
from pipeline.formats import nifti
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import read_prediction, restored_image, write_prediction
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.image.slices import evenly_spaced
from pipeline.metrics import psnr, ssim
from pipeline.metrics.evaluation.detail_ledger import DetailShares, detail_shares
from pipeline.metrics.evaluation.measure import ExtraInputs, evaluate, interpolated_lr
from pipeline.metrics.evaluation.regions import region_mask
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.excerpts import excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import fine_affine
from pipeline.physics.operators import decimation
from pipeline.steps.__main__ import main as run
from pipeline.tables.slices import SLICES, WHOLE_VOLUME
from tests.helpers import described

METHODS = plugins.names("pipeline.baselines")
SHAPE = (42, 45, 14)
SETTINGS = Evaluate(bootstrap_samples=200, bootstrap_block_slices=3)


def head(seed, shape=SHAPE):
    """An ellipsoid with soft structure inside, and background around it."""
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    radius = np.sqrt(sum((axis / extent) ** 2 for axis, extent in zip(axes, (0.8, 0.85, 1.4), strict=True)))
    texture = ndimage.gaussian_filter(generator.standard_normal(shape), 1.5)
    return np.clip((radius < 1) * (0.6 + 1.2 * texture), 0, None)


def write_head(path, seed, codes="LIA", dtype="int16", spacing=(1.0, 1.1, 1.5)):
    """Write a head in an orientation of three letters; `codes` names where its axes run to."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-20.3, -30.1, 12.7)
    canonical = nib.orientations.axcodes2ornt("RAS")
    table = nib.orientations.ornt_transform(canonical, nib.orientations.axcodes2ornt(codes))
    values = (1000 * head(seed)).astype(dtype)
    data = nib.orientations.apply_orientation(values, table)
    nib.save(nib.Nifti1Image(data, affine @ nib.orientations.inv_ornt_aff(table, values.shape)), path)
    return path


def make_pair(path, *, noise_sigma=0.02, plane: Any = "axial", **identity):
    """Extract and degrades a file without the files in between."""
    reference = normalise(nifti.read(path), Extract(plane=plane))
    facts = {"id": "v", "subject": "s", "split": "val", **identity}
    reference = described(reference, **facts)
    return reference, degrade(reference, forward_model(reference, Degrade(factor=2, noise_sigma=noise_sigma), 0))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_pair(write_head(tmp_path_factory.mktemp("head") / "h.nii.gz", 1))


@pytest.mark.parametrize("codes", ["RAS", "LIA", "PSR", "IRP"])
@pytest.mark.parametrize(("dtype", "step"), [("uint8", 1.0), ("int16", 1.0), ("float32", 1e-3)])
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_a_prediction_returns_in_the_orientation_dtype_and_units_of_its_source(tmp_path, codes, dtype, step, plane):
    source = write_head(tmp_path / "h.nii.gz", 2, codes, dtype)
    reference, lr = make_pair(source, plane=plane)
    sr = np.pad(
        reference.data, [(0, -size % factor) for size, factor in zip(reference.data.shape, _factors(lr), strict=True)]
    )
    assert write_prediction(tmp_path / "m" / "v.nii.gz", lr, sr) == 0
    before: Any = nib.load(source)
    after: Any = nib.load(tmp_path / "m" / "v.nii.gz")
    assert after.shape == before.shape
    assert after.get_data_dtype() == before.get_data_dtype()
    assert nib.orientations.aff2axcodes(after.affine) == tuple(codes)
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)
    np.testing.assert_allclose(after.get_fdata(), before.get_fdata(), atol=step / 2)
    read = read_prediction(tmp_path / "m" / "v.nii.gz", reference)
    np.testing.assert_allclose(read, reference.data, atol=step / reference.intensity.shown_range.scale)


def _factors(lr):
    return lr.forward_model.factors


def test_values_beyond_the_dtype_are_clipped_and_counted(tmp_path, pair):
    _, lr = pair
    sr = np.zeros(np.multiply(lr.data.shape, _factors(lr)), dtype=np.float32)
    sr[:3, 0, 0] = 1e6
    sr[-1:, 0, 0] = 0
    assert write_prediction(tmp_path / "v.nii.gz", lr, sr) == 3
    assert nifti.read(tmp_path / "v.nii.gz").data.max() == np.iinfo(np.int16).max


def test_an_array_of_the_wrong_shape_is_a_defect(pair):
    _, lr = pair
    with pytest.raises(ValueError, match="shape"):
        restored_image(lr, np.zeros(lr.data.shape, dtype=np.float32))


def test_a_prediction_half_a_voxel_off_is_refused(tmp_path, pair):
    reference, lr = pair
    path = tmp_path / "v.nii.gz"
    affine = fine_affine(lr.affine, _factors(lr))
    affine[0, 3] += 0.5
    nifti.write(path, reference.with_data(reference.data, affine=affine))
    with pytest.raises(UserError, match=r"v\.nii\.gz.*'v'.*0\.5 mm"):
        read_prediction(path, reference)
    affine[0, 3] -= 0.4998
    nifti.write(path, reference.with_data(reference.data, affine=affine))
    with pytest.raises(UserError, match="affine"):
        read_prediction(path, reference)


def test_a_prediction_of_another_shape_is_refused(tmp_path, pair):
    reference, _ = pair
    nifti.write(tmp_path / "v.nii.gz", reference.with_data(reference.data[:-1]))
    with pytest.raises(UserError, match="shape"):
        read_prediction(tmp_path / "v.nii.gz", reference)


def test_evenly_spaced_takes_middles_of_parts_and_all_where_there_are_few():
    assert evenly_spaced([3, 4, 5], 8) == [3, 4, 5]
    assert evenly_spaced(list(range(10, 60)), 5) == [15, 25, 35, 45, 55]
    assert evenly_spaced([7, 8, 9], 1) == [8]


def test_tuning_denoises_what_is_noisy_and_leaves_alone_what_is_not(tmp_path):
    path = write_head(tmp_path / "h.nii.gz", 3)
    clean, noisy = (
        tune(*([image] for image in make_pair(path, noise_sigma=sigma)))["methods"] for sigma in (0.0, 0.15)
    )
    assert set(clean) == {"nlm_bspline3", "least_squares", "total_variation"}
    assert clean["nlm_bspline3"]["settings"]["h_in_sigma"] == 0 < noisy["nlm_bspline3"]["settings"]["h_in_sigma"]
    for method in ("least_squares", "total_variation"):
        assert noisy[method]["settings"]["weight"] >= 10 * clean[method]["settings"]["weight"]
    for tuned in noisy.values():
        best = max(tuned["tried"], key=lambda one: one["psnr"])
        assert {**tuned["settings"], "psnr": best["psnr"]} == best


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_tuning_measures_what_evaluation_measures(tmp_path, plane):
    reference, lr = make_pair(write_head(tmp_path / "h.nii.gz", 4), plane=plane)
    few = described(reference, foreground_slices=[6, 8])
    tried = tune([few], [lr])["methods"]["nlm_bspline3"]["tried"]
    settings = {name: tried[5][name] for name in ("h_in_sigma", "patch_size", "patch_distance", "sigma")}
    sr = plugins.load("pipeline.baselines", "nlm_bspline3").upsample(lr.data, lr.forward_model, settings)
    estimate = restored_image(lr, sr).data
    values = [row.value for row in evaluate(few, "m", estimate, Evaluate(metrics=("psnr",), regions=("foreground",)))]
    assert len(values) == 2
    assert np.mean(values) == pytest.approx(tried[5]["psnr"], abs=1e-4)
    whole = excerpt(reference, lr, 8)
    assert whole.mean_over_slices(np.asarray(whole.reference.data), {"psnr": psnr.per_slice}) == {"psnr": math.inf}


def test_volumes_that_do_not_belong_together_are_not_tuned_on(pair):
    reference, lr = pair
    other = described(lr, id="w")
    with pytest.raises(UserError, match=r"\['v'\].*\['w'\]"):
        tune([reference], [other])
    changed = replace(lr.forward_model, noise_sigma=0.5)
    with pytest.raises(UserError, match="noise_sigma"):
        tune([reference, reference], [lr, replace(lr, forward_model=changed)])


def test_slices_without_the_region_are_left_out(pair):
    reference, _ = pair
    mask = reference.masks["foreground"].copy()
    mask[:, :, 5] = False
    inside = described(reference.with_data(reference.data, masks={"foreground": mask}), foreground_slices=[4, 5, 6])
    rows = list(evaluate(inside, "m", reference.data, SETTINGS))
    assert {row.slice for row in rows if row.region == "foreground"} == {4, 6}
    assert {row.slice for row in rows if row.region == "whole"} == {4, 5, 6}


def test_the_interior_leaves_out_four_voxels_of_the_foreground_in_every_slice(pair):
    reference, _ = pair
    mask = np.zeros(reference.data.shape, dtype=bool)
    mask[5:25, 4:30, :] = True
    mask[14, 17, 3] = False
    inside = region_mask(reference.with_data(reference.data, masks={"foreground": mask}), "interior")
    expected = np.zeros_like(mask)
    expected[9:21, 8:26, :] = True
    distance = np.hypot(*(np.indices(mask.shape[:2]) - np.array([14, 17]).reshape(2, 1, 1)))
    expected[..., 3] &= distance > 4
    assert np.array_equal(inside, expected)


def run_all(folder: Path) -> Path:
    """Run the stages on a small cohort; return the folder of the results."""
    results = folder / "results"
    volumes = {"one": ("A", "val", 1), "two": ("A", "test_within_subject", 1), "three": ("B", "test", 2)}
    for name, (subject, split, seed) in volumes.items():
        source = write_head(folder / f"{name}.nii.gz", seed)
        entry = json.dumps({"id": name, "subject": subject, "split": split, "source": "x"})
        extracted, degraded = results / f"extracted/{name}.safetensors", results / f"degraded/{name}.safetensors"
        forward = degraded.with_suffix(".forward.json")
        _run("extract", "--input", source, "--volume", entry, "--output", extracted)
        options = ["--settings", '{"factor": 2}', "--seed", "3"]
        _run("degrade", "--input", extracted, "--output", degraded, "--forward-model", forward, *options)
    tuning = results / "tuning/settings.json"
    pair_of_val = [results / f"{kind}/one.safetensors" for kind in ("extracted", "degraded")]
    _run("tune", "--hr", pair_of_val[0], "--lr", pair_of_val[1], "--output", tuning)
    settings = ["--settings", SETTINGS.model_dump_json()]
    predictions, lrs = results / "predictions", [results / f"degraded/{name}.safetensors" for name in volumes]
    _run("interpolate", "--lr", *lrs, "--tuning", tuning, "--output", predictions)
    for name in volumes:
        files = [predictions / method / f"{name}.nii.gz" for method in METHODS]
        part = results / f"metrics/parts/{name}.csv"
        hr = results / f"extracted/{name}.safetensors"
        _run("evaluate", "--hr", hr, "--predictions", *reversed(files), "--output", part, *settings)
    parts = sorted((results / "metrics/parts").iterdir())
    tables = [
        item for kind in ("volumes", "slices", "summary") for item in (f"--{kind}", results / f"metrics/{kind}.csv")
    ]
    _run("summarise", "--parts", *parts, *tables, "--seed", "3", *settings)
    return results


def _run(stage, *arguments):
    assert run([stage, *map(str, arguments)]) == 0


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run_all(tmp_path_factory.mktemp("run"))


def test_every_baseline_leaves_a_file_that_lies_on_its_source(results):
    for name in ("one", "two", "three"):
        source: Any = nib.load(results.parent / f"{name}.nii.gz")
        for method in METHODS:
            prediction: Any = nib.load(results / f"predictions/{method}/{name}.nii.gz")
            assert prediction.shape == source.shape
            assert prediction.get_data_dtype() == source.get_data_dtype()
            np.testing.assert_allclose(prediction.affine, source.affine, atol=1e-4)


def test_tables_have_the_columns_of_the_contract_and_all_rows(results):
    volumes, slices, summary = (read_rows(results / f"metrics/{kind}.csv") for kind in ("volumes", "slices", "summary"))
    columns = "volume,subject,split,method,region,metric"
    assert list(volumes[0]) == [*columns.split(","), "value"]
    assert list(slices[0]) == [*columns.split(","), "slice", "value"]
    expected = "split,method,region,metric,n,mean,ci_low,ci_high,baseline,diff,diff_ci_low,diff_ci_high,p"
    assert ",".join(summary[0]) == expected
    assert len(volumes) == len(summary) == 3 * len(METHODS) * 4
    references = [read_image(results / f"extracted/{name}.safetensors") for name in ("one", "two", "three")]
    assert len(slices) == len(METHODS) * 4 * sum(len(reference.block.foreground_slices) for reference in references)


def test_the_tables_say_what_the_files_say(results):
    """PSNR of one slice of one method, straight from the NIfTI files."""
    reference = read_image(results / "extracted/three.safetensors")
    prediction: Any = nib.as_closest_canonical(nib.load(results / "predictions/lanczos/three.nii.gz"))
    source: Any = nib.as_closest_canonical(nib.load(results.parent / "three.nii.gz"))
    index = reference.block.foreground_slices[2]
    mask = reference.masks["foreground"][:, :, index]
    error = (source.get_fdata() - prediction.get_fdata())[:, :, index][mask]
    expected = 20 * math.log10(reference.intensity.shown_range.scale / math.sqrt(np.mean(error**2)))
    wanted = {"volume": "three", "method": "lanczos", "region": "foreground", "metric": "psnr", "slice": str(index)}
    found = [row for row in read_rows(results / "metrics/slices.csv") if wanted.items() <= row.items()]
    assert len(found) == 1
    assert float(found[0]["value"]) == pytest.approx(expected, abs=1e-4)
    assert (found[0]["subject"], found[0]["split"]) == ("B", "test")


def test_splines_beat_repetition_in_every_split(results):
    means = {
        (row["split"], row["method"]): float(row["mean"])
        for row in read_rows(results / "metrics/summary.csv")
        if (row["region"], row["metric"]) == ("foreground", "psnr")
    }
    for split in ("val", "test", "test_within_subject"):
        assert means[split, "bspline3"] > means[split, "nearest"] + 0.5


def test_a_second_run_gives_the_same_bytes(results, tmp_path):
    again = run_all(tmp_path)
    files = [path.relative_to(results) for path in sorted(results.rglob("*")) if path.is_file()]
    assert len(files) > 30
    for file in files:
        assert (results / file).read_bytes() == (again / file).read_bytes(), file


def test_users_mistakes_end_in_one_message(results, tmp_path, capsys):
    hr, lr = (str(results / f"{kind}/one.safetensors") for kind in ("extracted", "degraded"))
    other = tmp_path / "bicubic/one.nii.gz"
    other.parent.mkdir()
    nifti.write(other, nifti.read(write_head(tmp_path / "small.nii.gz", 5)).with_data(np.zeros((12, 12, 3))))
    output = tmp_path / "out"
    assert run(["evaluate", "--hr", hr, "--predictions", str(other), "--output", str(output)]) == 1
    assert "bicubic/one.nii.gz" in capsys.readouterr().err
    mine = str(results / "predictions/bicubic/one.nii.gz")
    assert run(["evaluate", "--hr", hr, "--predictions", mine, mine, "--output", str(output)]) == 1
    assert "same method" in capsys.readouterr().err
    (tmp_path / "tuning.json").write_text("[]")
    options = ["--tuning", str(tmp_path / "tuning.json"), "--output", str(output)]
    assert run(["interpolate", "--lr", lr, *options]) == 1
    assert "tuning.json" in capsys.readouterr().err
    assert not output.exists()


def test_against_a_denoised_reference_the_same_estimate_has_its_own_rows():
    data, mask = np.random.default_rng(1).random((12, 10, 3), dtype=np.float32), np.ones((12, 10, 3), dtype=bool)
    known = {"id": "a", "subject": "a", "split": "test", "slice_axis": 2, "foreground_slices": [0, 2]}
    reference = described(Image(data, np.eye(4), masks={"foreground": mask}), **known)
    denoised = reference.with_data(np.full((12, 10, 3), 0.5, dtype=np.float32))
    settings = Evaluate(metrics=("psnr",), regions=("foreground", "denoised"))
    estimate = np.full((12, 10, 3), 0.6, dtype=np.float32)
    rows = list(evaluate(reference, "m", estimate, settings, denoised))
    assert [(row.region, row.slice) for row in rows] == [
        ("foreground", 0),
        ("foreground", 2),
        ("denoised", 0),
        ("denoised", 2),
    ]
    assert [row.value for row in rows if row.region == "denoised"] == pytest.approx([20.0, 20.0], abs=1e-4)


def test_against_the_neighbours_noise_of_the_reference_itself_does_not_count():
    generator = np.random.default_rng(2)
    clean = np.repeat(ndimage.gaussian_filter(generator.random((40, 40)), 2)[..., None], 5, axis=2)
    data = (clean + 0.02 * generator.standard_normal(clean.shape)).astype(np.float32)
    facts = {"id": "a", "subject": "a", "split": "test", "slice_axis": 2, "foreground_slices": [0, 2, 4]}
    reference = described(Image(data, np.eye(4), masks={"foreground": np.ones(data.shape, dtype=bool)}), **facts)
    settings = Evaluate(metrics=("psnr",), regions=("foreground", "neighbours"))

    def measured(estimate):
        rows = list(evaluate(reference, "m", estimate, settings))
        return [np.mean([row.value for row in rows if row.region == name]) for name in settings.regions]

    faithful_to_noise, clean_estimate = measured(data), measured(clean.astype(np.float32))
    assert faithful_to_noise[0] > clean_estimate[0] == pytest.approx(34, abs=0.5)
    assert clean_estimate[1] > faithful_to_noise[1] + 2
    mask = np.ones((40, 40, 1), dtype=bool)
    single = described(
        Image(data[..., :1], np.eye(4), masks={"foreground": mask}), **{**facts, "foreground_slices": [0]}
    )
    with pytest.raises(UserError, match="'a': a single slice has no neighbours"):
        list(evaluate(single, "m", data[..., :1], settings))


NEW_METRIC = """
from pipeline.metrics.psnr import *
NEEDS_LR = True


def per_slice(reference, estimate, mask, data_range, lr):
    assert lr.shape == mask.shape == estimate.shape
    return float(abs(lr - reference)[mask].max())


def per_volume(reference, estimate, mask, data_range, spacing, lr):
    assert lr.shape == mask.shape == (14, 42, 45)
    assert [round(length, 3) for length in spacing] == [1.5, 1.0, 1.1]
    return float(abs(lr - reference)[mask].max())
"""


@pytest.fixture
def metric_of_the_lr(tmp_path, monkeypatch):
    """A metric of the low-resolution image and of the whole volume, as a file that nothing lists."""
    (tmp_path / "far_from_lr.py").write_text(NEW_METRIC)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    yield "far_from_lr"
    sys.modules.pop("pipeline.metrics.far_from_lr", None)


def test_a_metric_may_use_the_lr_image_and_the_whole_volume(results, tmp_path, metric_of_the_lr):
    hr, lr = (results / f"{kind}/three.safetensors" for kind in ("extracted", "degraded"))
    settings = json.dumps({"metrics": ["psnr", metric_of_the_lr]})
    mine = ["--predictions", results / "predictions/nearest/three.nii.gz", "--settings", settings]
    _run("evaluate", "--hr", hr, "--lr", lr, *mine, "--output", tmp_path / "part.csv")
    reference = read_image(hr)
    enlarged = read_prediction(results / "predictions/bspline3/three.nii.gz", reference)
    rows = [row for row in read_rows(tmp_path / "part.csv") if row["metric"] == metric_of_the_lr]
    error = np.abs(enlarged - reference.data) * reference.masks["foreground"]
    found = {int(row["slice"]): float(row["value"]) for row in rows if row["region"] == "foreground"}
    expected = {index: error[:, :, index].max() for index in reference.block.foreground_slices}
    rounding = 1 / reference.intensity.shown_range.scale  # predictions are whole numbers
    assert found == pytest.approx({**expected, WHOLE_VOLUME: error.max()}, abs=rounding)


def test_a_metric_that_needs_the_lr_image_refuses_to_do_without_it(results, tmp_path, capsys, metric_of_the_lr):
    hr, other = results / "extracted/three.safetensors", results / "degraded/one.safetensors"
    mine = ["--predictions", results / "predictions/nearest/three.nii.gz", "--output", tmp_path / "part.csv"]
    settings = ["--settings", json.dumps({"metrics": [metric_of_the_lr]})]
    assert run(list(map(str, ["evaluate", "--hr", hr, *mine, *settings]))) == 1
    assert "--lr: the metric far_from_lr needs the low-resolution volume" in capsys.readouterr().err
    assert run(list(map(str, ["evaluate", "--hr", hr, "--lr", other, *mine, *settings]))) == 1
    assert "--lr: contains volume 'one', but the reference is 'three'" in capsys.readouterr().err


def test_a_map_is_made_once_for_all_regions(pair, monkeypatch):
    reference, _ = pair
    estimate = reference.data + np.float32(0.05) * np.random.default_rng(0).random(
        reference.data.shape, dtype=np.float32
    )
    settings = Evaluate(metrics=("ssim",), regions=("whole", "foreground"))
    values = {(row.region, row.slice): row.value for row in evaluate(reference, "m", estimate, settings)}
    for (region, index), value in values.items():
        mask = region_mask(reference, region)[:, :, index]
        one, other = (array[:, :, index] for array in (reference.data, estimate))
        assert value == pytest.approx(ssim.per_slice(one, other, mask, 1.0))
    calls = []
    monkeypatch.setattr(ssim, "per_voxel", lambda reference, **_: calls.append(1) or reference)
    list(evaluate(reference, "m", estimate, settings))
    assert len(calls) == len(reference.block.foreground_slices) == len(values) / 2


def test_the_metrics_of_the_ledger_are_its_three_shares(pair):
    reference, lr = pair
    metrics = tuple(f"detail_{name}" for name in DetailShares._fields)
    interpolated = interpolated_lr(lr, reference)
    estimate = np.asarray(0.5 * reference.data + 0.5 * interpolated)
    settings = Evaluate(metrics=metrics, regions=("foreground", "whole"))
    rows = list(evaluate(reference, "m", estimate, settings, extra=ExtraInputs(lr=interpolated)))
    values = {(row.region, row.slice, row.metric): row.value for row in rows}
    assert len(values) == len(rows) == 3 * 2 * len(reference.block.foreground_slices)
    index, axis = reference.block.foreground_slices[0], reference.slice_axis
    arrays = (reference.data, estimate, interpolated, reference.masks["foreground"])
    expected = detail_shares(*(np.take(array, index, axis) for array in arrays))
    assert [values["foreground", index, metric] for metric in metrics] == pytest.approx(list(expected))


def test_unrelated_pictures_are_no_volume(pair):
    reference, _ = pair
    settings = Evaluate(metrics=("psnr_3d",))
    assert [row.slice for row in evaluate(reference, "m", reference.data, settings)] == [WHOLE_VOLUME, WHOLE_VOLUME]
    pictures = described(reference, plane="picture", sizes=((1, 1),))
    assert list(evaluate(pictures, "m", reference.data, settings)) == []


def test_psnr_of_a_volume_is_that_of_all_its_voxels(pair):
    reference, _ = pair
    estimate = reference.data + np.linspace(0, 0.1, SHAPE[2], dtype=np.float32)
    inside = reference.masks["foreground"]
    expected = peak_signal_noise_ratio(reference.data[inside], estimate[inside], data_range=1.0)
    settings = Evaluate(metrics=("psnr_3d",), regions=("foreground",))
    [row] = evaluate(reference, "m", estimate, settings)
    assert row.value == pytest.approx(expected, rel=1e-6)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """A head and its segmentation, stored in another orientation than the head: 1 and 3 in its middle, 2 at its end."""
    folder = tmp_path_factory.mktemp("segmented")
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10:20, 12:30, 2:8], labels[25:30, 12:30, 2:8], labels[10:20, 12:30, 12:] = 1, 3, 2
    affine = np.diag([1.0, 1.1, 1.5, 1.0])
    affine[:3, 3] = (-20.3, -30.1, 12.7)
    write_head(folder / "head.nii.gz", 4)
    nib.save(nib.Nifti1Image(labels, affine), folder / "labels.nii.gz")
    return folder, labels, affine


def extracted(folder, labels="labels.nii.gz", **settings):
    """Run the stage `extract` on slices [2, 10); return its exit status and the image, where there is one."""
    entry = json.dumps({"id": "v", "subject": "s", "split": "val", "source": "x", "slices": [2, 10], **settings})
    out = folder / "out.safetensors"
    files = ["--input", folder / "head.nii.gz", "--segmentation", folder / labels, "--output", out]
    status = run(["extract", *map(str, files), "--volume", entry])
    return status, read_image(out) if status == 0 else None


def test_labels_lie_on_the_voxels_of_the_block(segmented):
    folder, labels, _ = segmented
    _, image = extracted(folder)
    assert image is not None
    assert image.block.labels == (1, 2, 3)
    assert {"foreground", "label-1", "label-3"} == set(image.masks)  # the block does not reach label 2
    np.testing.assert_array_equal(image.masks["label-1"], labels[:, :, 2:10] == 1)


def test_every_label_is_a_region_by_its_number_or_name(segmented):
    folder, labels, _ = segmented
    _, image = extracted(folder)
    assert image is not None
    generator = np.random.default_rng(0)
    estimate = image.data + np.float32(0.05) * generator.standard_normal(image.data.shape, dtype=np.float32)
    by_number = Evaluate(metrics=("psnr", "psnr_3d"), regions=("labels",))
    rows = list(evaluate(image, "m", estimate, by_number))
    assert {row.region for row in rows} == {"label-1", "label-3"}
    chosen = [row for row in rows if (row.region, row.metric) == ("label-1", "psnr")]
    assert [row.slice for row in chosen] == list(range(6))  # slices 2 to 7 of the head
    error = (estimate - image.data)[:, :, 0][labels[:, :, 2] == 1]
    assert chosen[0].value == pytest.approx(-10 * np.log10(np.mean(np.square(error, dtype=float))), rel=1e-5)
    named = by_number.model_copy(update={"labels": {1: "inner", 3: "inner", 2: "end"}})
    rows = list(evaluate(image, "m", estimate, named))
    assert {row.region for row in rows} == {"label-inner"}
    both = (labels == 1) | (labels == 3)
    error = (estimate - image.data)[both[:, :, 2:10]]
    [whole] = [row.value for row in rows if row.slice == WHOLE_VOLUME]
    assert whole == pytest.approx(-10 * np.log10(np.mean(np.square(error, dtype=float))), rel=1e-5)
    with pytest.raises(UserError, match=r"'v': its segmentation has no label 7 \('lost'.*it has 1, 2, 3"):
        list(evaluate(image, "m", estimate, by_number.model_copy(update={"labels": {7: "lost"}})))


def test_unseen_slices_are_those_that_were_dropped(tmp_path, monkeypatch, capsys, pair):
    monkeypatch.chdir(tmp_path)
    reference, _ = pair
    write_image(Path("v.safetensors"), reference)
    shape, depth = reference.data.shape, SHAPE[2]
    estimate = reference.data + np.arange(1, depth + 1, dtype=np.float32) / 100

    def command(factor):
        lr = degrade(reference, ForwardModel((1, 1, factor), shape, operators=(decimation.Parameters(),)))
        write_image(Path("lr.safetensors"), lr)
        write_prediction(Path("m/v.nii.gz"), lr, np.pad(estimate, [(0, 0), (0, 0), (0, -depth % factor)], "edge"))
        settings = '{"metrics": ["psnr", "psnr_3d"], "regions": ["unseen", "whole"]}'
        given = ["--hr", "v.safetensors", "--lr", "lr.safetensors", "--predictions", "m/v.nii.gz"]
        return ["evaluate", *given, "--output", "rows.csv", "--settings", settings]

    assert run(command(3)) == 0
    rows = [row for row in SLICES.read_rows(Path("rows.csv")) if row.region == "unseen"]
    kept = (1, 4, 7, 10, 13)
    expected = [index for index in reference.block.foreground_slices if index not in kept]
    assert [(row.metric, row.slice) for row in rows] == [("psnr", index) for index in expected] and len(rows) > 5
    restored = read_prediction(Path("m/v.nii.gz"), reference)
    for row in rows:
        inside = reference.masks["foreground"][..., row.slice]
        one, other = (volume[..., row.slice][inside] for volume in (reference.data, restored))
        assert row.value == pytest.approx(peak_signal_noise_ratio(one, other, data_range=1), rel=1e-5)
    assert run(command(2)) == 1
    assert "volume 'v': every slice contributes to the low-resolution volume" in capsys.readouterr().err


def test_volumes_without_a_segmentation_have_no_such_regions(pair):
    reference, _ = pair
    settings = Evaluate(metrics=("psnr",), regions=("labels", "whole"), labels={1: "inner"})
    assert {row.region for row in evaluate(reference, "m", reference.data, settings)} == {"whole"}


@pytest.mark.parametrize(
    ("shape", "shift", "value", "message"),
    [
        ((42, 45, 13), 0, 1, "has shape (42, 45, 13), but volume 'v' has (42, 45, 14)"),
        (SHAPE, 0.5, 1, "its affine differs from that of volume 'v' by up to 0.5 mm. Is it a segmentation"),
        (SHAPE, 0, 1.5, "a segmentation contains whole numbers from 0 to 2147483647"),
        (SHAPE, 0, -1, "a segmentation contains whole numbers from 0 to 2147483647"),
        (SHAPE, 0, np.arange(math.prod(SHAPE)).reshape(SHAPE), "contains 26460 different values"),
    ],
)
def test_what_is_no_segmentation_of_the_volume_is_refused(segmented, capsys, shape, shift, value, message):
    folder, _, affine = segmented
    moved = affine.copy()
    moved[1, 3] += shift
    nib.save(nib.Nifti1Image(np.zeros(shape, dtype=np.float32) + np.float32(value), moved), folder / "wrong.nii.gz")
    assert extracted(folder, "wrong.nii.gz") == (1, None)
    told = capsys.readouterr().err
    assert message in told
    assert "wrong.nii.gz" in told
    assert "Traceback" not in told
