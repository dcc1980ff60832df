"""Test every baseline against an independent implementation, and invariants of all baselines."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from torch.nn import functional

from pipeline import plugins
from pipeline.baselines import bspline3, nlm_bspline3, zerofill
from pipeline.physics.denoising import non_local_means
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to
from pipeline.physics.interpolation import bspline_matrix
from pipeline.physics.operators import kspace_truncation
from tests.helpers import noiseless

METHODS = plugins.names("pipeline.baselines")
MODEL_BASED = ("least_squares", "total_variation")
DENOISING = {"patch_size": 3, "patch_distance": 3, "h_in_sigma": 0.8, "sigma": 0.02}
SETTINGS = {
    "nlm_bspline3": DENOISING,
    "least_squares": {"weight": 0.01},
    "total_variation": {"weight": 0.001, "smoothing": 0.03},
}
SIZES_AND_FACTORS = [(16, 2), (17, 2), (16, 3), (17, 3), (16, 4), (17, 4), (8, 8), (16, 2.5), (17, 10 / 3), (9, 1.1)]


def upsample(method, lr, factors):
    return plugins.load("pipeline.baselines", method).upsample(
        lr, noiseless(lr.shape, factors), SETTINGS.get(method, {})
    )


def line(method, values, factor):
    """Upsample a 1-D series as the first axis of a volume."""
    return upsample(method, np.asarray(values, dtype=np.float32)[:, None, None], (factor, 1, 1))[:, 0, 0]


def centres(size, factor):
    """Return the positions of the fine cell centres on the coarse grid."""
    return (np.arange(math.ceil(size * factor)) + 0.5) / factor - 0.5


def keys(x):
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def lanczos3(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def test_all_baselines_exist_and_have_descriptions():
    interpolations = {"bicubic", "bspline3", "lanczos", "nearest", "zerofill"}
    assert set(METHODS) == interpolations | {"nlm_bspline3", "least_squares", "total_variation"}
    for method in METHODS:
        module = plugins.load("pipeline.baselines", method)
        assert module.TITLE
        assert module.DESCRIPTION.endswith(".")


@pytest.mark.parametrize(("method", "kernel"), [("bicubic", keys), ("lanczos", lanczos3)])
@pytest.mark.parametrize(("size", "factor"), SIZES_AND_FACTORS)
def test_convolution_kernels_match_papers(method, kernel, size, factor):
    values = np.random.default_rng(0).random(size)
    weights = kernel(centres(size, factor)[:, None] - np.arange(size))
    expected = (weights / weights.sum(axis=1, keepdims=True)) @ values
    covered = math.floor(size * factor)  # beyond, the last voxel is repeated
    np.testing.assert_allclose(line(method, values, factor)[:covered], expected[:covered], atol=1e-5)
    assert len(line(method, values, factor)) == math.ceil(size * factor)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_nearest_matches_torch(factor):
    lr = np.random.default_rng(0).random((7, 6, 3), dtype=np.float32)
    stack = torch.from_numpy(lr).permute(2, 0, 1)[None]
    expected = functional.interpolate(stack, scale_factor=factor, mode="nearest")[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(upsample("nearest", lr, (factor, factor, 1)), expected)


@pytest.mark.parametrize(("above", "below"), [(5, 2), (10, 3), (11, 10)])
def test_nearest_weighs_two_voxels_by_the_parts_that_they_cover(above, below):
    """With every low-resolution voxel cut into `above` parts, a high-resolution voxel is `below` of them."""
    values = np.random.default_rng(0).random(3 * below)
    expected = np.repeat(values, above).reshape(-1, below).mean(axis=1)
    np.testing.assert_allclose(line("nearest", values, above / below), expected, atol=1e-6)


@pytest.mark.parametrize(("size", "factor"), SIZES_AND_FACTORS)
def test_bspline_matches_periodic_spline_of_mirrored_series(size, factor):
    values = np.random.default_rng(1).random(size)
    ring = np.concatenate([values, values[-2::-1]])
    expected = CubicSpline(np.arange(len(ring)), ring, bc_type="periodic")(centres(size, factor))
    np.testing.assert_allclose(bspline_matrix(size, factor) @ values, expected, atol=1e-10)
    np.testing.assert_allclose(line("bspline3", values, factor), expected, atol=1e-6)


@pytest.mark.parametrize(("size", "factor"), SIZES_AND_FACTORS)
def test_zero_filling_matches_trigonometric_interpolation(size, factor):
    values = np.random.default_rng(2).random(size)
    spectrum = np.fft.fft(values)
    expected = np.zeros(math.ceil(size * factor))
    for row, frequency in enumerate(np.fft.fftfreq(size, 1 / size)):
        phase = 2 * np.pi * frequency * centres(size, factor) / size
        nyquist = size % 2 == 0 and row == size // 2
        wave = np.cos(phase) if nyquist else np.exp(1j * phase)
        expected += np.real(spectrum[row] * wave) / size
    np.testing.assert_allclose(zerofill.axis_matrix(size, factor) @ values, expected, atol=1e-12)
    np.testing.assert_allclose(line("zerofill", values, factor), expected, atol=1e-6)


@pytest.mark.parametrize(("size", "factor"), [*SIZES_AND_FACTORS[:8], (9, 5 / 3), (10, 1.1)])
def test_truncation_inverts_zero_filling(size, factor):
    cut = kspace_truncation.axis_matrix(round(size * factor), factor, None, kspace_truncation.Parameters())
    both = cut @ zerofill.axis_matrix(size, factor)
    expected = np.eye(size)
    if size % 2 == 0:  # half of the Nyquist row is at the negative frequency, which truncation removes
        alternating = (-1.0) ** np.arange(size)
        expected -= np.outer(alternating, alternating) / size / 2
    np.testing.assert_allclose(both, expected, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factors", sorted(set(permutations((1, 2, 3)))))
def test_shape_is_multiplied(method, factors):
    lr = np.random.default_rng(3).random((9, 8, 7), dtype=np.float32)
    result = upsample(method, lr, factors)
    assert result.dtype == np.float32
    assert result.shape == tuple(np.multiply(lr.shape, factors))
    assert result.flags.c_contiguous


@pytest.mark.parametrize("method", sorted({*METHODS} - {*MODEL_BASED}))
@pytest.mark.parametrize("factors", sorted(set(permutations((1, 2, 3)))))
def test_slices_are_interpolated_independently(method, factors):
    lr = np.random.default_rng(3).random((9, 8, 7), dtype=np.float32)
    result = upsample(method, lr, factors)
    axis = factors.index(1)
    alone = upsample(method, np.take(lr, [2], axis), factors)
    np.testing.assert_allclose(np.take(result, [2], axis), alone, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3, 4, 1.1, 2.5, 5 / 0.9])
def test_constants_are_preserved(method, factor):
    lr = np.full((9, 12, 2), 0.7, dtype=np.float32)
    np.testing.assert_allclose(upsample(method, lr, (factor, factor, 1)), 0.7, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_axes_of_single_sample(method):
    lr = np.full((1, 12, 2), 0.7, dtype=np.float32)
    np.testing.assert_allclose(upsample(method, lr, (4, 4, 1)), 0.7, atol=1e-6)


@pytest.mark.parametrize("method", ["bicubic", "bspline3"])
@pytest.mark.parametrize("factor", [2, 3, 4, 1.1, 2.5, 5 / 0.9])
def test_ramps_are_preserved_on_grid_of_torch(method, factor):
    size = 40
    ramp = np.arange(size, dtype=np.float32)
    expected = functional.interpolate(torch.from_numpy(ramp)[None, None], scale_factor=factor, mode="linear")[0, 0]
    inside = slice(math.ceil(12 * factor), math.floor(28 * factor))
    np.testing.assert_allclose(line(method, ramp, factor)[inside], expected.numpy()[inside], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("shape", [(80, 77, 2), (79, 84, 2)])
def test_degrading_and_upsampling_preserves_centroid(method, factor, shape):
    x, y = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    blob = np.exp(-((x - 38.3) ** 2 + (y - 39.6) ** 2) / 2 / 7.0**2)
    reference = np.repeat(blob[:, :, None], shape[2], axis=2)
    model = ForwardModel((factor, factor, 1), shape, "none", 0.0, 0)
    sr = crop_to(upsample(method, model.simulate(reference), model.factors), shape)[:, :, 0]
    found = [float((axis * sr).sum() / sr.sum()) for axis in (x, y)]
    expected = [float((axis * blob).sum() / blob.sum()) for axis in (x, y)]
    assert np.hypot(*np.subtract(found, expected)) < 0.01


def test_non_local_means_with_zero_strength_is_identity():
    lr = np.random.default_rng(4).random((9, 8, 3), dtype=np.float32)
    off = {**DENOISING, "h_in_sigma": 0.0}
    model = noiseless(lr.shape, (2, 2, 1))
    np.testing.assert_array_equal(nlm_bspline3.upsample(lr, model, off), bspline3.upsample(lr, model, {}))


def test_non_local_means_removes_noise_of_flat_regions():
    generator = np.random.default_rng(5)
    clean = np.zeros((24, 24, 2), dtype=np.float32)
    clean[:12] = 1
    noisy = clean + 0.02 * generator.standard_normal(clean.shape, dtype=np.float32)
    denoised = non_local_means(noisy, 2, DENOISING)
    assert np.std(denoised - clean) < 0.5 * np.std(noisy - clean)


def test_non_local_means_matches_definition():
    """Compare one inner voxel with weights exp(-max(d - 2 sigma^2, 0) / h^2), d the mean squared patch difference."""
    generator = np.random.default_rng(6)
    picture = (0.1 * generator.random((15, 15))).astype(np.float32)
    settings = {"patch_size": 3, "patch_distance": 2, "h_in_sigma": 2.0, "sigma": 0.02}
    weights, values = [], []
    for row in range(5, 10):
        for column in range(5, 10):
            patch = picture[row - 1 : row + 2, column - 1 : column + 2]
            distance = np.mean((patch - picture[6:9, 6:9]) ** 2.0)
            weights.append(np.exp(-max(distance - 2 * 0.02**2, 0) / 0.04**2))
            values.append(picture[row, column])
    found = non_local_means(picture[:, :, None], 2, settings)[7, 7, 0]
    assert found == pytest.approx(np.average(values, weights=weights), abs=1e-6)


def test_tuning_candidates_are_unique_and_start_without_denoising():
    candidates = nlm_bspline3.candidates(0.02)
    assert candidates[0]["h_in_sigma"] == 0
    assert len({tuple(sorted(one.items())) for one in candidates}) == len(candidates)
    assert {one["sigma"] for one in candidates} == {0.02}
