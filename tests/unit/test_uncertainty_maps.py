"""Where a network disagrees with itself, what that is worth, and how it is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import nn
from torch.nn import functional

from pipeline import plugins
from pipeline.__main__ import main
from pipeline.config.load import read_run
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.fidelity.error_intervals import ErrorSample, fit_intervals
from pipeline.fidelity.uncertainty import rank_correlation, reliability_bins
from pipeline.files import sha256_of
from pipeline.formats import ROOM
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import suffix_of, write_prediction, write_quantity
from pipeline.image.intensity import IntensityMap
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.inference.error_map import unscaled_half_width
from pipeline.inference.tta import moments_of, pooled_std
from pipeline.inference.volume import restore_volume, restore_with_tta_std
from pipeline.models.calibration import Calibration, intervals_for, read_calibration, write_calibration
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.degradation import degrade
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps import infer
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.uncertainty import UNCERTAINTY
from pipeline.training.patches import PatchSampler
from tests.helpers import (
    configuration,
    described,
    extract,
    ras_affine,
    restore_slice,
    run_step,
    synthetic_head,
    write_nifti,
)
from tests.image_files import write_ome, write_series
from tests.small_training import make_trainer, tiny_generator, tiny_recipe, training_volume
from tests.unit.test_ome_zarr import write_store


class Enlarger(nn.Module):
    """A convolution and an upsampling; the network is equivariant if the kernel is symmetric."""

    factors = (4, 4)

    def __init__(self, alike: bool = False, seed: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)
        if alike:
            kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
            self.convolution.weight.data = kernel[None, None] / 16

    def forward(self, image, sigma):
        """Enlarges, and adds the noise that it is told."""
        wide = functional.interpolate(self.convolution(image), scale_factor=4, mode="nearest")
        return wide + sigma[:, None, None, None]


def eight_views(network: Any, image: np.ndarray, sigma: float = 0.0) -> np.ndarray:
    """Restore the eight augmentations of a slice with numpy: four rotations, each with and without a flip."""
    found = []
    for turns in range(4):
        for flip in (False, True):
            turned = np.rot90(image, turns)
            turned = np.fliplr(turned) if flip else turned
            restored = restore_slice(network, turned, sigma)
            restored = np.fliplr(restored) if flip else restored
            found.append(np.rot90(restored, -turns))
    return np.array(found, dtype=np.float64)


@pytest.fixture
def volume():
    return np.random.default_rng(5).random((9, 13, 3), dtype=np.float32)


def test_the_tta_std_is_over_eight_augmentations(volume):
    network: Any = Enlarger()
    _, spread = restore_with_tta_std([network], volume, (4, 4, 1), 2, Infer(), 0.0)
    for index in range(3):
        expected = eight_views(network, volume[:, :, index]).std(axis=0)
        assert np.allclose(spread[:, :, index], expected, atol=1e-6)
    assert spread.max() > 0.01


def test_an_equivariant_network_has_zero_tta_std(volume):
    network: Any = Enlarger(alike=True)
    _, spread = restore_with_tta_std([network], volume, (4, 4, 1), 2, Infer(), 0.0)
    assert spread.max() < 1e-6


@pytest.mark.parametrize("views", [1, 2, 4, 8])
@pytest.mark.parametrize("tile", [16, 256])
def test_the_result_with_and_without_tta_std_is_identical(views, tile):
    network: Any = Enlarger()
    volume = np.random.default_rng(5).random((30, 21, 2), dtype=np.float32)
    settings = Infer(tile_lr=tile, overlap_lr=4)
    alone = restore_volume(network, volume, (4, 4, 1), 2, settings, 0.02, views)
    result, _ = restore_with_tta_std([network], volume, (4, 4, 1), 2, settings, 0.02, views)
    assert result.dtype == alone.dtype
    assert np.array_equal(result, alone)


def test_the_tta_std_includes_both_cuts_of_thick_slices():
    network = tiny_generator(factor=2, along="columns", noise_map=False).eval()
    volume = np.random.default_rng(4).random((6, 7, 5), dtype=np.float32)
    result, spread = restore_with_tta_std([network], volume, (1, 1, 2), 2, Infer(), 0.0, augmentations=4)
    found = []
    for normal in (0, 1):
        for rows in (1, -1):
            for columns in (1, -1):
                planes = np.moveaxis(volume, normal, 0)[:, ::rows, ::columns]
                restored = np.stack([restore_slice(network, plane, 0.0) for plane in planes])
                found.append(np.moveaxis(restored[:, ::rows, ::columns], 0, normal))
    assert np.allclose(spread, np.std(found, axis=0), atol=1e-5)
    assert np.allclose(result, np.mean(found, axis=0), atol=1e-5)
    assert np.array_equal(result, restore_volume(network, volume, (1, 1, 2), 2, Infer(), 0.0, 4))


def test_further_networks_contribute_to_the_tta_std_alone(volume):
    networks: list[Any] = [Enlarger(), Enlarger(seed=2)]
    result, spread = restore_with_tta_std(networks, volume, (4, 4, 1), 2, Infer(), 0.0)
    assert np.array_equal(result, restore_volume(networks[0], volume, (4, 4, 1), 2, Infer(), 0.0))
    views = np.concatenate([eight_views(network, volume[:, :, 1]) for network in networks])
    assert np.allclose(spread[:, :, 1], views.std(axis=0), atol=1e-6)


def test_the_pooled_std_equals_that_of_all_results():
    views = np.random.default_rng(0).normal(size=(3, 8, 5, 6)).astype(np.float32) + np.arange(3)[:, None, None, None]
    spread = pooled_std([moments_of(group) for group in views])
    assert np.allclose(spread, views.reshape(24, 5, 6).std(axis=0), atol=1e-5)


def person(name: str, seed: int, count: int = 4000) -> ErrorSample:
    """Return voxels whose errors scale with two of the features and, a little, with the person."""
    generator = np.random.default_rng(seed)
    names = ("tta_std", "tta_std_nearby", "fine_detail", "coarse_detail", "added_detail")
    features: Any = {one: generator.normal(-4, 0.8, count) for one in names}
    own = generator.normal(0, 0.05)
    scale = np.exp(own + 0.7 * features["tta_std"] + 0.4 * np.maximum(features["added_detail"], -4))
    return ErrorSample(name, name, features, scale * np.abs(generator.standard_t(5, count)))


def test_intervals_cover_90_percent_on_new_persons_at_every_half_width():
    intervals = fit_intervals([person(f"p{index}", index) for index in range(8)])
    assert intervals == fit_intervals([person(f"p{index}", index) for index in range(8)])
    assert len(intervals.subjects) == 8
    tested = [person("new", seed) for seed in range(100, 108)]
    widths = [unscaled_half_width(intervals, one.features.items()) for one in tested]
    for level, scale in intervals.scales:
        coverage = np.mean([np.mean(one.errors <= scale * width) for one, width in zip(tested, widths, strict=True)])
        assert coverage == pytest.approx(level, abs=0.03)
    pooled = np.concatenate([intervals.scale(0.9) * width for width in widths])
    bins = reliability_bins(pooled, np.concatenate([one.errors for one in tested]))
    assert all(0.85 < one.coverage < 0.95 for one in bins)
    assert bins[-1].half_width > 5 * bins[0].half_width
    # A single width for all voxels fails where errors are small and where they are large.
    constant = np.quantile(np.concatenate([one.errors for one in tested]), 0.9)
    errors = np.concatenate([one.errors for one in tested])[np.argsort(pooled)]
    assert np.mean(errors[:3200] <= constant) > 0.97 and np.mean(errors[-3200:] <= constant) < 0.8


def test_every_person_counts_once_in_the_calibration():
    few, many = person("a", 1, 500), [person("b", 2 + index) for index in range(3)]
    louder = replace(few, errors=3 * few.errors)
    intervals = fit_intervals([louder, *many])
    width = [intervals.scale(0.5) * unscaled_half_width(intervals, one.features.items()) for one in (louder, *many)]
    coverage = [np.mean(one.errors <= size) for one, size in zip((louder, *many), width, strict=True)]
    # Weighted by voxels, "b" alone would decide: its coverage would be near 0.5.
    assert np.mean(coverage[1:]) > 0.6 > 0.4 > coverage[0]


def test_few_voxels_have_fewer_bins_and_constants_no_correlation():
    assert [one.voxels for one in reliability_bins(np.array([2.0, 1.0]), np.array([5.0, 6.0]))] == [1, 1]
    assert reliability_bins(np.zeros(0), np.zeros(0)) == []
    assert rank_correlation(np.arange(9.0), np.arange(9.0) ** 3) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4.0)))


def test_a_calibration_that_is_damaged_old_or_of_another_network_is_refused_with_one_message(tmp_path):
    path = tmp_path / "calibration.json"
    calibration = Calibration(method="m", generator_sha256="a" * 64, intervals=fit_intervals([person("a", 1)]))
    write_calibration(path, calibration)
    assert read_calibration(path) == calibration
    assert path.stat().st_size < 5000
    assert intervals_for(path, tmp_path / "g", "a" * 64) == calibration.intervals
    with pytest.raises(UserError, match="belongs to another network"):
        intervals_for(path, tmp_path / "g", "b" * 64)
    values = json.loads(path.read_text())
    values["intervals"]["terms"][0]["values"][-1] = -1.0
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"is not a calibration .*values must not fall"):
        read_calibration(path)
    path.write_text('{"factor": 4.9, "volumes": ["s1-val"]}')
    with pytest.raises(UserError, match="earlier version"):
        read_calibration(path)


def test_float_formats_store_an_uncertainty_map_exactly(tmp_path):
    errors = np.random.default_rng(2).uniform(0, 0.2, (6, 7, 5)).astype(np.float32)
    source = write_nifti(tmp_path / "head.nii.gz", np.full((6, 7, 5), 9, dtype=np.int16), slope=0.5, intercept=3.0)
    module = plugins.load(ROOM, "nifti")
    read = module.read(source)
    image = replace(read, data=errors, intensity=replace(read.intensity, scale=200.0))
    assert write_quantity(tmp_path / "map.nii.gz", image) == 0
    written: Any = nib.load(tmp_path / "map.nii.gz")
    assert written.get_data_dtype() == np.float32
    assert np.allclose(written.get_fdata(), 200 * errors, rtol=1e-6)
    assert np.allclose(written.affine, ras_affine())


@pytest.mark.parametrize("kind", ["mgh", "tiff", "ome_zarr"])
def test_other_formats_store_an_uncertainty_map_exactly_with_its_geometry(tmp_path, kind):
    sections = np.random.default_rng(3).integers(0, 900, (5, 7, 6)).astype(np.uint16)
    if kind == "mgh":
        source = tmp_path / "head.mgz"
        nib.MGHImage(np.ascontiguousarray(sections.T.astype(np.int16)), ras_affine()).to_filename(source)  # pyright: ignore
    elif kind == "tiff":
        source = write_ome(tmp_path / "stack.ome.tif", sections, "ZYX")
    else:
        source = write_store(tmp_path / "stack.ome.zarr", sections, "zyx")
    module = plugins.load(ROOM, kind)
    read = module.read(source)
    errors = np.random.default_rng(2).uniform(0, 0.2, read.data.shape).astype(np.float32)
    image = replace(read, data=errors, intensity=replace(read.intensity, scale=200.0))
    path = tmp_path / f"map{suffix_of(read)}"
    assert write_quantity(path, image) == 0
    found = module.read(path)
    assert found.intensity.dtype == "float32"
    np.testing.assert_allclose(found.data, 200 * errors, rtol=1e-6)
    np.testing.assert_allclose(found.affine, read.affine, rtol=1e-6)
    assert (found.unit, found.spacing) == (read.unit, pytest.approx(read.spacing))
    with pytest.raises(UserError, match="is written as such"):
        write_quantity(tmp_path / "map.nii.gz", image)


def test_a_png_stores_an_uncertainty_map_rounded_up(tmp_path):
    errors = np.array([[0.0, 0.001, 0.5], [0.9, 1.2, 254.7]])
    module = plugins.load(ROOM, "picture")
    Picture.fromarray(np.zeros((3, 2), dtype=np.uint8)).save(tmp_path / "source.png")
    read = module.read(tmp_path / "source.png")
    image = replace(read, data=errors[..., None].astype(np.float32) / 255, intensity=IntensityMap(255.0, dtype="uint8"))
    write_quantity(tmp_path / "map.png", image)
    found = module.read(tmp_path / "map.png").data[..., 0]
    assert np.array_equal(found, [[0, 1, 1], [1, 2, 255]])


@pytest.mark.parametrize("inverted", [False, True])
def test_a_dicom_series_stores_an_uncertainty_map_with_its_own_slope(tmp_path, inverted):
    pixels = np.random.default_rng(3).integers(0, 900, (9, 8, 4)).astype(np.uint16)
    changes: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1"} if inverted else {}
    source = write_series(tmp_path / "series", pixels, **changes)
    module = plugins.load(ROOM, "dicom")
    read = module.read(source)
    errors = np.random.default_rng(2).uniform(0, 0.05, read.data.shape).astype(np.float32)
    errors[0, 0, 0] = 0
    image = replace(read, data=errors, intensity=replace(read.intensity, scale=800.0))
    assert write_quantity(tmp_path / "map.dicom.zip", image) == 0
    found = module.read(tmp_path / "map.dicom.zip")
    step = float(800 * errors.max()) / 2**15
    assert np.abs(found.data - 800 * errors).max() <= step
    assert found.data[0, 0, 0] == pytest.approx(0, abs=step)
    assert "uncertainty" in json.dumps(found.header.elements)


@pytest.fixture
def project(tmp_path):
    """A volume, its low-resolution image and a network of random weights, as files."""
    head = synthetic_head((48, 52, 6))
    extract(write_nifti(tmp_path / "head.nii.gz", head), tmp_path / "hr.safetensors", id="head")
    reference = read_image(tmp_path / "hr.safetensors")
    model = ForwardModel((4, 4, 1), reference.data.shape, "rician", 0.02, seed=3)
    write_image(tmp_path / "lr.safetensors", degrade(reference, model))
    for name in ("rrdb_l1", "other"):
        save_generator(tmp_path / name / "generator.safetensors", tiny_generator(seed=len(name)))
    return tmp_path


def test_the_steps_write_and_evaluate_an_uncertainty_map(project):
    lr, hr, spread = (project / f"{name}.safetensors" for name in ("lr", "hr", "tta_std/head"))
    prediction, weights = project / "predictions/rrdb_l1/head.nii.gz", project / "rrdb_l1/generator.safetensors"
    settings = ("--settings", json.dumps({"noise_sigma": 0.02, "threads": 1, "force": True}), "--device", "cpu")
    files = ("--model", weights, "--lr", lr)
    made = run_step("infer", *files, "--output", prediction.parent, "--tta-std", spread.parent, *settings)
    assert made.returncode == 0, made.stderr
    alone = project / "alone/head.nii.gz"
    assert run_step("infer", *files, "--output", alone.parent, *settings).returncode == 0
    assert alone.read_bytes() == prediction.read_bytes()

    calibration = project / "calibration.json"
    compared = ("--hr", hr, "--lr", lr, "--predictions", prediction, "--tta-std", spread)
    made = run_step("calibrate", "--model", weights, *compared, "--output", calibration)
    assert made.returncode == 0, made.stderr
    assert "calibrated on a single person" in made.stderr
    outputs = {name: project / f"out.{name}.csv" for name in ("reliability", "summary")}
    made = run_step(
        *("uncertainty", *compared, "--calibration", calibration),
        *("--output", project / "calibrated", "--maps", project / "maps"),
        *(option for name, path in outputs.items() for option in (f"--{name}", path)),
    )
    assert made.returncode == 0, made.stderr
    bins: Any = RELIABILITY.read(outputs["reliability"])
    summary: Any = UNCERTAINTY.read(outputs["summary"])
    assert set(bins["method"]) == {"rrdb_l1"} and list(bins["bin"]) == list(range(10))
    # The intervals were calibrated on this volume.
    np.testing.assert_allclose(summary["coverage"], summary["level"], atol=0.01)
    assert np.average(bins["coverage"], weights=bins["voxels"]) == pytest.approx(0.9, abs=0.01)

    held: Any = nib.load(project / "maps/head.uncertainty.nii.gz")
    reference, found = read_image(hr), read_image(project / "calibrated/head.safetensors", UncertaintyMap)
    assert np.allclose(held.get_fdata(), reference.intensity.of_differences().to_physical(found.data), rtol=1e-4)
    restored: Any = nib.load(prediction)
    true: Any = nib.load(project / "head.nii.gz")
    inside = np.abs(restored.get_fdata() - true.get_fdata()) <= held.get_fdata()
    assert np.mean(inside[reference.masks["foreground"]]) == pytest.approx(0.9, abs=0.02)


def test_apply_writes_intervals_stored_with_the_network_or_given_and_refuses_those_of_another(project, caplog, capsys):
    caplog.set_level("INFO")
    weights = project / "rrdb_l1/generator.safetensors"
    image = write_nifti(project / "scan.nii.gz", synthetic_head((24, 26, 6)))

    def apply(name: str, *arguments: Any) -> Any:
        output = project / f"{name}.nii.gz"
        assert main(["apply", str(image), "--output", str(output), "--force", *map(str, arguments)]) == 0
        return nib.load(project / f"{name}.uncertainty.nii.gz").get_fdata()  # pyright: ignore

    plain = apply("plain", "--model", weights, "--uncertainty")
    assert "not calibrated as an error" in caplog.text
    path = project / "calibration.json"
    intervals = fit_intervals([person("a", 1), person("b", 2)])
    write_calibration(path, Calibration(method="m", generator_sha256=sha256_of(weights), intervals=intervals))
    given = apply("given", "--model", weights, "--calibration", path)
    assert "90 % prediction interval, calibrated on 2 validation persons" in caplog.text
    network = load_generator(weights)
    network.record = network.record.model_copy(update={"error_intervals": intervals})
    save_generator(project / "shipped.safetensors", network)
    np.testing.assert_array_equal(apply("stored", "--model", project / "shipped.safetensors", "--uncertainty"), given)
    assert given.shape == plain.shape and np.all(given > 0) and not np.allclose(given, plain)
    other = project / "other/generator.safetensors"
    refused = ["--model", str(other), "--calibration", str(path), "--output", str(project / "refused.nii.gz")]
    assert main(["apply", str(image), *refused]) == 1
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "--calibration" in message and "belongs to another network (m)" in message
    assert not list(project.glob("refused*"))


def test_a_second_training_contributes_to_the_uncertainty_map(project):
    recipe = tiny_recipe(steps=6)
    networks: list[Any] = []
    for seed in (5, 6):
        sampler = PatchSampler([training_volume()], recipe, seed=seed)
        networks.append(make_trainer(project / f"{seed}", recipe, sampler=sampler).run().eval())
        save_generator(project / f"{seed}.safetensors", networks[-1])
    spreads = {}
    for name, others in (("alone", []), ("both", [project / "6.safetensors"])):
        files: Any = {"model": project / "5.safetensors", "lr": [project / "lr.safetensors"], "others": others}
        settings = Infer(noise_sigma=0.02, threads=1, force=True)
        folders: Any = {"output": project / name, "tta_std": project / f"{name}-std"}
        infer.run(infer.Options(**files, **folders, device="cpu", settings=settings))
        spreads[name] = read_image(project / f"{name}-std/head.safetensors").data[:, :, 2]
    assert (project / "alone/head.nii.gz").read_bytes() == (project / "both/head.nii.gz").read_bytes()
    measured = np.asarray(read_image(project / "lr.safetensors").data[:, :, 2])
    first, second = (eight_views(network, measured, 0.02) for network in networks)
    np.testing.assert_allclose(spreads["alone"], first.std(axis=0), atol=1e-5)
    np.testing.assert_allclose(spreads["both"], np.concatenate([first, second]).std(axis=0), atol=1e-5)
    assert np.abs(first.mean(axis=0) - second.mean(axis=0)).max() > 1e-3, "trainings of two seeds differ"


def test_files_of_different_volumes_are_refused(project):
    reference = read_image(project / "hr.safetensors")
    low = read_image(project / "lr.safetensors", LowResolutionImage)
    write_prediction(project / "p/head.nii.gz", low, np.asarray(reference.data, dtype=np.float32))
    other = described(reference, id="another")
    write_image(project / "other/head.safetensors", other)
    files = ("--hr", project / "hr.safetensors", "--lr", project / "lr.safetensors")
    files += ("--predictions", project / "p/head.nii.gz", "--model", project / "rrdb_l1/generator.safetensors")
    refused = run_step("calibrate", *files, "--tta-std", project / "other", "--output", project / "c.json")
    assert refused.returncode == 1
    assert "belongs to volume 'another'" in refused.stderr


def test_tables_of_other_columns_are_not_merged(tmp_path):
    from pipeline.tables.table import concatenate

    for name, text in (("a", "x,y\n1,2\n"), ("b", "x,z\n1,2\n"), ("c", "x,y\n3,4\n")):
        (tmp_path / name).write_text(text)
    assert concatenate([tmp_path / "a", tmp_path / "c"]) == "x,y\n1,2\n3,4\n"
    with pytest.raises(UserError, match="has the columns 'x,z'"):
        concatenate([tmp_path / "a", tmp_path / "b"])


def test_a_second_network_of_another_seed_can_be_named():
    second = {"based_on": "rrdb_l1", "seed": 7}
    run = read_run(
        configuration(
            methods=["rrdb_l1", "second"],
            recipes={"second": second},
            infer={"deliver": "rrdb_l1", "ensemble": ["second"]},
        )
    )
    assert run.recipe("second").seed == 7 and run.recipe("rrdb_l1").seed is None
    for name, message in (
        ("third", "'third' is not trained by this run"),
        ("rrdb_l1", "is the delivered method itself"),
    ):
        with pytest.raises(UserError, match=message):
            read_run(
                configuration(methods=["rrdb_l1"], infer={"deliver": "rrdb_l1", "ensemble": [name]}),
            )
