"""Test estimated noise levels against the noise that was added."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipeline.errors import UserError
from pipeline.physics.forward import ForwardModel
from pipeline.physics.noise import electron, gaussian, poisson_gaussian, rician
from pipeline.physics.noise_level import (
    HIGH_PASS,
    LOW_PASS,
    LOWEST_MEAN,
    RATIO_STANDARD_ERROR,
    RAYLEIGH_RATIO,
    RAYLEIGH_STD,
    _details,
    _is_rayleigh,
    estimate_sigma,
)
from tests.helpers import load_nifti, synthetic_head
from tests.known import known_file

SIGMAS = [0.005, 0.01, 0.02, 0.05]


def rayleigh(shape, sigma, seed=0):
    """Draw magnitudes of complex noise by inverting the distribution function 1 - exp(-x^2 / (2 sigma^2))."""
    return sigma * np.sqrt(-2 * np.log(1 - np.random.default_rng(seed).random(shape)))


def noisy_head(sigma, axis=2, factor=2):
    head = synthetic_head((96, 104, 24)) / 1000
    factors = tuple(1 if index == 2 else factor for index in range(3))
    lr = ForwardModel(factors, head.shape, "rician", sigma, 7).simulate(head)
    return np.moveaxis(lr, 2, axis)


def smooth_tissue(shape=(8, 64, 64)):
    """Uniformly bright tissue without fine structure."""
    picture = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(shape), (0, 6, 6))
    return 0.6 + 0.1 * picture / picture.std()


@pytest.mark.parametrize("shape", [(6, 64, 64), (1, 56, 56), (20, 33, 47)])
@pytest.mark.parametrize("sigma", [0.003, 0.2])
def test_sigma_of_pure_noise_is_estimated(shape, sigma):
    estimates = [estimate_sigma(rayleigh(shape, sigma, seed), 0) for seed in range(12)]
    assert np.mean([estimate.sigma for estimate in estimates]) == pytest.approx(sigma, rel=0.04)
    assert np.std([estimate.sigma for estimate in estimates]) < 0.08 * sigma
    assert sum(estimate.method == "background" for estimate in estimates) >= 11


@pytest.mark.parametrize("sigma", SIGMAS)
def test_sigma_of_synthetic_head_is_estimated_from_background(sigma):
    estimate = estimate_sigma(noisy_head(sigma), 2)
    assert estimate.method == "background"
    assert estimate.sigma == pytest.approx(sigma, rel=0.08)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_sigma_of_real_head_is_estimated_from_background(sigma):
    volume = np.asarray(load_nifti(known_file("mni152-2009a")).dataobj)
    head = volume[:, :, 60:140:8].astype(np.float32)
    head /= np.percentile(head[head > 0], 99.9)
    lr = ForwardModel((4, 4, 1), head.shape, "rician", sigma, 3).simulate(head)
    estimate = estimate_sigma(lr, 2)
    assert estimate.method == "background"
    assert estimate.sigma == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_estimate_is_independent_of_slice_axis(axis):
    assert estimate_sigma(noisy_head(0.02, axis), axis) == estimate_sigma(noisy_head(0.02), 2)


def test_estimate_scales_with_image():
    one, other = estimate_sigma(noisy_head(0.02), 2), estimate_sigma(250 * noisy_head(0.02), 2)
    assert other.sigma == pytest.approx(250 * one.sigma, rel=1e-5)


@pytest.mark.parametrize("noise", ["rician", "none"])
def test_sigma_of_noiseless_images_is_small(noise):
    assert estimate_sigma(noisy_head(0.0), 2, noise).sigma < 5e-4
    assert estimate_sigma(smooth_tissue(), 0, noise).sigma < 5e-4
    assert estimate_sigma(np.zeros((3, 32, 32)), 0, noise).sigma == 0
    assert estimate_sigma(np.full((3, 32, 32), 0.5), 0, noise).sigma == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("noise", ["rician", "none"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_sigma_without_background_is_estimated_from_flat_regions(sigma, noise):
    tissue = smooth_tissue().astype(np.float32)
    estimate = estimate_sigma(rician.add_noise(tissue, sigma, np.random.default_rng(0), rician.Parameters()), 0, noise)
    assert estimate.method == "wavelet"
    assert estimate.sigma == pytest.approx(sigma, rel=0.1)


def test_background_is_used_for_rician_noise_only():
    # The wavelet estimate of Rayleigh noise is its standard deviation, 0.655 sigma.
    estimate = estimate_sigma(rayleigh((20, 64, 64), 0.1), 0, "none")
    assert estimate.method == "wavelet"
    assert estimate.sigma == pytest.approx(0.0655, rel=0.1)


@pytest.mark.parametrize("brightness", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("read_noise", [0.0, 5.0])
def test_camera_noise_is_estimated_at_intensity_one(brightness, sigma, read_noise):
    camera = poisson_gaussian.Parameters(read_noise_electrons=read_noise)
    cells = (brightness / 0.6 * smooth_tissue((6, 128, 128))).astype(np.float32)
    noisy = [poisson_gaussian.add_noise(cells, sigma, np.random.default_rng(seed), camera) for seed in range(6)]
    estimates = [estimate_sigma(one, 0, camera) for one in noisy]
    assert {estimate.method for estimate in estimates} == {"wavelet"}
    assert np.mean([estimate.sigma for estimate in estimates]) == pytest.approx(sigma, rel=0.06)
    # The noise at the intensities of the image is lower.
    if brightness < 1:
        assert np.mean([estimate_sigma(one, 0, "gaussian").sigma for one in noisy]) < 0.85 * sigma


def test_electron_noise_is_estimated_at_intensity_one():
    dose = electron.Parameters(jitter_pixels=0.0, detector_noise_electrons=3.0)
    section = (0.5 / 0.6 * smooth_tissue((6, 128, 128))).astype(np.float32)
    noisy = electron.add_noise(section, 0.05, np.random.default_rng(0), dose)
    assert estimate_sigma(noisy, 0, dose).sigma == pytest.approx(0.05, rel=0.1)


def test_edges_are_not_mistaken_for_noise():
    steps = np.tile(np.kron(np.eye(4), np.ones((16, 16))), (8, 1, 1)).astype(np.float32) + 0.5
    noisy = rician.add_noise(steps, 0.02, np.random.default_rng(0), rician.Parameters())
    assert estimate_sigma(noisy, 0).sigma == pytest.approx(0.02, rel=0.1)


# Areas without a measurement


def clipped_above(image, share):
    return np.minimum(image, np.quantile(image, 1 - share))


def clipped_below(image, share):
    """Clip the low end, as by a camera with too small an offset."""
    return np.maximum(image, np.quantile(image, share))


def masked(image, value):
    result = image.copy()
    result[:, :, :40] = value
    return result


def with_text(image):
    """Burn in black strokes on a white box."""
    result = image.copy()
    result[:, 4:20, 4:60] = 1.2 * image.max()
    result[:, 8:16, 8:56:3] = image.min()
    return result


def padded(image):
    result = image.copy()
    result[5:] = 0
    return result


SPOILT = {
    "nothing": np.copy,
    "2 % saturated": lambda image: clipped_above(image, 0.02),
    "20 % saturated": lambda image: clipped_above(image, 0.2),
    "8 % too dark": lambda image: clipped_below(image, 0.08),
    "mask of 0": lambda image: masked(image, 0),
    "mask of -1000": lambda image: masked(image, -1000),
    "mask within the range": lambda image: masked(image, np.rint(np.median(image))),
    "mask and saturated": lambda image: masked(clipped_above(image, 0.02), -1000),
    "burnt-in text": with_text,
    "slices of padding": padded,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("levels", [180, 4000, 0])
def test_constant_areas_are_skipped(spoil, sigma, levels):
    """Images have integer grey levels, or no rounding (0), and an offset."""
    tissue = smooth_tissue((8, 96, 96))
    noisy = gaussian.add_noise(tissue.astype(np.float32), sigma, np.random.default_rng(0), gaussian.Parameters())
    stored = np.rint(levels * noisy + 37) if levels else 1000.0 * noisy + 37
    found = estimate_sigma(normalised(spoil(stored), levels or 1000), 0, "gaussian")
    assert found.sigma == pytest.approx(sigma, rel=0.1)


def normalised(stored, scale):
    """Normalise by an affine map that keeps one grey value in `scale` as the unit of the noise."""
    return (stored - np.quantile(stored, 0.001)) / scale


@pytest.mark.parametrize("gain", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("offset", [-30_000.0, 0.0, 1000.0])
@pytest.mark.parametrize("noise", [rician, gaussian], ids=["rician", "gaussian"])
@pytest.mark.parametrize("sigma", [0.0, 0.005, 0.02, 0.1])
def test_estimate_is_independent_of_gain_and_offset(gain, offset, noise, sigma):
    """The background is not blanked: it has a Rayleigh distribution plus a constant."""
    name = noise.Parameters().name
    head = np.moveaxis(synthetic_head((96, 104, 12)) / 1000, 2, 0)
    head = ndimage.gaussian_filter(head, (0, 1, 1)).astype(np.float32)
    noisy = noise.add_noise(head, sigma, np.random.default_rng(0), noise.Parameters()).astype(np.float64)
    found = estimate_sigma(normalised(gain * noisy + offset, gain), 0, name)
    assert found.sigma == pytest.approx(sigma, rel=0.08, abs=5e-4)
    if sigma:
        assert found.method == ("background" if name == "rician" else "wavelet")


@pytest.mark.parametrize("noise", ["rician", "gaussian"])
@pytest.mark.parametrize("place", [(3, 2, 2), (3, 50, 50)], ids=["in the background", "in the head"])
@pytest.mark.parametrize("value", [1e6, -1e6])
def test_estimate_is_robust_to_single_voxel(noise, place, value):
    lr = np.moveaxis(noisy_head(0.02), 2, 0).astype(np.float64)
    before = estimate_sigma(lr, 0, noise)
    lr[place[0], place[1] % lr.shape[1], place[2] % lr.shape[2]] = value
    after = estimate_sigma(lr, 0, noise)
    assert after.method == before.method
    assert after.sigma == pytest.approx(before.sigma, rel=0.01)


def test_blanked_background_is_skipped():
    blanked = smooth_tissue().astype(np.float32)
    blanked = rician.add_noise(blanked, 0.02, np.random.default_rng(0), rician.Parameters())
    for value in (0, -7, 3):
        blanked[:, :, :40] = value
        estimate = estimate_sigma(blanked, 0)
        assert estimate.method == "wavelet"
        assert estimate.sigma == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("levels", [0.3, 0.5, 1.0, 2.0])
def test_weak_noise_of_8_bit_image_includes_rounding(levels, saturated):
    """Sigma is in grey levels. Constant areas that occur by chance, due to rounding, are not skipped."""
    grey = 100 * smooth_tissue((8, 128, 128)) + levels * np.random.default_rng(0).standard_normal((8, 128, 128))
    image = np.rint(grey)
    if saturated:
        image[:, 5:30, 5:30] = 255
    found = estimate_sigma(image / 255, 0, "gaussian").sigma * 255
    assert found == pytest.approx(np.sqrt(levels**2 + 1 / 12), rel=0.12)


def test_low_photon_counts_are_not_mistaken_for_clipping():
    for mean in (0.5, 1.0, 3.0):
        counts = np.random.default_rng(0).poisson(mean, (4, 128, 128)).astype(float)
        assert estimate_sigma(counts, 0, "gaussian").sigma == pytest.approx(np.sqrt(mean), rel=0.2)


def test_phantom_of_few_values_has_no_noise():
    phantom = np.zeros((4, 96, 96))
    row, column = np.mgrid[:96, :96] - 48
    for radius, value in ((44, 1.0), (38, 0.2), (30, 0.4), (12, 0.7), (5, 0.3)):
        phantom[:, np.hypot(row, column) < radius] = value
    assert estimate_sigma(phantom, 0).sigma < 5e-4
    assert estimate_sigma((phantom > 0.3).astype(float), 0).sigma < 5e-4


def test_dark_smooth_tissue_is_not_mistaken_for_background():
    # A dark ramp whose values have the ratio of the Rayleigh distribution, without noise.
    quantiles = (np.arange(64) + 0.5) / 64
    ramp = 0.1 * np.sqrt(-2 * np.log(1 - quantiles))
    stack = np.tile(ramp, (8, 64, 1))
    assert _is_rayleigh(stack.ravel())
    estimate = estimate_sigma(stack + 1e-4 * np.random.default_rng(0).standard_normal(stack.shape), 0)
    assert estimate.method == "wavelet"
    assert estimate.sigma < 2e-3


@pytest.mark.parametrize(("signal", "expected"), [(0.0, True), (2.0, False)])
def test_signal_is_distinguished_from_pure_noise(signal, expected):
    values = rician.add_noise(
        np.full(5000, signal, dtype=np.float32), 1.0, np.random.default_rng(0), rician.Parameters()
    )
    assert _is_rayleigh(values.astype(np.float64)) is expected


@pytest.mark.parametrize("shift", [-0.4, 0.0, 25.0])
def test_pure_noise_is_recognised_by_shape_of_distribution(shift):
    assert _is_rayleigh(rayleigh(5000, 1.0) + shift)
    assert not _is_rayleigh(np.random.default_rng(0).standard_normal(5000) + shift)
    assert not _is_rayleigh(np.maximum(rayleigh(5000, 1.0), 0.8) + shift)


@pytest.mark.parametrize("noise", ["rician", "gaussian", "poisson_gaussian"])
def test_binary_mask_has_no_noise(noise):
    """Rounded wavelet details gave a noise level of 1e-32, at which the mean of magnitudes was NaN."""
    mask = np.zeros((24, 28, 10), dtype=np.float32)
    mask[6:18, 7:21, 2:8] = 1
    assert estimate_sigma(mask, 2, noise).sigma == 0


def test_rayleigh_constants_match_moments():
    values = rayleigh(2_000_000, 1.0)
    assert values.std() == pytest.approx(RAYLEIGH_STD, rel=0.003)
    lowest = np.sort(values)[:100_000]
    assert lowest.mean() == pytest.approx(LOWEST_MEAN, rel=0.01)
    assert (values.mean() - lowest.mean()) / values.std() == pytest.approx(RAYLEIGH_RATIO, rel=0.003)
    groups = np.sort(values.reshape(-1, 400), axis=1)
    ratios = (groups.mean(axis=1) - groups[:, :20].mean(axis=1)) / groups.std(axis=1)
    assert np.std(ratios) / RAYLEIGH_RATIO * np.sqrt(400) == pytest.approx(RATIO_STANDARD_ERROR, rel=0.05)


def test_wavelet_filters_are_orthonormal_and_remove_ramps():
    assert LOW_PASS.sum() == pytest.approx(np.sqrt(2))
    for shift in (0, 2):
        kept = slice(shift, None), slice(None, 4 - shift)
        assert LOW_PASS[kept[0]] @ HIGH_PASS[kept[1]] == pytest.approx(0, abs=1e-12)
        assert HIGH_PASS[kept[0]] @ HIGH_PASS[kept[1]] == pytest.approx(float(shift == 0), abs=1e-12)
    plane = np.add.outer(3 * np.arange(32.0), 2 * np.arange(40.0))[None]
    details = _details(plane, HIGH_PASS, HIGH_PASS)
    assert details.shape == (1, 15, 19)
    assert np.abs(details).max() < 1e-9


def test_wavelet_details_preserve_sigma_of_white_noise():
    noise = np.random.default_rng(0).standard_normal((4, 200, 200))
    for filters in ((HIGH_PASS, HIGH_PASS), (HIGH_PASS, LOW_PASS), (LOW_PASS, HIGH_PASS)):
        assert _details(noise, *filters).std() == pytest.approx(1, rel=0.02)


def test_small_slices_are_rejected():
    with pytest.raises(UserError, match=r"12 x 40 .*--noise-sigma .*infer.noise_sigma.*--plane .*extract.plane"):
        estimate_sigma(np.ones((12, 3, 40)), 1)
