"""Patches of forward models with ranges, with thick slices and with several terms; and excerpts of such volumes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipeline.config.parameters import PhysicalParameters
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.physics.data_consistency import best_weight, correction, degrade_again
from pipeline.physics.excerpts import excerpt
from pipeline.physics.forward import ForwardModel, drawn_model
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise import electron, none
from pipeline.physics.operators import airy_psf, binning, gaussian_psf, kspace_truncation, slice_profile
from pipeline.physics.torch_operator import as_torch
from pipeline.training.patches import PatchSampler, TrainingVolume
from tests.helpers import described, synthetic_head
from tests.small_training import tiny_recipe

SHAPE = (40, 44, 36)
PLAIN = {"noise_sigma_range": (0.0, 0.0), "contrast_augmentation": 0.0}
THICK = (slice_profile.Parameters(thickness_mm=4.0), binning.Parameters())
RANGED = (gaussian_psf.Parameters(fwhm_mm=(0.5, 6.0)), binning.Parameters())


def a_model(
    steps: tuple[PhysicalParameters, ...],
    factors: tuple[int, int, int] = (4, 4, 1),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> ForwardModel:
    return drawn_model(factors, SHAPE, 0.0, 1, steps, none.Parameters(), 2, spacing_mm)


def a_volume(model: ForwardModel, data: np.ndarray | None = None) -> TrainingVolume:
    head = synthetic_head(SHAPE) / np.float32(1000)
    mask = head > 0.1
    slices = tuple(int(index) for index in np.flatnonzero(mask.any(axis=(0, 1))))
    return TrainingVolume(head if data is None else data, mask, 2, slices, model)


def batch_of(model: ForwardModel, data: np.ndarray | None = None, **changes: Any) -> Any:
    recipe = tiny_recipe(**{**PLAIN, "batch_size": 12, **changes})
    return PatchSampler([a_volume(model, data)], recipe, seed=3).batch(0)


MODELS = {
    "k-space": a_model((kspace_truncation.Parameters(),)),
    "several terms": a_model((airy_psf.Parameters(), binning.Parameters()), spacing_mm=(2e-4, 2e-4, 2e-4)),
    "anisotropic": a_model((gaussian_psf.Parameters(fwhm_mm=3.0), binning.Parameters()), spacing_mm=(1.0, 0.5, 1.0)),
    "across slices": a_model(THICK, (1, 1, 4)),
    "ranges": a_model(RANGED),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_operator_of_a_patch_reproduces_the_measurement_away_from_its_edges(name):
    # Smooth, so that what k-space mixes in from outside the patch is little.
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random(SHAPE), 3).astype(np.float32)
    patches = batch_of(MODELS[name], smooth)
    found = as_torch(patches.operator)(torch.from_numpy(patches.reference)).numpy()
    assert found.shape == patches.measured.shape == (12, 1, 8, 8)
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    spread = smooth.std()
    assert np.abs(found - patches.measured)[inside].max() < 0.15 * spread


def test_every_patch_has_the_operator_of_its_draw():
    patches = batch_of(MODELS["ranges"])
    ((rows, columns),) = patches.operator
    assert rows.shape == columns.shape == (12, 1, 8, 32)
    assert len({operator.tobytes() for operator in rows}) == 12
    part = patches.part(slice(4, 8))
    assert part.reference.shape[0] == 4
    np.testing.assert_array_equal(part.operator[0][0], rows[4:8])


def test_patches_depend_on_seed_and_step_alone():
    first, again = (batch_of(MODELS["ranges"]) for _ in range(2))
    np.testing.assert_array_equal(first.measured, again.measured)
    np.testing.assert_array_equal(first.operator[0][0], again.operator[0][0])


def test_without_ranges_all_patches_share_one_operator():
    ((rows, _),) = batch_of(MODELS["k-space"]).operator
    assert rows.shape == (8, 32)


def test_patches_of_several_draws_may_have_different_numbers_of_terms():
    steps = (airy_psf.Parameters(numerical_aperture=(0.1, 0.9)), binning.Parameters())
    patches = batch_of(a_model(steps, spacing_mm=(4e-4, 4e-4, 4e-4)), batch_size=6)
    counts = [sum(bool(rows[index].any()) for rows, _ in patches.operator) for index in range(6)]
    assert len(set(counts)) > 1
    total = as_torch(patches.operator)(torch.ones(6, 1, 32, 32))
    np.testing.assert_allclose(total.numpy(), 1, rtol=1e-5)


def test_patches_are_transposed_only_if_rows_and_columns_are_alike():
    """A bright line along one axis shows how a patch was turned."""
    line = np.zeros(SHAPE, dtype=np.float32)
    line[:, ::4] = 1
    for name, both in (("k-space", True), ("anisotropic", False)):
        patches = batch_of(MODELS[name], line, batch_size=24)
        along_rows = [bool(np.ptp(reference[0], axis=1).max() == 0) for reference in patches.reference]
        assert any(along_rows) is both
        assert not all(along_rows)


def test_thick_slices_are_restored_along_columns():
    patches = batch_of(MODELS["across slices"])
    assert patches.reference.shape == (12, 1, 8, 32)
    assert patches.measured.shape == (12, 1, 8, 8)
    assert a_volume(MODELS["across slices"]).plane_axes == (1, 2)
    normals = {cut.normal for cut, _ in a_volume(MODELS["across slices"]).places}
    assert normals == {0, 1}
    means = patches.reference.reshape(12, 8, 8, 4).mean(axis=-1)
    assert np.corrcoef(means.ravel(), patches.measured.ravel())[0, 1] > 0.95


def test_neighbouring_slices_contribute_to_a_thick_slice():
    """In-plane work on thick slices: the reference is one thin slice, the measurement mixes its neighbours in."""
    data = np.zeros(SHAPE, dtype=np.float32)
    data[:, :, ::2] = 1  # every second slice is bright
    patches = batch_of(a_model(THICK), data)
    assert set(np.unique(patches.reference)) == {0.0, 1.0}
    assert np.abs(patches.measured - 0.5).max() < 0.1


def test_axes_of_different_factors_are_refused():
    with pytest.raises(UserError, match=r"factors \(4, 4, 2\)"):
        batch_of(a_model((binning.Parameters(),), (4, 4, 2)))


def test_scan_lines_have_the_same_axis_in_all_patches():
    model = replace(MODELS["k-space"], noise="electron", noise_parameters=electron.Parameters(jitter_pixels=1.0))
    ramp = np.broadcast_to(np.arange(SHAPE[0], dtype=np.float32)[:, None, None] / SHAPE[0], SHAPE).copy()
    patches = batch_of(model, ramp, batch_size=24)
    clean = as_torch(patches.operator)(torch.from_numpy(patches.reference)).numpy()
    for measured, expected in zip(patches.measured[:, 0], clean[:, 0], strict=True):
        rises_along_lines = np.ptp(expected, axis=0).max() > np.ptp(expected, axis=1).max()
        error = (measured - expected)[2:-2, 2:-2].std()
        assert (error > 0.5 / SHAPE[0]) == rises_along_lines


def test_shading_changes_reference_and_measurement_alike():
    flat = np.ones(SHAPE, dtype=np.float32)
    patches = batch_of(a_model((binning.Parameters(),)), flat, shading_augmentation=0.5)
    assert np.ptp(patches.reference.mean(axis=(1, 2, 3))) > 0.05
    assert 0.5 <= patches.reference.min() <= patches.reference.max() <= 2
    means = patches.reference.reshape(12, 1, 8, 4, 8, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(patches.measured, means, rtol=1e-5)


# Excerpts


def an_excerpt(model: ForwardModel, max_slices: int = 3) -> Any:
    data = synthetic_head(SHAPE, seed=4) / np.float32(1000)
    facts = {"slice_axis": 2, "foreground_slices": list(range(6, 30))}
    reference = described(Image(data, np.eye(4), masks={"foreground": data > 0.1}), **facts)
    lr = LowResolutionImage(model.simulate(data), np.eye(4), forward_model=model)
    return excerpt(reference, lr, max_slices)


@pytest.mark.parametrize("name", MODELS)
def test_an_excerpt_contains_the_measurement_of_its_slices(name):
    one = an_excerpt(MODELS[name])
    axis = one.slice_axis
    assert one.lr.shape[axis] == one.reference.data.shape[axis] == 3
    assert one.lr.shape == one.model.lr_shape
    np.testing.assert_allclose(one.noiseless, one.lr, atol=1e-6)
    np.testing.assert_array_equal(one.with_noise_level(0.0).lr, one.noiseless)


def test_an_excerpt_of_thick_slices_cuts_through_them():
    one = an_excerpt(MODELS["across slices"])
    assert one.slice_axis == 0
    assert one.reference.data.shape == (3, 44, 36)
    assert one.lr.shape == (3, 44, 9)


def test_blur_across_the_slices_of_an_excerpt_is_not_applied_again():
    one = an_excerpt(a_model(THICK))
    # The excerpt's own model knows the three slices alone; what differs is what the neighbours mixed in.
    mixed = np.abs(degrade_again(np.asarray(one.reference.data), one.model) - one.lr)
    assert 0.001 < mixed.mean() < 0.1
    assert one.model.terms[0][2] is None


# The correction toward the measurement


@pytest.mark.parametrize("name", ["several terms", "anisotropic", "across slices"])
def test_data_consistency_improves_a_blurred_result(name):
    one = an_excerpt(MODELS[name], max_slices=4)
    reference = np.asarray(one.reference.data)
    widths = [0 if factor == 1 else 4 for factor in one.model.factors]
    blurred = np.asarray(ndimage.gaussian_filter(reference, widths), dtype=np.float32)
    share = best_weight(blurred, one)
    assert 0.5 < share <= 1
    corrected = blurred + share * correction(blurred, one.lr, one.model)[tuple(map(slice, reference.shape))]
    assert np.mean((corrected - reference) ** 2) < 0.8 * np.mean((blurred - reference) ** 2)


def test_data_consistency_does_not_amplify_noise_of_a_wide_blur():
    wide = a_model((gaussian_psf.Parameters(fwhm_mm=12.0), binning.Parameters()))
    one = replace(an_excerpt(wide), model=replace(an_excerpt(wide).model, noise="gaussian")).with_noise_level(0.01)
    reference = np.asarray(one.reference.data)
    added = correction(reference, one.lr, one.model)
    # A bare pseudo-inverse would put the noise back many hundred times as strong.
    assert added.std() < 0.05
