"""Where a network disagrees with itself, what that is worth, and how it is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture
from scipy import stats
from torch import nn
from torch.nn import functional

from pipeline import plugins
from pipeline.config.load import read_run
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.fidelity.uncertainty import calibrate, rank_correlation, reliability_curve
from pipeline.formats import ROOM
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import suffix_of, write_prediction, write_quantity
from pipeline.image.intensity import IntensityMap
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.inference.tta import moments_of, pooled_std
from pipeline.inference.volume import restore_volume, restore_with_tta_std
from pipeline.models.weights import save_generator
from pipeline.physics.degradation import degrade
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps import infer
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


@pytest.fixture
def synthetic():
    """Return a standard deviation, and normal errors whose mean magnitude, sqrt(2 / pi) sigma, is three times that."""
    generator = np.random.default_rng(1)
    spread = generator.uniform(0.01, 0.1, 200_000)
    sigma = 3 * spread / np.sqrt(2 / np.pi)
    return spread, np.abs(sigma * generator.standard_normal(spread.size))


def test_the_calibration_estimates_the_scale_of_errors(synthetic):
    spread, error = synthetic
    assert calibrate([("a", spread, error)]).factor == pytest.approx(3, rel=0.01)
    assert calibrate([("a", np.zeros(5), np.ones(5))]).factor == 0


def test_the_reliability_of_an_error_of_known_scale_is_a_straight_line(synthetic):
    spread, error = synthetic
    bins = reliability_curve(3 * spread, error)
    predicted, observed, voxels = (np.array(column) for column in zip(*bins, strict=True))
    assert list(voxels) == [20_000] * 10
    assert np.allclose(observed, predicted, rtol=0.02)
    assert np.all(np.diff(predicted) > 0)
    edges: Any = np.quantile(spread, np.linspace(0, 1, 11))
    expected = stats.binned_statistic(spread, error, "mean", edges).statistic
    assert np.allclose(observed, expected, rtol=1e-3)


def test_few_voxels_have_fewer_bins_and_constants_no_correlation():
    assert [one.voxels for one in reliability_curve(np.array([2.0, 1.0]), np.array([5.0, 6.0]))] == [1, 1]
    assert reliability_curve(np.zeros(0), np.zeros(0)) == []
    assert rank_correlation(np.arange(9.0), np.arange(9.0) ** 3) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.ones(4), np.arange(4.0)))


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
    assert "expected error" in json.dumps(found.header.elements)


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
    made = run_step(
        *("calibrate", "--hr", hr, "--predictions", prediction, "--tta-std", spread, "--output", calibration)
    )
    assert made.returncode == 0, made.stderr
    outputs = {name: project / f"out.{name}.csv" for name in ("reliability", "summary")}
    made = run_step(
        *("uncertainty", "--hr", hr, "--predictions", prediction, "--tta-std", spread, "--calibration", calibration),
        *("--output", project / "calibrated", "--maps", project / "maps"),
        *(option for name, path in outputs.items() for option in (f"--{name}", path)),
    )
    assert made.returncode == 0, made.stderr
    curve: Any = pd.read_csv(outputs["reliability"])
    summary: Any = pd.read_csv(outputs["summary"])
    assert list(curve) == ["volume", "subject", "split", "method", "bin", "predicted", "observed", "voxels"]
    assert set(curve["method"]) == {"rrdb_l1"} and list(curve["bin"]) == list(range(10))
    # The volume is the one that the factor was found on.
    assert summary["predicted"][0] == pytest.approx(summary["observed"][0], rel=1e-4)
    assert np.average(curve["observed"], weights=curve["voxels"]) == pytest.approx(summary["observed"][0], rel=1e-6)

    held: Any = nib.load(project / "maps/head.uncertainty.nii.gz")
    reference, found = read_image(hr), read_image(project / "calibrated/head.safetensors", UncertaintyMap)
    factor = json.loads(calibration.read_text())["factor"]
    assert np.allclose(held.get_fdata(), factor * reference.intensity.to_physical(found.data), rtol=1e-4)
    assert np.allclose(found.expected_error.data, factor * read_image(spread).data, rtol=1e-6)


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
    files = ("--hr", project / "hr.safetensors", "--predictions", project / "p/head.nii.gz")
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
