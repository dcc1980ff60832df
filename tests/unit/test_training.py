"""Patches, contrast, learning rate, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.config.stages import Train
from pipeline.errors import UserError
from pipeline.physics.forward import ForwardModel
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.contrast import GAMMA_RANGE, SCALE_RANGE, change_contrast
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.trainer import FINAL_RATE, rate_at
from tests.helpers import synthetic_head


def training_volume(
    sigma: float = 0.0, slice_axis: int = 2, shape: tuple[int, int, int] = (66, 70, 62)
) -> TrainingVolume:
    data = synthetic_head(shape) / np.float32(1000)
    factors = tuple(1 if axis == slice_axis else 4 for axis in range(3))
    model = ForwardModel("kspace_truncation", factors, shape, "rician", sigma, seed=1)
    mask = data > 0.1
    slices = tuple(int(index) for index in np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {slice_axis}))))
    return TrainingVolume(data, mask, slice_axis, slices, model)


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_patches_are_pairs_of_the_same_place(slice_axis):
    settings = Train(batch_size=8, patch_lr=8, contrast_augmentation=0.0)
    coarse, fine = PatchSampler([training_volume(slice_axis=slice_axis)], settings, seed=5).batch(0)
    assert coarse.shape == (8, 1, 8, 8) and fine.shape == (8, 1, 32, 32)
    assert coarse.dtype == fine.dtype == np.float32
    # Without noise, a low-resolution voxel is about the mean of the sixteen it covers.
    means = fine.reshape(8, 1, 8, 4, 8, 4).mean(axis=(3, 5))
    assert np.corrcoef(means.ravel(), coarse.ravel())[0, 1] > 0.98


def test_a_batch_depends_on_seed_and_step_alone():
    settings = Train(batch_size=2, patch_lr=8)
    volume = training_volume(sigma=0.05)
    first = PatchSampler([volume], settings, seed=5)
    for step in range(3):
        first.batch(step)
    assert np.array_equal(first.batch(7)[0], PatchSampler([volume], settings, seed=5).batch(7)[0])
    assert not np.array_equal(first.batch(7)[0], first.batch(8)[0])
    assert not np.array_equal(first.batch(7)[0], PatchSampler([volume], settings, seed=6).batch(7)[0])


def test_a_slice_smaller_than_a_patch_is_padded():
    settings = Train(batch_size=3, patch_lr=32)
    coarse, fine = PatchSampler([training_volume(shape=(40, 44, 36))], settings, seed=1).batch(0)
    assert coarse.shape == (3, 1, 32, 32) and fine.shape == (3, 1, 128, 128)


def test_noise_is_drawn_afresh_for_every_patch():
    quiet, noisy = (PatchSampler([training_volume(sigma)], Train(patch_lr=8), seed=2) for sigma in (0.0, 0.05))
    difference = noisy.batch(0)[0] - quiet.batch(0)[0]
    assert 0.02 < difference.std() < 0.08


def test_contrast_changes_keep_air_and_order():
    image = np.linspace(-0.1, 1.2, 500, dtype=np.float32)
    for seed in range(20):
        changed = change_contrast(image, np.random.default_rng(seed))
        assert np.all(changed[image <= 0] == 0)
        assert np.all(np.diff(changed[image > 0]) > 0)
        assert changed.max() <= SCALE_RANGE[1] * 1.2 ** GAMMA_RANGE[1] + 1e-6


def test_the_learning_rate_rises_then_falls_along_a_cosine():
    settings = Train(steps=110, warmup_steps=10)
    rates = [rate_at(step, settings) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[60] == pytest.approx((1 + FINAL_RATE) / 2)
    assert rates[110] == pytest.approx(FINAL_RATE)


def test_two_generations_are_kept_and_the_newest_fitting_one_is_used(tmp_path):
    folder = CheckpointFolder(tmp_path / "work", "key")
    with folder.lease():
        for step in (1, 2, 3):
            folder.save(step, {"value": torch.tensor([float(step)])})
    kept = sorted(path.name for path in (tmp_path / "work").glob("*.pt"))
    assert kept == ["generation-0.pt", "generation-1.pt"]
    latest = folder.latest()
    assert latest is not None and latest["value"].item() == 3.0


def test_a_damaged_newest_generation_leaves_the_one_before(tmp_path):
    folder = CheckpointFolder(tmp_path, "key")
    folder.save(1, {"value": 1})
    folder.save(2, {"value": 2})
    newest = tmp_path / "generation-1.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    assert folder.latest() == {"value": 1}


def test_a_state_of_other_settings_is_not_continued(tmp_path, caplog):
    CheckpointFolder(tmp_path, "before").save(5, {"value": 5})
    with caplog.at_level("INFO"):
        assert CheckpointFolder(tmp_path, "after").latest() is None
    assert "starting afresh" in caplog.text


def test_two_trainers_never_share_a_folder(tmp_path):
    first, second = CheckpointFolder(tmp_path, "key"), CheckpointFolder(tmp_path, "key")
    with first.lease(), pytest.raises(UserError, match="another training"), second.lease():
        pass
    with second.lease():
        pass
