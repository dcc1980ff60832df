"""Test volumes that are low-resolution along all three axes: patches, whole volumes, excerpts, and training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage
from torch.nn import functional

from pipeline.config.mismatch import degradations
from pipeline.config.parameters import Direction
from pipeline.config.sections import Degrade, Extract, Infer
from pipeline.config.sources import PackageSource
from pipeline.config.terms import Terms
from pipeline.errors import UserError
from pipeline.formats import Part
from pipeline.formats.io.container import write_image
from pipeline.image.image import Image
from pipeline.inference.restoration import restore
from pipeline.inference.restore_file import as_low_resolution, direction_of, restore_file
from pipeline.inference.volume import restore_excerpt, restore_volume
from pipeline.models.record import NetworkRecord
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.data_consistency import best_weight, degrade_again
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.excerpts import SIDE_LR, excerpt
from pipeline.physics.grid import cuts
from pipeline.physics.interpolation import MIN_WEIGHT, bspline_matrix, enlarge, interpolate_slices, slice_weights
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting import methods_text
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.run import train
from pipeline.training.setup import TrainingFiles, direction, plane_factors
from pipeline.training.validation import validate
from tests.helpers import (
    described,
    load_nifti,
    ras_affine,
    reoriented,
    restore_slice,
    run_command,
    synthetic_head,
    write_nifti,
)
from tests.small_training import tiny_generator, tiny_recipe, tiny_settings

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (40, 44, 37)
"""The last size is odd, so that it is padded."""
CUT = {"name": "kspace_truncation"}
BLUR = {"name": "gaussian_psf", "fwhm_voxels": 2.0, "along": "isotropic"}
PLAIN = {"noise_sigma_range": None, "contrast_augmentation": 0.0}


class Repeating(torch.nn.Module):
    """Repeat voxels along rows and columns, and add the given noise level."""

    factors = (2, 2)

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image, sigma):
        return functional.interpolate(image, scale_factor=2, mode="nearest") + sigma[:, None, None, None]


def a_head(seed: int = 0, slice_axis: int = 2) -> Image:
    data = synthetic_head(SHAPE, seed=seed) / np.float32(1000)
    facts = {"id": f"head{seed}", "subject": str(seed), "split": "train", "slice_axis": slice_axis, "plane": "axial"}
    filled = list(range(4, SHAPE[slice_axis] - 4))
    facts = {**facts, "slices": [0, SHAPE[slice_axis]], "foreground_slices": filled}
    return described(Image(data, np.eye(4), masks={"foreground": data > 0.1}), **facts)


def degraded(image: Image, **changes: Any) -> LowResolutionImage:
    settings = {"direction": "isotropic", "factor": 2, "noise": "none", "noise_sigma": 0.0, **changes}
    return degrade(image, forward_model(image, Degrade.model_validate_json(json.dumps(settings)), 7))


def a_volume(slice_axis: int = 2, data: np.ndarray | None = None, **changes: Any) -> TrainingVolume:
    image = a_head(slice_axis=slice_axis)
    image = image if data is None else image.with_data(data)
    model = degraded(image, **changes).forward_model
    slices = tuple(image.block.foreground_slices)
    return TrainingVolume(np.asarray(image.data), image.masks["foreground"], slice_axis, slices, model)


# Slice orientations and interpolated slices


def test_isotropic_volume_has_three_slice_orientations() -> None:
    for axis in range(3):
        found = cuts((2, 2, 2), axis)
        assert [cut.normal for cut in found] == [axis, *(other for other in range(3) if other != axis)]
        assert all(sorted(cut) == [0, 1, 2] for cut in found)
    with pytest.raises(UserError, match=r"factors \(4, 4, 2\)"):
        cuts((4, 4, 2), 2)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_interpolated_slices_match_cubic_spline(factor) -> None:
    weights = slice_weights(20, factor)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    assert np.count_nonzero(weights, axis=1).max() <= 14, "a slice is made of those around it"
    lr = np.random.default_rng(0).random((6, 20, 7)).astype(np.float32)
    whole = enlarge(lr, (1, factor, 1), bspline_matrix)
    assert np.abs(interpolate_slices(lr, factor, 1) - whole).max() < 5 * MIN_WEIGHT
    assert interpolate_slices(lr, 1, 1) is lr


# Patches


@pytest.mark.parametrize("operators", [[CUT], [BLUR, {"name": "decimation"}]])
@pytest.mark.parametrize("slice_axis", [0, 2])
def test_training_patches_match_network_input_at_inference(slice_axis, operators) -> None:
    """Every patch occurs in one of the three interpolated volumes, at the position of its reference."""
    volume = a_volume(slice_axis, operators=operators)
    lr = volume.model.coarsen(volume.data)
    patches = PatchSampler([volume], tiny_recipe(**PLAIN, batch_size=24), seed=3).batch(0)
    normals = set()
    for measured, reference in zip(patches.measured[:, 0], patches.reference[:, 0], strict=True):
        cut, index, rows, columns, turned = place_of(reference, volume)
        normals.add(cut.normal)
        slices = np.moveaxis(interpolate_slices(lr, 2, cut.normal), cut, (0, 1, 2))
        expected = slices[index, rows // 2 : rows // 2 + 8, columns // 2 : columns // 2 + 8]
        np.testing.assert_allclose(turned(measured), expected, atol=2e-6)
    assert normals == {0, 1, 2}


def place_of(reference: np.ndarray, volume: TrainingVolume) -> Any:
    """Locate the reference of a patch: orientation, slice, first row and column, and flip or rotation."""
    padded = np.pad(volume.data, [(0, size % 2) for size in volume.data.shape], mode="edge")
    for cut in cuts(volume.model.factors, volume.slice_axis):
        slices = np.moveaxis(padded, cut, (0, 1, 2))
        for view in range(8):
            turned = turn(view)
            wanted = turned(reference)
            for index, row, column in np.argwhere(slices == wanted[8, 8]):
                rows, columns = row - 8, column - 8
                if min(rows, columns) < 0:
                    continue
                found = slices[index, rows : rows + 16, columns : columns + 16]
                if np.array_equal(found, wanted):
                    return cut, index, rows, columns, turned
    raise AssertionError("the reference of a patch is no part of its volume")


def turn(view: int) -> Any:
    def turned(image):
        flipped = image[:: -1 if view & 1 else 1, :: -1 if view & 2 else 1]
        return flipped.T if view & 4 else flipped

    return turned


def test_noise_level_is_that_before_interpolation() -> None:
    """Noise of patches is attenuated by the interpolation, like that of volumes with the same noise level."""
    bright = np.ones(SHAPE, dtype=np.float32)
    changes = {"noise": "gaussian", "noise_sigma": 0.05}
    volume = a_volume(data=bright, **changes)
    recipe = tiny_recipe(**{**PLAIN, "batch_size": 150})
    patches = PatchSampler([volume], recipe, seed=2).batch(0)
    assert np.allclose(patches.sigma, 0.05)
    lr = volume.model.simulate(bright)
    inside = 0.05 * np.sqrt(np.sum(slice_weights(20, 2)[20] ** 2))
    assert 0.9 * 0.05 < inside < 0.95 * 0.05
    assert np.std(patches.measured - 1) == pytest.approx(inside, rel=0.03)
    for axis in range(3):
        assert np.std(interpolate_slices(lr, 2, axis) - 1) == pytest.approx(inside, rel=0.04)


def test_patches_of_constant_volume_are_constant() -> None:
    volume = a_volume(data=np.full(SHAPE, 0.5, dtype=np.float32))
    patches = PatchSampler([volume], tiny_recipe(noise_sigma_range=(0, 0), batch_size=12), seed=1).batch(0)
    for measured, reference in zip(patches.measured, patches.reference, strict=True):
        assert np.ptp(reference) == 0
        np.testing.assert_allclose(measured, reference[0, 0, 0], rtol=1e-5)
    assert np.ptp(patches.reference) > 0, "contrasts were changed"


def test_interpolation_of_many_slices_is_slab_by_slab(monkeypatch) -> None:
    volume = a_volume()
    recipe = tiny_recipe(**PLAIN, batch_size=6)
    whole = PatchSampler([volume], recipe, seed=1).batch(0)
    read = []
    monkeypatch.setattr("pipeline.training.patches.SLAB", 5)
    monkeypatch.setattr("pipeline.training.stored_image.read_slab", counted(read))
    parts = PatchSampler([volume], recipe, seed=1).batch(0)
    assert max(read) == 5
    np.testing.assert_allclose(parts.measured, whole.measured, atol=1e-6)


def counted(read: list[int]) -> Any:
    from pipeline.training.slabs import read_slab

    def slab(array, cut, indices, *others):
        read.append(len(indices))
        return read_slab(array, cut, indices, *others)

    return slab


def test_volumes_with_different_factors_are_rejected() -> None:
    isotropic = a_volume()
    plane = replace(isotropic, model=replace(isotropic.model, factors=(2, 2, 1)))
    assert plane_factors([isotropic, isotropic]) == (2, 2)
    assert [direction([one]) for one in (isotropic, plane)] == ["isotropic", "in_plane"]
    with pytest.raises(UserError, match="all three axes"):
        plane_factors([isotropic, plane])


# Whole volumes


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_three_planes_are_restored_and_averaged(slice_axis) -> None:
    network = tiny_generator(factor=2).eval()
    lr = np.random.default_rng(4).random((7, 9, 8), dtype=np.float32)
    restored = restore_volume(network, lr, (2, 2, 2), slice_axis, Infer(), 0.03)
    assert restored.shape == (14, 18, 16)
    means = []
    for cut in cuts((2, 2, 2), slice_axis):
        between = enlarge(lr, [2 if axis == cut.normal else 1 for axis in range(3)], bspline_matrix)
        planes = [restore_slice(network, plane, 0.03) for plane in np.moveaxis(between, cut, (0, 1, 2))]
        means.append(np.moveaxis(np.stack(planes), (0, 1, 2), cut))
    assert np.abs(restored - np.mean(means, axis=0)).max() < 0.02 * np.ptp(restored)
    assert np.abs(means[0] - means[1]).max() > 0.1 * np.ptp(restored)


def test_constant_volume_stays_constant() -> None:
    network: Any = Repeating()
    lr = np.full((7, 9, 8), 0.4, dtype=np.float32)
    np.testing.assert_allclose(restore_volume(network, lr, (2, 2, 2), 2, Infer(), 0.0), 0.4, rtol=1e-6)
    # The noise level given to the network is that of the volume, in every plane.
    np.testing.assert_allclose(restore_volume(network, lr, (2, 2, 2), 2, Infer(), 0.1), 0.5, rtol=1e-6)


def test_linear_network_gives_mean_of_three_interpolations() -> None:
    network: Any = Repeating()
    lr = ndimage.gaussian_filter(np.random.default_rng(1).random((12, 13, 14)), 2).astype(np.float32)
    expected = np.zeros((24, 26, 28))
    for axis in range(3):
        between = enlarge(lr, [2 if other == axis else 1 for other in range(3)], bspline_matrix)
        for other in {0, 1, 2} - {axis}:
            between = np.repeat(between, 2, other)
        expected += between / 3
    found = restore_volume(network, lr, (2, 2, 2), 0, Infer(), 0.0)
    np.testing.assert_allclose(found, expected, atol=5 * MIN_WEIGHT * float(np.ptp(lr)))


# Excerpts


def test_excerpt_of_isotropic_volume_is_consistent_block() -> None:
    head = a_head()
    one = excerpt(head, degraded(head, noise="rician", noise_sigma=0.02), 2)
    assert one.lr.shape == (2 * SIDE_LR,) * 3
    assert one.reference.data.shape == one.reference.masks["foreground"].shape == (4 * SIDE_LR,) * 3
    assert one.min_slices == 2 * SIDE_LR
    again = degrade_again(np.asarray(one.reference.data), one.model)
    np.testing.assert_allclose(again, one.noiseless, atol=1e-6)
    assert np.std(one.lr - one.noiseless) == pytest.approx(0.02, rel=0.15)
    np.testing.assert_array_equal(one.with_noise_level(0.0).lr, one.noiseless)
    # The block starts at the edge of the head.
    rim = one.reference.masks["foreground"].mean(axis=(1, 2))
    assert rim[0] < 1 == rim[-1]


def test_excerpt_of_small_volume_is_whole_volume() -> None:
    head = a_head()
    one = excerpt(head, degraded(head), 8)
    assert one.reference.data.shape == SHAPE
    assert one.lr.shape == (20, 22, 19)
    np.testing.assert_allclose(one.lr, degraded(head).data, atol=1e-6)


def test_validation_and_data_consistency_weight_use_three_planes() -> None:
    head = a_head(1)
    one = excerpt(head, degraded(head), 2)
    network: Any = Repeating()
    restored = restore_excerpt(network, one)
    assert restored.shape == (4 * SIDE_LR,) * 3
    assert 0.5 < best_weight(restored, one) <= 1, "without noise, what was measured is right"
    look = validate(network, [one])
    assert look.values["psnr"] > 10
    assert look.diversity == pytest.approx(1, abs=0.2), "an interpolation follows its input"


def test_mismatch_degradations_blur_coarsened_axes() -> None:
    found = degradations({}, Degrade(direction="isotropic", factor=2))
    assert {one.direction for one in found.values()} == {"isotropic"}
    head = a_head()
    lines = np.zeros(SHAPE, dtype=np.float32)
    lines[:, :, ::2] = 1
    model = forward_model(head, found["gaussian"], 1)
    assert np.ptp(model.coarsen(lines)[5:-5, 5:-5, 5:-5]) < 0.05, "or every second slice would be lost unseen"


# Files


def test_trained_isotropic_network_can_be_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = {}
    for seed, split in ((0, "train"), (1, "val")):
        head = a_head(seed)
        volumes[split] = (tmp_path / f"{split}.hr.safetensors", tmp_path / f"{split}.lr.safetensors")
        write_image(volumes[split][0], head)
        write_image(volumes[split][1], degraded(head, noise="rician", noise_sigma=0.02))
    hr, lr, val_hr, val_lr = ([volumes[split][kind]] for split in ("train", "val") for kind in (0, 1))
    files = TrainingFiles(hr, lr, val_hr, val_lr)
    source = PackageSource.model_validate(
        {"kind": "package", "project": "p", "version": "1", "file": "f", "sha256": "0" * 64, "title": "none"}
    )
    recipe = tiny_recipe(starts_from="scratch", blocks=1, features=8, steps=6, noise_sigma_range=(0.02, 0.02))
    monkeypatch.setattr("pipeline.training.validation.VALIDATION_SLICES", 3)
    output = tmp_path / "models" / "small"
    terms = (Terms(licence="CC BY 4.0", citation="Somebody, 2026", volumes=2),)
    train(files, recipe, tiny_settings(), source, 1, "cpu", output, tmp_path / "work", "code", terms)
    network = load_generator(output / "generator.safetensors").eval()
    assert direction_of(network) == "isotropic"
    assert network.record.consistency_weights[0].weight > 0
    card = (output / "model_card.md").read_text()
    assert "- Licences of these data:\n  - CC BY 4.0 (volumes: 2): Somebody, 2026" in card
    assert "along all three axes" in card and "factors (2, 2, 2)" in card
    image = degraded(a_head(2), noise="rician", noise_sigma=0.02)
    restored = restore(network, image, Infer(noise_sigma=0.02))
    assert restored.shape == tuple(2 * size for size in image.data.shape)
    assert not np.array_equal(restored, restore(network, image, Infer(noise_sigma=0.02, data_consistency=False)))
    check_apply(output / "generator.safetensors", tmp_path)


def check_apply(model: Path, folder: Path) -> None:
    """A volume in another orientation is restored at half the spacing, with the same orientation and position."""
    voxels = np.round(synthetic_head((20, 22, 24))).astype(np.int16)
    affine = ras_affine((2.0, 2.0, 2.0))
    stored, its_affine = reoriented(voxels, affine, np.array([[1, -1], [2, 1], [0, -1]]))
    source = write_nifti(folder / "coarse.nii.gz", stored, its_affine)
    result = run_command("apply", "--model", model, source, "--output", folder / "fine.nii.gz", "--force")
    assert result.returncode == 0, result.stderr
    fine = load_nifti(folder / "fine.nii.gz")
    assert fine.shape == tuple(2 * size for size in stored.shape)
    assert fine.get_data_dtype() == np.int16
    np.testing.assert_allclose(fine.header.get_zooms(), 1.0, rtol=1e-5)
    corners = [fine.affine @ [2 * x + 0.5, 2 * y + 0.5, 2 * z + 0.5, 1] for x, y, z in ((0, 0, 0), (3, 5, 7))]
    expected = [its_affine @ [x, y, z, 1] for x, y, z in ((0, 0, 0), (3, 5, 7))]
    np.testing.assert_allclose(corners, expected, atol=1e-4)


def test_direction_of_networks_and_factors_of_their_inputs() -> None:
    assert direction_of(tiny_generator()) == "in_plane"
    assert direction_of(tiny_generator(along="columns")) == "through_plane"
    image = a_head()
    found = {name: list(as_low_resolution(image, 2, name).forward_model.factors) for name in FACTORS}
    assert found == FACTORS
    single = image.with_data(image.data[:, :, :1], masks={})
    with pytest.raises(UserError, match="a single slice"):
        as_low_resolution(single, 2, "isotropic")


def test_large_images_are_rejected_by_isotropic_networks(tmp_path: Path) -> None:
    network = tiny_generator(factor=2)
    network.record = NetworkRecord(direction="isotropic")
    save_generator(tmp_path / "network.safetensors", network)
    source = tmp_path / "large.tif"
    tifffile.imwrite(source, np.zeros((2, 1100, 1100), dtype=np.uint8))
    with pytest.raises(UserError, match=r"large.tif: an image of this size"):
        restore_file(tmp_path / "network.safetensors", source, tmp_path / "out.tif", Part(), Extract(), Infer(), "cpu")


def test_methods_text_describes_average_of_three_planes() -> None:
    assert "three results were averaged" in methods_text.PLANES["isotropic"]
    assert set(methods_text.PLANES) == set(get_args(Direction))


FACTORS: dict[Any, list[int]] = {"in_plane": [2, 2, 1], "through_plane": [1, 1, 2], "isotropic": [2, 2, 2]}
