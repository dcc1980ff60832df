"""Augmentation of references: small structures, rotation onto larger voxels, and empty backgrounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipeline.errors import UserError
from pipeline.physics.forward import drawn_model
from pipeline.physics.grid import Cut
from pipeline.physics.noise import none
from pipeline.physics.operators import binning, gaussian_psf
from pipeline.physics.torch_operator import as_torch
from pipeline.training.augmentation.resampling import Resampling
from pipeline.training.augmentation.structures import draw_structures, with_structures
from pipeline.training.patches import Patches, PatchSampler, TrainingVolume
from pipeline.training.record import training_domain
from pipeline.training.slabs import WHOLE, read_slab
from tests.small_training import tiny_recipe, training_volume
from tests.unit.test_patches import MODELS, PLAIN, SHAPE, THICK, a_model, a_volume

AXIAL = Cut(2, 0, 1)
ALL = {"structure_augmentation": 0.5, "resampling_augmentation": 0.5, "background_augmentation": 0.5}


def a_batch(volume: TrainingVolume, **changes: Any) -> Patches:
    return PatchSampler([volume], tiny_recipe(**{**PLAIN, "batch_size": 12, **changes}), seed=3).batch(0)


def stripped(volume: TrainingVolume) -> TrainingVolume:
    """Return a volume whose background is exactly 0."""
    return replace(volume, data=np.where(volume.mask, volume.data, np.float32(0)))


def test_patches_depend_on_seed_and_step_alone():
    volume, recipe = stripped(a_volume(MODELS["ranges"])), tiny_recipe(batch_size=12, **ALL)
    whole = PatchSampler([volume], recipe, seed=3).batch(5)
    again = PatchSampler([volume], recipe, seed=3)
    again.batch(4)
    part = again.batch(5, slice(4, 8))
    np.testing.assert_array_equal(whole.measured[4:8], part.measured)
    np.testing.assert_array_equal(whole.reference[4:8], part.reference)


@pytest.mark.parametrize("key", ["structure_augmentation", "resampling_augmentation"])
def test_the_operator_of_a_patch_reproduces_its_measurement(key):
    volume = training_volume(shape=(64, 72, 12))
    narrow = drawn_model(
        (4, 4, 1),
        (64, 72, 12),
        0.0,
        1,
        (gaussian_psf.Parameters(fwhm_mm=1.5), binning.Parameters()),
        none.Parameters(),
        2,
        (1.0, 1.0, 1.0),
    )
    patches = a_batch(replace(volume, model=narrow), **{key: 1.0})
    found = as_torch(patches.operator)(torch.from_numpy(patches.reference)).numpy()
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(found[inside], patches.measured[inside], atol=1e-5)
    if key == "resampling_augmentation":
        widths = {operator.tobytes() for operator in patches.operator[0][0]}
        assert len(widths) == 12  # 1.5 mm are fewer of the larger voxels


# Structures


@pytest.mark.parametrize("steps", [MODELS["k-space"].operators, THICK], ids=["k-space", "across slices"])
def test_structures_are_degraded_as_a_part_of_the_reference(steps, monkeypatch):
    volume = a_volume(a_model(steps))
    window, middle = (slice(4, 36), slice(4, 40)), SHAPE[2] // 2
    structures = draw_structures(volume.mask[..., middle], window, middle, np.random.default_rng(0))
    read = with_structures(
        lambda *given: read_slab(volume.data, AXIAL, given[0], (4, 4), given[1]), structures, SHAPE[:2]
    )
    changed = np.moveaxis(read(range(SHAPE[2]), WHOLE), 0, 2)
    assert np.abs(changed - volume.data).max() > 0.05
    batches = []
    for data, drawn in ((volume.data, structures), (changed, ()), (volume.data, ())):
        monkeypatch.setattr("pipeline.training.patches.draw_structures", lambda *_, drawn=drawn: drawn)
        batches.append(a_batch(replace(volume, data=data), structure_augmentation=1.0))
    added, stored, without = batches
    np.testing.assert_array_equal(added.reference, stored.reference)
    np.testing.assert_allclose(added.measured, stored.measured, atol=2e-6)
    assert not np.array_equal(added.measured, without.measured)


def test_structures_are_small_of_both_signs_and_in_the_foreground():
    volume, middle = a_volume(MODELS["k-space"]), SHAPE[2] // 2
    mask = volume.mask[..., middle]
    drawn = [draw_structures(mask, (slice(0, 40), slice(0, 44)), middle, np.random.default_rng(n)) for n in range(200)]
    assert {len(one) for one in drawn} == {1, 2, 3, 4, 5, 6}
    every = [one for structures in drawn for one in structures]
    assert 0.4 < np.mean([one.contrast > 0 for one in every]) < 0.6
    flat = np.ones((1, *mask.shape), dtype=np.float32)
    for structure in every:
        changed = flat.copy()
        structure.add_to(changed, [middle], (0, 0))
        assert (changed > 0).all()
        assert (changed == 1)[0][~mask].all()
        assert (changed != 1).any()
        assert ((changed > 1).any(), (changed < 1).any()) == (structure.contrast > 0, structure.contrast < 0)
    areas = np.array([one.coverage.sum() for one in every])
    assert areas.max() < np.pi * 6**2 * 1.5
    assert np.quantile(areas, 0.1) < 10 < np.quantile(areas, 0.5)


# Rotation onto larger voxels


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.5])
def test_positions_are_rotated_and_divided_by_the_enlargement(angle):
    """A spot stays a spot, at the rotated position relative to the centre."""
    shape, place, enlargement = (64, 80), np.array([40.0, 30.0]), 1.25
    rows, columns = np.indices(shape)
    spot = np.exp(-((rows - place[0]) ** 2 + (columns - place[1]) ** 2) / 8).astype(np.float32)
    grid = Resampling(shape, (48, 60), enlargement, angle)
    found = grid.reader(lambda _, window: spot[window][None])([0], (slice(0, 48), slice(0, 60)))[0]
    middle = np.array([23.5, 29.5])
    centre = np.array(ndimage.center_of_mass(found)) - middle
    y, x = (place - (31.5, 39.5)) / enlargement
    expected = [np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y]
    np.testing.assert_allclose(centre, expected, atol=0.02)
    assert found.sum() == pytest.approx(spot.sum() / enlargement**2, rel=1e-3)
    assert grid.mask(spot > 0.5)[tuple(np.rint(centre + middle).astype(int))]


def test_a_region_of_a_rotated_slice_is_read_alone():
    image = np.random.default_rng(0).random((64, 80), dtype=np.float32)
    read = Resampling((64, 80), (48, 60), 1.3, 0.7).reader(lambda _, window: image[window][None])
    whole = read([0], (slice(0, 48), slice(0, 60)))
    np.testing.assert_allclose(read([0], (slice(8, 24), slice(20, 36))), whole[:, 8:24, 20:36], atol=1e-3)


@pytest.mark.parametrize("enlargement", [1.25, 1.5])
def test_rotated_slices_are_as_sharp_as_their_voxels_allow(enlargement):
    """Band-limited noise keeps its power up to 0.85 of the Nyquist frequency of the larger voxels."""
    size, own = 180, int(180 / enlargement) // 4 * 4
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((size, size)))
    limit = 0.85 * 0.5 / enlargement
    image = np.fft.ifft2(noise * (frequency < limit) * (frequency > 0.7 * limit)).real.astype(np.float32)
    grid = Resampling((size, size), (own, own), enlargement, 0.3)
    found = grid.reader(lambda _, window: image[window][None])([0], (slice(0, own), slice(0, own)))[0]
    inside = slice(own // 5, -(own // 5))
    assert found[inside, inside].var() > 0.9 * image.var()


def test_an_empty_background_stays_empty():
    volume = stripped(a_volume(MODELS["k-space"]))
    patches = a_batch(volume, resampling_augmentation=1.0)
    assert patches.reference.min() == 0
    assert (patches.reference == 0).mean() > 0.2
    assert len(np.unique(patches.reference[patches.reference > 0])) > 1000


@pytest.mark.parametrize("factors", [(1, 1, 4), (4, 4, 4), (4, 2, 1)])
def test_rotation_is_refused_unless_the_plane_alone_was_degraded(factors):
    volume = a_volume(a_model((binning.Parameters(),), factors))
    with pytest.raises(UserError, match=r"resampling_augmentation: .* in_plane"):
        a_batch(volume, resampling_augmentation=0.1)


def test_the_record_of_a_network_includes_the_larger_voxels():
    model = MODELS["k-space"]
    assert training_domain([model], tiny_recipe()).voxel_mm == (4.0, 4.0)
    assert training_domain([model], tiny_recipe(resampling_augmentation=0.2)).voxel_mm == (4.0, 6.0)


# Backgrounds


def test_some_patches_have_no_noise_in_an_empty_background():
    head = a_volume(replace(MODELS["k-space"], noise="rician", noise_parameters=None))
    volume = stripped(head)
    noisy = {"noise_sigma_range": (0.03, 0.03), "batch_size": 300}
    patches = a_batch(volume, background_augmentation=0.3, **noisy)
    cells = np.any(patches.reference.reshape(-1, 8, 4, 8, 4), axis=(2, 4))
    cleared = (patches.measured[:, 0] == 0).any(axis=(1, 2))
    has_background = ~np.all(cells, axis=(1, 2))
    share = cleared[has_background].mean()
    assert abs(share - 0.3) < 3 * np.sqrt(0.3 * 0.7 / has_background.sum())
    np.testing.assert_array_equal(patches.measured[cleared, 0] > 0, cells[cleared])
    filled = a_batch(head, background_augmentation=1.0, **noisy)
    assert (filled.measured != 0).all()
