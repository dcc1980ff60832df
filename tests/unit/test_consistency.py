"""The correction toward the measurement, and the mean of Rician noise it needs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from pipeline.inference.consistency import toward_measurement
from pipeline.physics.forward import ForwardModel
from pipeline.physics.noise import rician
from pipeline.upsamplers import bicubic
from tests.helpers import synthetic_head

SHAPE = (41, 44, 6)


@pytest.fixture
def truth() -> np.ndarray:
    return synthetic_head((41, 44, 30))[:, :, 12:18] / np.float32(1000)


def model(noise: str = "none", sigma: float = 0.0) -> ForwardModel:
    return ForwardModel("kspace_truncation", (4, 4, 1), SHAPE, noise, sigma, seed=7)


def test_all_of_the_difference_makes_the_result_agree_with_the_measurement(truth):
    measured = model().measure(truth)
    restored = bicubic.upsample(measured, (4, 4, 1), {}) + np.float32(0.1)
    corrected = toward_measurement(restored, measured, model(), 1.0)
    assert corrected.shape == restored.shape == (44, 44, 6)
    # Padding repeats the last samples, which the correction cannot know, hence the margin at the high end.
    again = model().coarsen(corrected[:41, :44])
    assert np.abs(again - measured)[:-2].max() < 0.02
    assert np.abs(model().coarsen(restored[:41, :44]) - measured).mean() > 0.08


def test_no_share_leaves_the_result_untouched(truth):
    restored = np.repeat(np.repeat(model().measure(truth), 4, axis=0), 4, axis=1)
    assert toward_measurement(restored, model().measure(truth), model(), 0.0) is restored


def test_a_truth_is_left_alone_where_there_is_no_noise(truth):
    padded = np.pad(truth, [(0, 3), (0, 0), (0, 0)], mode="edge")
    corrected = toward_measurement(padded, model().measure(truth), model(), 1.0)
    assert np.abs(corrected - padded).max() < 1e-5


def test_a_blurred_result_comes_closer_to_the_truth_despite_noise(truth):
    noisy = model("rician", 0.02)
    blurred = np.asarray(ndimage.gaussian_filter(truth, (2, 2, 0)), dtype=np.float32)
    padded = np.pad(blurred, [(0, 3), (0, 0), (0, 0)], mode="edge")
    corrected = toward_measurement(padded, noisy.measure(truth), noisy, 0.5)[:41]
    # A blur of this width only touches the upper frequencies that were measured; the rest it lacks is not to be had.
    assert np.mean((corrected - truth) ** 2) < 0.95 * np.mean((blurred - truth) ** 2)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.3])
def test_the_mean_of_rician_noise_is_that_of_scipy(sigma):
    image = np.array([0.0, 0.01, 0.05, 0.2, 1.0, 1.5])
    with np.errstate(invalid="ignore"):
        expected = stats.rice.mean(image / sigma, scale=sigma)
    finite = np.isfinite(expected)
    assert finite.sum() >= 4
    assert np.allclose(rician.expected_value(image, sigma)[finite], expected[finite], rtol=1e-6)
    assert np.all(np.isfinite(rician.expected_value(image, sigma)))


def test_without_noise_the_mean_is_the_magnitude():
    assert np.array_equal(rician.expected_value(np.array([-0.5, 0.0, 2.0]), 0.0), [0.5, 0.0, 2.0])
