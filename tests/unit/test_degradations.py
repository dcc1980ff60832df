"""Alternative forward models, one of which is drawn for every patch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from pipeline.config.load import read_run
from pipeline.config.recipe import Recipe
from pipeline.errors import UserError
from pipeline.models.card import _forward
from pipeline.physics.torch_operator import as_torch
from pipeline.training.patches import Patches, PatchSampler
from tests.helpers import configuration
from tests.unit.test_patches import MODELS, SHAPE, a_volume

BLUR = {"operators": [{"name": "gaussian_psf", "fwhm_voxels": [0.5, 3.0]}, {"name": "binning"}], "noise": "gaussian"}
KSPACE = {
    "operators": [
        {"name": "partial_fourier", "fraction": [0.65, 0.9]},
        {"name": "kspace_truncation", "window": "tukey", "taper": [0.1, 0.6]},
    ],
    "noise": "noncentral_chi",
    "noise_parameters": {"coils": 4},
}
QUIET = {"operators": [{"name": "decimation"}], "noise": "none"}
VOLUME = a_volume(MODELS["k-space"])


def a_recipe(*degradations: dict[str, Any], **changes: Any) -> Recipe:
    values = {"batch_size": 12, "patch_lr": 8, "contrast_augmentation": 0.0, "degradations": degradations, **changes}
    return Recipe.model_validate_json(json.dumps(values))


def a_batch(*degradations: dict[str, Any], step: int = 0, **changes: Any) -> Patches:
    return PatchSampler([VOLUME], a_recipe(*degradations, **changes), seed=3).batch(step)


def test_alternatives_are_drawn_in_proportion_to_their_weights():
    patches = a_batch({**BLUR, "weight": 3.0}, {**QUIET, "weight": 1.0}, batch_size=400, noise_sigma_range=[0.01, 0.06])
    quiet = patches.sigma == 0  # the network is given the level of the noise that was added
    assert abs(quiet.mean() - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 400)
    ((rows, _),) = patches.operator
    decimates = np.count_nonzero(rows, axis=(1, 2, 3)) == 16  # the mean of two voxels
    np.testing.assert_array_equal(decimates, quiet)
    assert len({one.tobytes() for one in rows}) == 1 + np.count_nonzero(~quiet)


def test_the_operator_of_each_patch_is_the_one_that_was_drawn():
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random(SHAPE), 3).astype(np.float32)
    recipe = a_recipe(BLUR, KSPACE, QUIET, noise_sigma_range=[0, 0], batch_size=24)
    patches = PatchSampler([replace(VOLUME, data=smooth)], recipe, seed=3).batch(0)
    found = as_torch(patches.operator)(torch.from_numpy(patches.reference)).numpy()
    error = np.abs(found - patches.measured)[..., 3:-3, 3:-3].max(axis=(1, 2, 3))
    assert error.max() < 0.3 * smooth.std()  # what k-space mixes in from outside the patch
    ((rows, _),) = patches.operator
    is_local = (rows == 0).mean(axis=(1, 2, 3)) > 0.5
    assert 0 < is_local.sum() < 24
    assert error[is_local].max() < 1e-5


def test_patches_depend_on_seed_and_step_alone():
    recipe = a_recipe(BLUR, KSPACE, QUIET)
    first = PatchSampler([VOLUME], recipe, seed=3)
    first.batch(0)
    whole, part = first.batch(5), PatchSampler([VOLUME], recipe, seed=3).batch(5, slice(4, 8))
    for one, other in zip((whole.measured, whole.reference), (part.measured, part.reference), strict=True):
        np.testing.assert_array_equal(one[4:8], other)
    assert not np.array_equal(whole.measured, first.batch(6).measured)


def test_widths_in_mm_are_refused_for_a_volume_without_voxel_size():
    volume = replace(VOLUME, model=replace(VOLUME.model, spacing_mm=None))
    wide = {"operators": [{"name": "gaussian_psf", "fwhm_mm": [1.0, 3.0]}, {"name": "binning"}]}
    with pytest.raises(UserError, match=r"degradations\[1\].*fwhm_mm"):
        PatchSampler([volume], a_recipe(QUIET, wide), seed=3)


@pytest.mark.parametrize(
    ("degradation", "parts"),
    [
        ({"operators": [{"name": "gaussian_psf", "fwhm_mm": 1.0}]}, ("recipes.mine.degradations[0].operators", "one")),
        ({"operators": [{"name": "binnning"}]}, ("recipes.mine.degradations[0].operators[0]", "'binning'")),
        ({"noise": "ricean"}, ("recipes.mine.degradations[0].noise", "'rician'")),
        ({"noise_parameters": {"coils": 3}}, ("recipes.mine.degradations[0].noise_parameters", "coils")),
        ({"weight": 0.0}, ("recipes.mine.degradations[0].weight", "> 0")),
    ],
)
def test_mistakes_are_reported_with_their_place(degradation, parts):
    with pytest.raises(UserError) as caught:
        read_run(configuration(recipes={"mine": {"degradations": [degradation]}}))
    for part in parts:
        assert part in str(caught.value)


def test_the_model_card_describes_all_alternatives():
    words = _forward([VOLUME.model], a_recipe({**BLUR, "weight": 3.0}, KSPACE))
    parts = ("0.5 to 3 voxels", "Gaussian noise (75 %)", "Tukey", "noncentral chi noise of 4 coils (25 %)", "6.0 %")
    for part in parts:
        assert part in words
