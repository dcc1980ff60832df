"""Whole slices and volumes through a network, in tiles where they are large."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.image.image import Identity, Slicing
from pipeline.inference.restoration import noise_sigma, restore
from pipeline.inference.tiles import restore_in_tiles, tiles_along
from pipeline.inference.volume import restore_volume
from pipeline.models.generator import Generator, Shape
from pipeline.models.record import ConsistencyWeight, NetworkRecord
from pipeline.physics.data_consistency import apply_data_consistency
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from tests.helpers import restore_slice, synthetic_head


class Enlarger(nn.Module):
    """A small network with a known, narrow receptive field."""

    factors = (4, 4)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image, sigma):
        """Add the given noise level, so that tests can check it."""
        return (
            functional.interpolate(self.convolution(image), scale_factor=4, mode="nearest") + sigma[:, None, None, None]
        )


@pytest.fixture
def image():
    return np.random.default_rng(3).random((71, 50), dtype=np.float32)


@given(size=st.integers(1, 3000), tile=st.integers(16, 300), share=st.floats(0, 0.5))
@example(size=384, tile=256, share=1 / 16)
def test_tiles_cover_a_slice_with_the_minimum_overlap(size, tile, share):
    overlap = int(share * tile)
    tiles = tiles_along(size, tile, overlap)
    lengths = {one.stop - one.start for one in tiles}
    assert (tiles[0].start, tiles[-1].stop, len(lengths)) == (0, size, 1)
    [length] = lengths
    assert length <= tile
    assert all(first.stop - second.start >= overlap for first, second in pairwise(tiles))
    assert len(tiles) * length - size < overlap * (len(tiles) - 1) + len(tiles), "a voxel less would be too little"
    assert len(tiles) == 1 or (len(tiles) - 1) * (tile - overlap) + overlap < size, "one tile less would be too few"


def test_tiles_are_blended_without_seams(image):
    network: Any = Enlarger()
    whole = restore_slice(network, image, 0.0)
    tiled = restore_in_tiles(image, lambda part: restore_slice(network, part, 0.0), (4, 4), tile=32, overlap=16)
    assert tiled.shape == whole.shape == (284, 200)
    assert np.abs(tiled - whole).max() < 1e-5 * np.ptp(whole)


def test_tiles_do_not_change_a_pixelwise_method(image):
    def repeat(part):
        return np.repeat(np.repeat(part, 2, axis=0), 2, axis=1)

    tiled = restore_in_tiles(image, repeat, (2, 2), tile=20, overlap=6)
    assert np.allclose(tiled, repeat(image), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_is_restored_slice_by_slice_along_any_axis(axis):
    network: Any = Enlarger()
    volume = np.random.default_rng(4).random((5, 6, 7), dtype=np.float32)
    factors = [1 if other == axis else 4 for other in range(3)]
    restored = restore_volume(network, volume, factors, axis, Infer(), 0.03)
    assert restored.shape == tuple(size * factor for size, factor in zip(volume.shape, factors, strict=True))
    one = restore_slice(network, np.take(volume, 2, axis=axis), 0.03)
    assert np.array_equal(np.take(restored, 2, axis=axis), one)


class Narrow(Enlarger):
    """A network with memory for a limited number of voxels, which records the size of each batch."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.given = most, []

    def forward(self, image, sigma):
        """Fails as a GPU does."""
        self.given.append((len(image), image.shape[-1]))
        if image.numel() > self.most:
            raise torch.OutOfMemoryError
        return super().forward(image, sigma)


@pytest.mark.parametrize("most", [10**9, 8 * 64 * 60, 2 * 64 * 60, 2 * 40 * 40])
def test_batch_size_and_lack_of_memory_do_not_change_the_result(monkeypatch, most):
    volume = np.random.default_rng(3).random((64, 60, 11), dtype=np.float32)
    expected = restore_volume(Narrow(10**9), volume, (4, 4, 1), 2, Infer(), 0.03, augmentations=2)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr("pipeline.inference.volume.slices_per_batch", lambda *_: 8)
    monkeypatch.setattr("pipeline.inference.backends.torch.CPU_BATCH", 16)
    network: Any = Narrow(most)
    found = restore_volume(network, volume, (4, 4, 1), 2, Infer(), 0.03, augmentations=2)
    assert np.abs(found - expected).max() < 1e-5
    assert max(network.given)[0] == 16, "slices go together, both views of them"
    passed = [count * side for count, side in network.given if count * side * side <= 1.1 * most]
    assert passed, "and in smaller parts where memory does not suffice"


def test_lack_of_memory_is_reported(monkeypatch):
    with pytest.raises(UserError, match="is too small for a tile of 32 x 32 voxels"):
        restore_volume(Narrow(100), np.zeros((64, 60, 2), np.float32), (4, 4, 1), 2, Infer(), 0.03)  # pyright: ignore[reportArgumentType]


def test_the_noise_level_is_given_to_the_network(image):
    network: Any = Enlarger()
    difference = restore_slice(network, image, 0.25) - restore_slice(network, image, 0.0)
    assert np.allclose(difference, 0.25, atol=1e-6)


def test_tta_makes_restoration_equivariant():
    network: Any = Enlarger()
    volume = np.random.default_rng(5).random((9, 9, 2), dtype=np.float32)

    def restored(array, views):
        return restore_volume(network, array, (4, 4, 1), 2, Infer(), 0.0, views)

    turns = (lambda array: array[::-1], lambda array: array[:, ::-1], lambda array: array.swapaxes(0, 1))
    for turn in turns:
        assert np.allclose(restored(turn(volume), 8), turn(restored(volume, 8)), atol=1e-5)
        assert not np.allclose(restored(turn(volume), 1), turn(restored(volume, 1)), atol=1e-3)
    flipped = restored(volume[::-1], 1)[::-1]
    assert np.allclose(restored(volume, 2), (restored(volume, 1) + flipped) / 2, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_through_plane_restoration_averages_two_cuts(axis):
    network = Generator(Shape(factor=2, blocks=1, features=8, growth=4, along="columns")).eval()
    volume = np.random.default_rng(4).random((5, 6, 7), dtype=np.float32)
    factors = [2 if other == axis else 1 for other in range(3)]
    restored = restore_volume(network, volume, factors, axis, Infer(), 0.0)
    assert restored.shape == tuple(size * factor for size, factor in zip(volume.shape, factors, strict=True))
    first, second = (other for other in range(3) if other != axis)
    means = []
    for normal in (first, second):
        planes = np.moveaxis(volume, (normal, axis), (0, -1))
        enlarged = np.stack([restore_slice(network, plane, 0.0) for plane in planes])
        means.append(np.moveaxis(enlarged, (0, -1), (normal, axis)))
    assert np.allclose(restored, (means[0] + means[1]) / 2, atol=1e-6)
    assert np.abs(means[0] - means[1]).max() > 1e-3


def low_resolution(reference, sigma):
    model = ForwardModel((4, 4, 1), reference.shape, "rician", sigma, seed=3)
    return LowResolutionImage(
        model.simulate(reference), np.eye(4), identity=Identity("a"), slicing=Slicing("axial", 2), forward_model=model
    )


def test_the_data_consistency_weight_depends_on_the_noise_level():
    reference = synthetic_head((64, 64, 12)) / np.float32(1000)
    image = low_resolution(reference, 0.02)
    network = Generator(Shape(blocks=1, features=8, growth=4)).eval()
    # Without shares in the file, or where the settings refuse it, nothing is corrected.
    plain = restore(network, image, Infer(noise_sigma=0.02))
    weights = ConsistencyWeight(0.0, 1.0), ConsistencyWeight(0.04, 0.0)
    network.record = NetworkRecord(consistency_weights=weights)
    assert np.array_equal(restore(network, image, Infer(noise_sigma=0.02, data_consistency=False)), plain)
    assert np.array_equal(restore(network, image, Infer(noise_sigma=0.04)), plain)
    model = image.forward_model
    expected = apply_data_consistency(plain, image.data, model, 0.5)
    assert np.allclose(restore(network, image, Infer(noise_sigma=0.02)), expected, atol=1e-6)
    assert np.abs(expected - plain).max() > 0.1


def test_the_noise_level_is_that_of_the_settings_or_estimated():
    image = low_resolution(synthetic_head((96, 96, 12)) / np.float32(1000), 0.05)
    assert noise_sigma(image, "rician", Infer(noise_sigma=0.01)) == 0.01
    assert noise_sigma(image, "rician", Infer()) == pytest.approx(0.05, rel=0.3)
