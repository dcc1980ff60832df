"""Metrics against a second implementation of their formulas."""

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.metrics import psnr, ssim
from pipeline.metrics._range import data_range

METRICS = plugins.names("pipeline.metrics")


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(generator.random((40, 33)), 2)
    truth = (truth - truth.min()) / np.ptp(truth)
    noise = generator.standard_normal(truth.shape)
    mask = np.zeros(truth.shape, dtype=bool)
    mask[5:30, 8:31] = True
    return truth, noise, mask


def ssim_map_of_the_paper(truth, estimate, full):
    """Wang et al. 2004: a Gaussian window of 11 voxels and sigma 1.5, k1 = 0.01, k2 = 0.03, weighted moments."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / 2 / 1.5**2)
    window /= window.sum()

    def mean(picture):
        return ndimage.correlate1d(ndimage.correlate1d(picture, window, axis=0), window, axis=1)

    mu, nu = mean(truth), mean(estimate)
    variance, other = mean(truth**2) - mu**2, mean(estimate**2) - nu**2
    covariance = mean(truth * estimate) - mu * nu
    c1, c2 = (0.01 * full) ** 2, (0.03 * full) ** 2
    return (2 * mu * nu + c1) * (2 * covariance + c2) / ((mu**2 + nu**2 + c1) * (variance + other + c2))


@pytest.mark.parametrize("full", [1.0, 2.5])
def test_ssim_equals_the_formula_of_the_paper(pictures, full):
    truth, noise, mask = pictures
    estimate = truth + 0.1 * noise
    expected = ssim_map_of_the_paper(truth, estimate, full)
    assert ssim.per_slice(truth, estimate, mask, full) == pytest.approx(expected[mask].mean(), abs=1e-6)
    whole = np.ones_like(mask)
    assert ssim.per_slice(truth, estimate, whole, full) == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize("full", [1.0, 2.5])
def test_psnr_equals_its_formula_and_the_library(pictures, full):
    truth, noise, mask = pictures
    estimate = truth + 0.1 * noise
    squares = [(one - other) ** 2 for one, other in zip(truth[mask], estimate[mask], strict=True)]
    expected = 20 * math.log10(full) - 10 * math.log10(sum(squares) / len(squares))
    assert psnr.per_slice(truth, estimate, mask, full) == pytest.approx(expected, abs=1e-9)
    library = peak_signal_noise_ratio(truth, estimate, data_range=full)
    assert psnr.per_slice(truth, estimate, np.ones_like(mask), full) == pytest.approx(library, abs=1e-9)


def test_an_error_of_a_tenth_of_the_range_is_twenty_decibels():
    truth = np.zeros((12, 12), dtype=np.float32)
    mask = np.ones(truth.shape, dtype=bool)
    assert psnr.per_slice(truth, truth + np.float32(0.1), mask, 1.0) == pytest.approx(20, abs=1e-5)


def test_psnr_does_not_see_what_lies_outside_the_mask(pictures):
    truth, noise, mask = pictures
    estimate = truth + 0.1 * noise
    elsewhere = np.where(mask, estimate, 7.0)
    assert psnr.per_slice(truth, estimate, mask, 1.0) == psnr.per_slice(truth, elsewhere, mask, 1.0)


@pytest.mark.parametrize("name", METRICS)
def test_an_image_is_perfectly_like_itself(name, pictures):
    truth, _, mask = pictures
    metric = plugins.load("pipeline.metrics", name)
    assert metric.per_slice(truth, truth.copy(), mask, 1.0) == pytest.approx(metric.PERFECT)


@pytest.mark.parametrize("name", METRICS)
def test_worse_images_score_worse(name, pictures):
    truth, noise, mask = pictures
    metric = plugins.load("pipeline.metrics", name)
    scores = [metric.per_slice(truth, truth + sigma * noise, mask, 1.0) for sigma in (0.01, 0.03, 0.1, 0.3)]
    assert scores == sorted(scores, reverse=metric.HIGHER_IS_BETTER)
    assert len(set(scores)) == 4


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = plugins.load("pipeline.metrics", name)
    assert metric.TITLE
    assert metric.RANGE
    assert metric.SOURCE
    assert isinstance(metric.UNIT, str)
    assert isinstance(metric.DECIMALS, int)


def test_ssim_refuses_slices_smaller_than_its_window():
    small = np.zeros((10, 40))
    with pytest.raises(UserError, match="10 x 40"):
        ssim.per_slice(small, small, small == 0, 1.0)


@pytest.mark.parametrize("scale", [1.0, 236.0, 1e-3, 4095.5])
def test_the_data_range_is_one_whatever_the_scale_of_the_truth(scale):
    truth = Image(np.zeros((2, 2, 2), dtype=np.float32), np.eye(4), IntensityMap(scale, 2.0, -10.0, "int16"))
    assert data_range(truth) == pytest.approx(1.0)
