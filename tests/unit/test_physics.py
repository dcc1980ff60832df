"""Forward models against independent computations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline import plugins
from pipeline.physics.forward import ForwardModel, volume_seed
from pipeline.physics.grid import apply_along_axes, coarse_affine, coarse_shape, crop_to, fine_affine, pad_to_multiple
from pipeline.physics.noise.rician import add_noise
from pipeline.physics.operators.kspace_truncation import axis_matrix

SIZES = [(12, 2), (12, 3), (12, 4), (18, 2), (20, 4), (15, 3), (15, 5), (9, 3), (8, 8), (16, 8), (256, 4)]


def trigonometric_sum(samples: np.ndarray, factor: int) -> np.ndarray:
    """The band-limited function through the samples, cut at the coarse Nyquist frequency, at the cell centres.

    A direct sum over frequencies of both signs with coefficients from torch; a frequency on the edge counts half.
    """
    size = samples.size
    coarse = size // factor
    coefficients = torch.fft.fft(torch.from_numpy(samples)).numpy() / size
    centres = np.arange(coarse) * factor + (factor - 1) / 2
    result: np.ndarray = np.zeros(coarse, dtype=complex)
    for frequency in range(-(coarse // 2), coarse // 2 + 1):
        weight = 0.5 if 2 * abs(frequency) == coarse else 1.0
        result += weight * coefficients[frequency % size] * np.exp(2j * np.pi * frequency * centres / size)
    np.testing.assert_allclose(np.imag(result), 0, atol=1e-12)
    return np.real(result)


@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_truncation_is_the_trigonometric_sum_at_the_cell_centres(size: int, factor: int) -> None:
    samples = np.random.default_rng(size).standard_normal(size)
    np.testing.assert_allclose(axis_matrix(size, factor) @ samples, trigonometric_sum(samples, factor), atol=1e-12)


@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_truncation_keeps_constants_and_the_mean(size: int, factor: int) -> None:
    matrix = axis_matrix(size, factor)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix.mean(axis=0), 1 / size, atol=1e-12)


@pytest.mark.parametrize(("size", "factor"), SIZES)
def test_truncation_of_a_mirrored_line_is_the_mirrored_truncation(size: int, factor: int) -> None:
    matrix = axis_matrix(size, factor)
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-12)


def test_a_slow_wave_is_sampled_exactly_and_a_fast_one_vanishes() -> None:
    size, factor = 64, 4
    positions, centres = np.arange(size), np.arange(16) * 4 + 1.5
    slow, fast = (lambda x: np.cos(2 * np.pi * 5 * x / size + 0.3)), (lambda x: np.cos(2 * np.pi * 11 * x / size))
    matrix = axis_matrix(size, factor)
    np.testing.assert_allclose(matrix @ slow(positions), slow(centres), atol=1e-12)
    np.testing.assert_allclose(matrix @ fast(positions), 0, atol=1e-12)


def test_axes_are_coarsened_independently_of_each_other() -> None:
    data = np.random.default_rng(0).standard_normal((8, 9, 10))
    matrices = (axis_matrix(8, 4), None, axis_matrix(10, 2))
    expected = np.einsum("ai,bk,ijk->ajb", matrices[0], matrices[2], data)
    np.testing.assert_allclose(apply_along_axes(matrices, data), expected, atol=1e-12)


def test_sizes_that_a_factor_does_not_divide_are_padded_at_the_high_end_and_cropped_again() -> None:
    data = np.arange(2 * 5 * 7).reshape(2, 5, 7)
    padded = pad_to_multiple(data, (1, 4, 3))
    assert padded.shape == (2, 8, 9)
    assert coarse_shape(data.shape, (1, 4, 3)) == (2, 2, 3)
    np.testing.assert_array_equal(padded[:, 5:, :7], np.repeat(data[:, -1:], 3, axis=1))
    np.testing.assert_array_equal(crop_to(padded, data.shape), data)


def test_affines_of_both_grids_follow_the_definition() -> None:
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0.1, -7], [0, 0, 3, 11], [0, 0, 0, 1]])
    coarse = coarse_affine(affine, (4, 1, 3))
    for index in np.ndindex(2, 2, 2):
        centre = [4 * index[0] + 1.5, index[1], 3 * index[2] + 1]
        np.testing.assert_allclose(coarse @ [*index, 1], affine @ [*centre, 1])
    np.testing.assert_allclose(fine_affine(coarse, (4, 1, 3)), affine, atol=1e-12)


SIGMA = 0.05
COUNT = 400_000


def noisy(level: float) -> np.ndarray:
    return add_noise(np.full(COUNT, level, dtype=np.float32), SIGMA, np.random.default_rng(11))


def test_noise_without_signal_follows_a_rayleigh_distribution() -> None:
    found, expected = noisy(0.0), stats.rayleigh(scale=SIGMA)
    error = expected.std() / np.sqrt(COUNT)
    assert abs(found.mean() - expected.mean()) < 5 * error
    assert found.var() == pytest.approx(expected.var(), rel=0.01)
    assert stats.kstest(found[:20_000], expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("level", [0.02, 0.1, 1.0])
def test_noise_on_signal_follows_a_rice_distribution(level: float) -> None:
    found, expected = noisy(level), stats.rice(level / SIGMA, scale=SIGMA)
    assert abs(found.mean() - expected.mean()) < 5 * expected.std() / np.sqrt(COUNT)
    assert found.var() == pytest.approx(expected.var(), rel=0.01)
    assert stats.kstest(found[:20_000], expected.cdf).pvalue > 1e-3


def a_model(**changes: object) -> ForwardModel:
    values = {"operator": "kspace_truncation", "factors": (2, 2, 1), "hr_shape": (9, 8, 3), "noise": "rician"}
    return ForwardModel(**{**values, "noise_sigma": 0.1, "seed": 7, **changes})  # pyright: ignore[reportArgumentType]


def test_a_model_rebuilt_from_its_json_measures_the_same() -> None:
    model = a_model()
    again = ForwardModel.from_json(json.loads(json.dumps(model.to_json())))
    data = np.random.default_rng(0).random((9, 8, 3))
    assert again == model
    np.testing.assert_array_equal(again.measure(data), model.measure(data))
    assert model.measure(data).shape == model.lr_shape == (5, 4, 3)
    assert model.measure(data).dtype == np.float32


def test_noise_hangs_on_the_seed_and_the_name_of_the_volume_alone() -> None:
    data = np.zeros((9, 8, 3))
    assert not np.array_equal(a_model(seed=1).measure(data), a_model(seed=2).measure(data))
    seeds = {volume_seed(root, name) for root in (0, 1) for name in ("a", "b")}
    assert len(seeds) == 4
    assert volume_seed(2026, "mni152") == volume_seed(2026, "mni152") < 2**32


def test_without_noise_the_measurement_is_the_operator_alone() -> None:
    data = np.random.default_rng(0).random((9, 8, 3))
    model = a_model(noise="none")
    np.testing.assert_array_equal(model.measure(data), model.coarsen(data))


@pytest.mark.parametrize("operator", plugins.names("pipeline.physics.operators"))
def test_every_operator_keeps_constants(operator: str) -> None:
    model = a_model(operator=operator, noise="none", hr_shape=(10, 13, 3), factors=(3, 4, 1))
    np.testing.assert_allclose(model.coarsen(np.full((10, 13, 3), 0.7)), 0.7, rtol=1e-6)
