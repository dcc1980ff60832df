"""Test data consistency and the mean of Rician noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, stats

from pipeline.baselines import bicubic
from pipeline.physics.data_consistency import apply_data_consistency, best_weight, correction, degrade_again, weight_at
from pipeline.physics.forward import ForwardModel
from pipeline.physics.noise import rician
from pipeline.physics.operators import kspace_truncation
from tests.helpers import synthetic_head
from tests.small_training import small_excerpt

SHAPE = (41, 44, 6)


@pytest.fixture
def reference() -> np.ndarray:
    return synthetic_head((41, 44, 30))[:, :, 12:18] / np.float32(1000)


def model(noise: str = "none", sigma: float = 0.0) -> ForwardModel:
    return ForwardModel((4, 4, 1), SHAPE, noise, sigma, seed=7)


def test_weight_one_gives_agreement_with_measurement(reference):
    measured = model().simulate(reference)
    restored = bicubic.upsample(measured, model(), {}) + np.float32(0.1)
    corrected = apply_data_consistency(restored, measured, model(), 1.0)
    assert corrected.shape == restored.shape == (44, 44, 6)
    # Padding repeats the last samples, which the correction does not account for, hence the margin at the high end.
    again = model().coarsen(corrected[:41, :44])
    assert np.abs(again - measured)[:-2].max() < 0.02
    assert np.abs(model().coarsen(restored[:41, :44]) - measured).mean() > 0.08


def test_weight_zero_leaves_result_unchanged(reference):
    restored = np.repeat(np.repeat(model().simulate(reference), 4, axis=0), 4, axis=1)
    assert apply_data_consistency(restored, model().simulate(reference), model(), 0.0) is restored


def test_reference_is_unchanged_without_noise(reference):
    padded = np.pad(reference, [(0, 3), (0, 0), (0, 0)], mode="edge")
    corrected = apply_data_consistency(padded, model().simulate(reference), model(), 1.0)
    assert np.abs(corrected - padded).max() < 1e-5


def test_correction_improves_blurred_result_despite_noise(reference):
    noisy = model("rician", 0.02)
    blurred = np.asarray(ndimage.gaussian_filter(reference, (2, 2, 0)), dtype=np.float32)
    padded = np.pad(blurred, [(0, 3), (0, 0), (0, 0)], mode="edge")
    corrected = apply_data_consistency(padded, noisy.simulate(reference), noisy, 0.5)[:41]
    # A blur of this width affects only the highest measured frequencies; the others cannot be restored.
    assert np.mean((corrected - reference) ** 2) < 0.95 * np.mean((blurred - reference) ** 2)


def test_weight_one_gives_agreement_with_measurement_for_real_factors(reference):
    forward = replace(model(), factors=(2.5, 3.5, 1), hr_shape=(40, 42, 6))
    measured = forward.simulate(reference[:40, :42])
    corrected = apply_data_consistency(bicubic.upsample(measured, forward, {}) + 0.1, measured, forward, 1.0)
    assert corrected.shape == forward.padded_shape == (40, 42, 6)
    np.testing.assert_allclose(forward.coarsen(corrected), measured, atol=1e-4)


def axis_matrix(size: int) -> np.ndarray:
    return kspace_truncation.axis_matrix(size, 4, None, kspace_truncation.Parameters())


def low_resolution_error(measured: np.ndarray, seed: int = 0) -> np.ndarray:
    """Random error of every low-resolution voxel, mapped to the fine grid by the pseudo-inverse of the operator."""
    matrices = [axis_matrix(4 * size) for size in measured.shape[:2]]
    error = 0.05 * np.random.default_rng(seed).standard_normal(measured.shape)
    rows, columns = (matrix.T @ np.linalg.inv(matrix @ matrix.T) for matrix in matrices)
    return np.einsum("ai,ijk,bj->abk", rows, error, columns)


def test_visible_error_is_fully_corrected_without_noise():
    excerpt = small_excerpt("none", 0.0)
    restored = np.asarray(excerpt.reference.data - low_resolution_error(excerpt.lr), dtype=np.float32)
    assert best_weight(restored, excerpt) == pytest.approx(1, abs=1e-4)
    corrected = apply_data_consistency(restored, excerpt.lr, excerpt.model, 1.0)
    assert np.abs(corrected - excerpt.reference.data).max() < 1e-4


def test_weight_is_zero_for_perfect_result():
    excerpt = small_excerpt("rician", 0.03)
    assert best_weight(np.asarray(excerpt.reference.data), excerpt) == 0.0
    quiet = small_excerpt("none", 0.0)
    assert apply_data_consistency(quiet.reference.data, quiet.lr, quiet.model, 1.0) == pytest.approx(
        quiet.reference.data, abs=1e-5
    )


def test_weight_is_zero_for_error_in_null_space():
    excerpt = small_excerpt("rician", 0.03)
    noise = np.random.default_rng(3).standard_normal(excerpt.reference.data.shape)
    shown = degrade_again(noise.astype(np.float32), excerpt.model)
    rows, columns = (np.linalg.pinv(axis_matrix(4 * size)) for size in shown.shape[:2])
    hidden = noise - np.einsum("ai,ijk,bj->abk", rows, shown, columns)
    restored = np.asarray(excerpt.reference.data + 0.05 * hidden, dtype=np.float32)
    assert best_weight(restored, excerpt) < 0.1


def test_weight_matches_wiener_filter():
    """Error and noise have the same spectrum, so the best weight is error power / (error power + noise power)."""
    clean = small_excerpt("none", 0.0)
    error = low_resolution_error(clean.lr)
    # All voxels are bright, so that Rician noise is nearly Gaussian, and foreground, so that all are used.
    reference = clean.reference.with_data(
        clean.reference.data + np.float32(1), masks={"foreground": np.ones(clean.reference.data.shape, bool)}
    )
    weights = []
    for sigma in (0.0, 0.01, 0.02, 0.05, 0.1):
        model = replace(clean.model, noise="rician")
        noisy = replace(
            clean, reference=reference, model=model, noiseless=model.coarsen(reference.data)
        ).with_noise_level(sigma)
        restored = np.asarray(reference.data - error, dtype=np.float32)
        weights.append(best_weight(restored, noisy))
        assert weights[-1] == pytest.approx(0.05**2 / (0.05**2 + sigma**2), abs=0.08)
    assert weights == sorted(weights, reverse=True)


def test_weight_is_zero_without_residual():
    excerpt = small_excerpt("none", 0.0)
    empty = replace(excerpt, lr=np.zeros_like(excerpt.lr))
    assert not correction(np.zeros_like(excerpt.reference.data), empty.lr, empty.model).any()
    assert best_weight(np.zeros_like(excerpt.reference.data), empty) == 0.0


def test_weight_is_interpolated_between_noise_levels():
    weights = [(0.0, 0.9), (0.02, 0.5), (0.06, 0.1)]
    assert [weight_at(sigma, weights) for sigma in (0.0, 0.01, 0.02, 0.05)] == pytest.approx([0.9, 0.7, 0.5, 0.2])
    assert weight_at(0.5, weights) == 0.1
    assert weight_at(0.03, [(0.02, 0.4)]) == 0.4
    assert weight_at(0.03, []) == 0.0


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.3])
def test_mean_of_rician_noise_matches_scipy(sigma):
    image = np.array([0.0, 0.01, 0.05, 0.2, 1.0, 1.5])
    with np.errstate(invalid="ignore"):
        expected = stats.rice.mean(image / sigma, scale=sigma)
    finite = np.isfinite(expected)
    assert finite.sum() >= 4
    assert np.allclose(rician.expected_value(image, sigma, rician.Parameters())[finite], expected[finite], rtol=1e-6)
    assert np.all(np.isfinite(rician.expected_value(image, sigma, rician.Parameters())))


def test_mean_without_noise_is_image():
    image = np.array([-0.5, 0.0, 2.0])
    assert np.array_equal(rician.expected_value(image, 0.0, rician.Parameters()), image)
