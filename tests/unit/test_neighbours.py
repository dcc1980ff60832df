"""Neighbouring slices as inputs of a network: in patches, in volumes, and in excerpts of volumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.stack import Stack
from pipeline.inference.background import Background
from pipeline.inference.forward_pass import engine_for
from pipeline.inference.restoration import restore
from pipeline.inference.tta import restore_averaged
from pipeline.inference.volume import restore_excerpt, restore_volume
from pipeline.models.generator import Generator
from pipeline.models.weights import save_generator
from pipeline.physics.excerpts import excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.setup import starting_generator
from tests.helpers import described
from tests.small_training import make_trainer, tiny_generator, tiny_recipe, tiny_settings

SHAPE = (40, 44, 30)
QUIET = {"noise_sigma_range": (0.0, 0.0), "contrast_augmentation": 0.0}


@pytest.fixture
def network() -> Generator:
    return tiny_generator(neighbours=2).eval()


def numbered(sigma: float = 0.0) -> TrainingVolume:
    """Return a volume whose slices have intensities of their index / 100."""
    data = np.broadcast_to(np.arange(SHAPE[2], dtype=np.float32) / np.float32(100), SHAPE).copy()
    model = ForwardModel((4, 4, 1), SHAPE, "gaussian", sigma)
    return TrainingVolume(data, np.ones(SHAPE, dtype=bool), 2, tuple(range(SHAPE[2])), model)


def test_patches_have_near_far_or_repeated_neighbours():
    patches = PatchSampler([numbered()], tiny_recipe(**QUIET, neighbours=2, batch_size=400), seed=1).batch(0)
    assert patches.measured.shape == (400, 5, 8, 8)
    found = np.rint(100 * patches.measured.mean(axis=(2, 3))).astype(int)
    middle = np.rint(100 * patches.reference.mean(axis=(1, 2, 3))).astype(int)
    np.testing.assert_array_equal(found[:, 2], middle)
    steps = {step: np.clip(middle[:, None] + step * np.arange(-2, 3), 0, SHAPE[2] - 1) for step in range(-3, 4)}
    inside = (middle >= 6) & (middle < SHAPE[2] - 6)
    counts = {step: int((found[inside] == expected[inside]).all(axis=1).sum()) for step, expected in steps.items()}
    assert sum(counts.values()) == inside.sum()
    share = {step: count / inside.sum() for step, count in counts.items()}
    assert share[0] == pytest.approx(0.1, abs=0.05)
    assert share[1] + share[-1] == pytest.approx(0.9 * 0.7, abs=0.08)
    assert min(counts.values()) > 0
    outside = np.stack([(found == expected).all(axis=1) for expected in steps.values()])
    assert outside.any(axis=0).all(), "the last slice is repeated beyond the ends"


def test_the_noise_of_neighbours_is_independent_unless_they_repeat_a_slice():
    recipe = tiny_recipe(noise_sigma_range=(0.1, 0.1), contrast_augmentation=0.0, neighbours=1, batch_size=200)
    noisy = PatchSampler([numbered()], recipe, seed=1).batch(0).measured
    noise = noisy - noisy.mean(axis=(2, 3), keepdims=True)
    same = [np.array_equal(*pair) for pair in zip(noisy[:, 0], noisy[:, 1], strict=True)]
    assert 0.03 < np.mean(same) < 0.25
    products = np.mean(noise[:, 0] * noise[:, 1], axis=(1, 2))[~np.array(same)]
    assert abs(products.mean()) < 0.05 * noise.var()


def test_a_cleared_background_is_that_of_each_slice():
    volume = numbered()
    head = np.zeros(SHAPE, dtype=bool)
    for index in range(SHAPE[2]):
        head[: 8 + index, 8:36, index] = True
    volume = replace(volume, data=np.where(head, volume.data + 0.5, 0).astype(np.float32), mask=head)
    recipe = tiny_recipe(
        noise_sigma_range=(0.02, 0.02),
        contrast_augmentation=0.0,
        neighbours=2,
        batch_size=60,
        background_augmentation=1.0,
    )
    measured = PatchSampler([volume], recipe, seed=1).batch(0).measured
    filled = (measured != 0).sum(axis=(2, 3))
    cleared = (filled < 64).all(axis=1)
    assert cleared.sum() > 10
    assert (np.ptp(filled[cleared], axis=1) > 0).any(), "slices of a growing head differ"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_volumes_are_restored_with_the_slices_beside_each_slice(network, axis):
    volume = np.random.default_rng(1).random((6, 7, 8), dtype=np.float32)
    factors = [1 if other == axis else 4 for other in range(3)]
    restored = restore_volume(network, volume, factors, axis, Infer(), 0.02)
    slices = np.moveaxis(volume, axis, 0)
    engine = engine_for(network, Infer())
    for index in (0, 1, 3, len(slices) - 1):
        stack = slices[np.clip(np.arange(index - 2, index + 3), 0, len(slices) - 1)]
        np.testing.assert_allclose(np.take(restored, index, axis), engine.restore(stack, 0.02), atol=1e-5)


def test_tiles_keep_the_neighbours_of_their_slices(network):
    volume = np.random.default_rng(1).random((60, 50, 6), dtype=np.float32)
    whole, tiled = (
        restore_volume(network, volume, (4, 4, 1), 2, Infer(tile_lr=tile, overlap_lr=15), 0.02) for tile in (64, 40)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


def test_slices_that_are_no_neighbours_are_restored_one_by_one(network):
    volume = np.random.default_rng(1).random((12, 14, 6), dtype=np.float32)
    model = ForwardModel((4, 4, 1), (48, 56, 6), noise_sigma=0.02)
    plain = LowResolutionImage(volume, np.eye(4), forward_model=model)
    channels = replace(plain, stack=Stack(channels=("a", "b"), sections=(0, 0, 1, 1, 2, 2)))
    settings = Infer(noise_sigma=0.02, data_consistency=False)
    beside, alone = (restore(network, described(one, slice_axis=2), settings) for one in (plain, channels))
    single = [
        restore(
            network,
            described(
                replace(plain, data=volume[..., [index]], forward_model=replace(model, hr_shape=(48, 56, 1))),
                slice_axis=2,
            ),
            settings,
        )[..., 0]
        for index in range(6)
    ]
    np.testing.assert_allclose(alone, np.stack(single, axis=-1), atol=1e-5)
    assert np.abs(alone - beside).max() > 1e-3


def test_skipped_background_and_augmentations_leave_the_neighbours_in_place(network):
    volume = np.zeros((40, 44, 5), dtype=np.float32)
    volume[12:28, 14:30] = np.random.default_rng(1).random((16, 16, 5), dtype=np.float32)
    whole = restore_volume(network, volume, (4, 4, 1), 2, Infer(), 0.0, augmentations=8)
    part = restore_volume(
        network, volume, (4, 4, 1), 2, Infer(), 0.0, augmentations=8, background=Background(volume > 0, 8)
    )
    inside = (slice(48, 112), slice(56, 120))
    np.testing.assert_allclose(part[inside], whole[inside], atol=1e-4)
    stack = np.moveaxis(volume, 2, 0)
    middle = restore_averaged(engine_for(network, Infer()), stack, 0.0, 8)
    np.testing.assert_allclose(whole[..., 2], middle, atol=1e-5)


def test_an_excerpt_is_restored_as_its_slices_in_the_volume(network):
    data = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    reference = Image(data, np.eye(4), masks={"foreground": np.ones(SHAPE, dtype=bool)})
    model = ForwardModel((4, 4, 1), SHAPE, "rician", 0.02, seed=3)
    lr = LowResolutionImage(model.simulate(data), np.eye(4), forward_model=model)
    facts = {"slice_axis": 2, "foreground_slices": list(range(SHAPE[2]))}
    one = excerpt(described(reference, **facts), lr, 4, neighbours=2)
    chosen = [
        int(np.flatnonzero((data == kept[..., None]).all(axis=(0, 1)))[0])
        for kept in one.reference.data.T.swapaxes(1, 2)
    ]
    whole = restore_volume(network, lr.data, (4, 4, 1), 2, Infer(), 0.02)
    np.testing.assert_allclose(restore_excerpt(network, one), whole[..., chosen], atol=1e-5)
    quieter = one.with_noise_level(0.0)
    assert quieter.context is not None
    np.testing.assert_allclose(quieter.context[2], model.coarsen(data)[..., np.add(chosen, 1)], atol=1e-5)
    noisier = one.with_noise_level(0.1)
    assert noisier.context is not None
    assert np.std(noisier.context - quieter.context) == pytest.approx(0.1, rel=0.1)
    pictures = replace(lr, stack=Stack(channels=("a", "b"), sections=tuple(index // 2 for index in range(SHAPE[2]))))
    assert excerpt(described(reference, **facts), pictures, 4, neighbours=2).context is None


def test_a_network_learns_from_its_neighbours(tmp_path: Path):
    """In a volume that is constant across the slices, the mean over five slices has less noise than one slice."""
    generator = np.random.default_rng(0)
    picture = np.kron(generator.random((5, 6)), np.ones((8, 8)))[:40, :44].astype(np.float32)
    volume = replace(numbered(0.1), data=np.repeat(picture[..., None], SHAPE[2], axis=2))
    errors = {}
    for neighbours in (0, 2):
        recipe = tiny_recipe(
            noise_sigma_range=(0.1, 0.1),
            contrast_augmentation=0.0,
            neighbours=neighbours,
            steps=150,
            batch_size=4,
            learning_rate=3e-3,
            ema_decay=0.9,
        )
        sampler = PatchSampler([volume], recipe, seed=1)
        settings = tiny_settings(validate_every=1000, record_every=1000)
        start = tiny_generator(neighbours=neighbours)
        trained = (
            make_trainer(tmp_path / str(neighbours), recipe, settings, generator=start, sampler=sampler).run().eval()
        )
        measured = volume.model.simulate(volume.data)
        restored = restore_volume(trained, measured, (4, 4, 1), 2, Infer(), 0.1)
        errors[neighbours] = float(np.square(restored - volume.data).mean())
    assert errors[2] < 0.9 * errors[0]


def test_settings_that_do_not_fit_are_refused(tmp_path: Path, network):
    save_generator(tmp_path / "start.safetensors", network)
    with pytest.raises(UserError, match="given 2 neighbouring slices on each side; set neighbours: 2"):
        starting_generator(tmp_path / "start.safetensors", tiny_recipe(neighbours=1), (4, 4))
    assert starting_generator(tmp_path / "start.safetensors", tiny_recipe(neighbours=2), (4, 4)).shape == network.shape
