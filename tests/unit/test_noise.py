"""Test every noise model against the distributions of scipy and the moments of its draws."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from scipy import ndimage, stats

from pipeline import plugins
from pipeline.config.parameters import PhysicalParameters
from pipeline.config.sections import Degrade
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.physics.degradation import forward_model
from pipeline.physics.forward import NOISES, ForwardModel
from pipeline.physics.grid import Cut
from pipeline.physics.noise import electron, gaussian, noncentral_chi, poisson_gaussian, rician, serial_sections
from pipeline.training.patches import with_noise
from tests.helpers import described

NAMES = plugins.names(NOISES)
SIGMA = 0.05
COUNT = 400_000
LEVELS = [0.0, 0.02, 0.1, 1.0]
STILL = {"electron": {"jitter_pixels": 0.0}, "serial_sections": {"brightness": 0.0, "shift_pixels": 0.0}}
"""Parameters without effects that lines or sections have in common."""
SETTLED = {"serial_sections": STILL["serial_sections"]}
"""Parameters for which the draws of one image are independent."""


def draws(module, level, parameters=None, sigma=SIGMA, count=COUNT):
    image = np.full((count, 1), level, dtype=np.float32)
    name = module.__name__.rpartition(".")[2]
    parameters = parameters or module.Parameters(**SETTLED.get(name, {}))
    return module.add_noise(image, sigma, np.random.default_rng(11), parameters)[:, 0].astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_every_noise_has_description_and_keeps_shape_and_dtype(name):
    module = plugins.load(NOISES, name)
    assert issubclass(module.Parameters, PhysicalParameters)
    assert get_args(module.Parameters.model_fields["name"].annotation) == (name,)
    image = np.random.default_rng(0).random((7, 5, 3)).astype(np.float32)
    for sigma in (0.0, 0.03):
        noisy = module.add_noise(image, sigma, np.random.default_rng(1), module.Parameters())
        assert noisy.shape == image.shape
        assert noisy.dtype == np.float32
        assert np.isfinite(noisy).all()
        again = module.add_noise(image, sigma, np.random.default_rng(1), module.Parameters())
        np.testing.assert_array_equal(noisy, again)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", LEVELS)
def test_expected_value_matches_mean_of_draws(name, level):
    module = plugins.load(NOISES, name)
    found = draws(module, level)
    expected = module.expected_value(np.full((3, 1), level), SIGMA, module.Parameters(**SETTLED.get(name, {})))
    assert abs(found.mean() - expected[1, 0]) < 5 * found.std() / np.sqrt(COUNT) + 1e-7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", LEVELS)
def test_standard_deviation_matches_draws(name, level):
    module = plugins.load(NOISES, name)
    found = draws(module, level)
    image = np.full((3, 1), level)
    deviation = module.standard_deviation(image, SIGMA, module.Parameters(**SETTLED.get(name, {})))
    assert deviation.shape == image.shape
    assert deviation[1, 0] == pytest.approx(found.std(), rel=0.01, abs=1e-9)
    still = STILL.get(name, {})
    assert module.standard_deviation(image, 0.0, module.Parameters(**still)).max() == pytest.approx(0, abs=1e-9)


def test_standard_deviation_of_magnitudes_matches_scipy():
    for ratio in (0.1, 1.0, 4.0, 20.0):
        expected = stats.rice(ratio).std()
        image = np.array([ratio])
        assert rician.standard_deviation(image, 1.0, rician.Parameters())[0] == pytest.approx(expected, rel=1e-6)
        one = noncentral_chi.standard_deviation(image, 1.0, noncentral_chi.Parameters(coils=1))
        assert one[0] == pytest.approx(expected, rel=1e-5)


def test_jitter_increases_standard_deviation_at_edges():
    image = np.zeros((31, 20_000), dtype=np.float32)
    image[12:20] = 1
    for sigma in (0.0, SIGMA):
        parameters = electron.Parameters(jitter_pixels=0.7)
        found = electron.add_noise(image, sigma, np.random.default_rng(2), parameters).std(axis=1)
        expected = electron.standard_deviation(image[:, :3], sigma, parameters)[:, 1]
        np.testing.assert_allclose(expected, found, atol=0.006)


@pytest.mark.parametrize("name", NAMES)
def test_sigma_zero_adds_no_noise(name):
    module = plugins.load(NOISES, name)
    still = STILL.get(name, {})
    image = np.random.default_rng(0).random((6, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        module.add_noise(image, 0.0, np.random.default_rng(0), module.Parameters(**still)), image
    )
    np.testing.assert_allclose(module.expected_value(image, 0.0, module.Parameters(**still)), image, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("none", "rician", "noncentral_chi")])
def test_sigma_is_standard_deviation_at_intensity_one(name):
    assert draws(plugins.load(NOISES, name), 1.0).std() == pytest.approx(SIGMA, rel=0.01)


def test_gaussian_noise_is_normal_at_every_intensity():
    for level in LEVELS:
        found = draws(gaussian, level)
        assert stats.kstest(found[:20_000], stats.norm(level, SIGMA).cdf).pvalue > 1e-3


# Magnitude images


def test_noise_without_signal_has_rayleigh_distribution():
    found, expected = draws(rician, 0.0), stats.rayleigh(scale=SIGMA)
    assert abs(found.mean() - expected.mean()) < 5 * expected.std() / np.sqrt(COUNT)
    assert found.var() == pytest.approx(expected.var(), rel=0.01)
    assert stats.kstest(found[:20_000], expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("level", LEVELS[1:])
def test_noise_with_signal_has_rice_distribution(level):
    found, expected = draws(rician, level), stats.rice(level / SIGMA, scale=SIGMA)
    assert found.var() == pytest.approx(expected.var(), rel=0.01)
    assert stats.kstest(found[:20_000], expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("coils", [1, 4, 32])
def test_squared_magnitude_of_coils_has_noncentral_chi_square_distribution(level, coils):
    found = draws(noncentral_chi, level, noncentral_chi.Parameters(coils=coils))
    expected = stats.ncx2(2 * coils, (level / SIGMA) ** 2) if level else stats.chi2(2 * coils)
    assert stats.kstest((found[:20_000] / SIGMA) ** 2, expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(NOISES, name).MAGNITUDE])
def test_negative_signal_counts_as_zero_for_magnitudes(name):
    """Intensities below the low quantile, which is normalised to zero, do not change their sign."""
    module = plugins.load(NOISES, name)
    parameters = module.Parameters()
    image = np.array([[-0.4, -0.01, 0.0, 0.01, 0.4]], dtype=np.float32)
    dark = np.maximum(image, 0)
    draw = [module.add_noise(one, SIGMA, np.random.default_rng(0), parameters) for one in (image, dark)]
    np.testing.assert_array_equal(*draw)
    for moment in (module.expected_value, module.standard_deviation):
        np.testing.assert_array_equal(moment(image, SIGMA, parameters), moment(dark, SIGMA, parameters))
    # There is no kink at zero, so that gradients are continuous.
    low, middle, high = module.expected_value(np.array([-1e-4, 0.0, 1e-4]), SIGMA, parameters)
    assert abs(high - middle) < 1e-6 and low == middle
    np.testing.assert_array_equal(module.add_noise(image, 0.0, np.random.default_rng(0), parameters), image)
    np.testing.assert_array_equal(module.expected_value(image, 0.0, parameters), image)


@pytest.mark.parametrize("lowest", [-0.5, 0.0, None])
@pytest.mark.parametrize("name", NAMES)
def test_magnitude_noise_rejects_negative_images(name, lowest):
    image = Image(np.ones((16, 16, 2), dtype=np.float32), np.eye(4))
    image = described(image, id="ct", slice_axis=2, stored_minimum=lowest)
    settings = Degrade(noise=name)
    if lowest == -0.5 and name in ("rician", "noncentral_chi"):
        with pytest.raises(UserError, match=rf"'ct': has negative .*-0\.5.* {name} noise .*degrade\.noise to gaussian"):
            forward_model(image, settings, 0)
    else:
        assert forward_model(image, settings, 0).noise == name


def test_noncentral_chi_with_one_coil_is_rician():
    image = np.linspace(0, 1.5, 400)
    for sigma in (0.003, 0.05, 0.5):
        one = noncentral_chi.expected_value(image, sigma, noncentral_chi.Parameters(coils=1))
        np.testing.assert_allclose(one, rician.expected_value(image, sigma, rician.Parameters()), rtol=1e-6)


@pytest.mark.parametrize("coils", [2, 8, 32, 128])
def test_mean_of_coils_matches_distribution(coils):
    """Compare with quadrature over scipy's density of the squared magnitude, for both branches of the computation."""
    for ratio in (0.5, 3.0, 12.0, 60.0, 300.0):
        centre, spread = 2 * coils + ratio**2, np.sqrt(4 * coils + 4 * ratio**2)
        squares = np.linspace(max(0, centre - 12 * spread), centre + 12 * spread, 40_001)
        density = stats.ncx2.pdf(squares, 2 * coils, ratio**2)
        expected = np.trapezoid(np.sqrt(squares) * density, squares) / np.trapezoid(density, squares)
        found = noncentral_chi.expected_value(np.array([ratio]), 1.0, noncentral_chi.Parameters(coils=coils))
        assert found[0] == pytest.approx(expected, rel=1e-4)


# Cameras


CAMERA = poisson_gaussian.Parameters(read_noise_electrons=5.0, gain_counts_per_electron=4.0, offset_counts=200.0)


@pytest.mark.parametrize("level", [0.05, 0.3, 1.0])
def test_camera_variance_increases_with_intensity(level):
    """Photon transfer curve: variance / gain^2 is the sum of photons and squared read noise."""
    photons = poisson_gaussian.photons_at_one(SIGMA, 5.0)
    assert (photons + 25) / photons**2 == pytest.approx(SIGMA**2)
    found = draws(poisson_gaussian, level, CAMERA)
    expected = (level * photons + 25 + 1 / 12 / 4.0**2) / photons**2
    assert found.var() == pytest.approx(expected, rel=0.01)
    relative = poisson_gaussian.relative_std(np.array([level]), SIGMA, CAMERA)
    assert found.std() == pytest.approx(SIGMA * relative[0], rel=0.01)


def test_camera_without_read_noise_is_poisson():
    quiet = poisson_gaussian.Parameters(read_noise_electrons=0.0, gain_counts_per_electron=1.0, offset_counts=0.0)
    found = draws(poisson_gaussian, 0.1, quiet, sigma=0.1)
    photons = poisson_gaussian.photons_at_one(0.1, 0.0)
    assert photons == pytest.approx(100)
    counts = np.rint(found * 100).astype(int)
    np.testing.assert_allclose(found * 100, counts, atol=1e-4)
    shares = np.bincount(counts, minlength=40)[:40] / COUNT
    np.testing.assert_allclose(shares, stats.poisson.pmf(np.arange(40), 10), atol=0.003)


def test_camera_counts_are_non_negative_integers():
    dark = poisson_gaussian.Parameters(read_noise_electrons=5.0, gain_counts_per_electron=2.0, offset_counts=3.0)
    photons = poisson_gaussian.photons_at_one(SIGMA, 5.0)
    counts = draws(poisson_gaussian, 0.01, dark) * 2.0 * photons + 3
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    assert counts.min() == pytest.approx(0, abs=1e-3)


# Electron microscopes


def test_shift_of_scan_lines_matches_scipy():
    image = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    parameters = electron.Parameters(jitter_pixels=0.7)
    found = electron.add_noise(image, 0.0, np.random.default_rng(5), parameters)
    shifts = 0.7 * np.random.default_rng(5).standard_normal(4)
    for line, shift in enumerate(shifts):
        expected = ndimage.shift(image[:, line].astype(float), shift, order=1, mode="nearest")
        np.testing.assert_allclose(found[:, line], expected, atol=1e-5)


def test_scan_lines_shift_independently_along_first_axis():
    image = np.zeros((21, 400, 5), dtype=np.float32)
    image[10] = 1
    found = electron.add_noise(image, 0.0, np.random.default_rng(0), electron.Parameters(jitter_pixels=0.5))
    places = (found * np.arange(21)[:, None, None]).sum(axis=0) - 10
    assert places.shape == (400, 5)
    assert places.std() == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(places[:, 0], places[:, 1])[0, 1]) < 0.2


def test_mean_over_jitter_is_blur_along_scan_lines():
    image = np.zeros((41, 3))
    image[20] = 1
    parameters = electron.Parameters(jitter_pixels=0.8)
    expected = electron.expected_value(image, 0.0, parameters)
    many = [
        electron.add_noise(
            np.repeat(image[:, :1], 4000, 1).astype(np.float32), 0.0, np.random.default_rng(seed), parameters
        )
        for seed in range(20)
    ]
    np.testing.assert_allclose(expected[:, 0], np.mean(many, axis=(0, 2)), atol=0.005)
    places = np.arange(41) - 20
    # For uniformly distributed shifts, linear interpolation adds a mean variance of 1/6 squared pixels.
    assert expected[:, 1] @ places**2 == pytest.approx(0.8**2 + 1 / 6, abs=0.03)


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_scan_lines_lie_within_slices_for_every_slice_axis(slice_axis):
    shape = [12, 12, 12]
    shape[slice_axis] = 2
    factors = tuple(1 if axis == slice_axis else 2 for axis in range(3))
    parameters = electron.Parameters(jitter_pixels=2.0)
    model = ForwardModel(factors, tuple(shape), "electron", 0.0, 3, noise_parameters=parameters, slice_axis=slice_axis)
    first, second = (axis for axis in range(3) if axis != slice_axis)
    data = np.zeros(shape, dtype=np.float32)
    ramp = np.arange(12, dtype=np.float32)
    data += ramp.reshape([-1 if axis == second else 1 for axis in range(3)])
    # The image is constant along the lines, so that shifts have no effect.
    low = model.coarsen(data)
    np.testing.assert_allclose(model.add_seeded_noise(low), low, atol=1e-5)
    assert not np.allclose(
        model.add_seeded_noise(np.swapaxes(low, first, second)), np.swapaxes(low, first, second), atol=0.1
    )


# Serial sections


def test_each_section_is_shifted_and_brightened_as_scipy_does():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((20, 24, 6)), (2, 2, 0)).astype(np.float32)
    parameters = serial_sections.Parameters(brightness=0.1, shift_pixels=0.6, drift_sections=3.0)
    found = serial_sections.add_noise(image, 0.0, np.random.default_rng(5), parameters)
    generator = np.random.default_rng(5)
    gains = 1 + 0.1 * generator.standard_normal(6)
    shifts = serial_sections.section_shifts(6, generator, parameters)
    for section in range(6):
        moved = ndimage.shift(image[..., section].astype(float), shifts[:, section], order=1, mode="nearest")
        np.testing.assert_allclose(found[..., section], gains[section] * moved, atol=1e-5)


@pytest.mark.parametrize("drift", [0.0, 5.0])
def test_shifts_of_sections_have_the_stated_width_and_correlation(drift):
    parameters = serial_sections.Parameters(shift_pixels=0.4, drift_sections=drift)
    shifts = serial_sections.section_shifts(40_000, np.random.default_rng(1), parameters)
    assert shifts.std(axis=1) == pytest.approx(0.4, rel=0.05)
    for line in shifts:
        expected = np.exp(-1 / drift) if drift else 0
        assert np.corrcoef(line[1:], line[:-1])[0, 1] == pytest.approx(expected, abs=0.03)
    assert abs(np.corrcoef(shifts[0], shifts[1])[0, 1]) < 0.1


def test_moments_over_sections_match_those_of_draws():
    plane = np.zeros((17, 15), dtype=np.float32)
    plane[6:11, 5:9] = 0.8
    image = np.repeat(plane[..., None], 20_000, axis=2)
    parameters = serial_sections.Parameters(brightness=0.1, shift_pixels=0.4)
    found = serial_sections.add_noise(image, 0.02, np.random.default_rng(2), parameters)
    mean = serial_sections.expected_value(plane, 0.02, parameters)
    deviation = serial_sections.standard_deviation(plane, 0.02, parameters)
    np.testing.assert_allclose(mean, found.mean(axis=2), atol=0.006)
    np.testing.assert_allclose(deviation, found.std(axis=2), atol=0.03)  # a sum over few shifts, at sharp edges
    inside = (slice(8, 9), slice(6, 8))
    np.testing.assert_allclose(deviation[inside], found.std(axis=2)[inside], rtol=0.05)


@pytest.mark.parametrize("cut", [Cut(0, 1, 2), Cut(1, 0, 2), Cut(1, 2, 0)])
def test_sections_of_a_patch_differ_along_its_columns(cut):
    """The noise of a patch across the sections is that of a volume that is one voxel thick."""
    parameters = serial_sections.Parameters(brightness=0.2, shift_pixels=0.0)
    model = ForwardModel(
        (1, 1, 1), (9, 9, 9), "serial_sections", 0.0, noise_parameters=parameters, slice_axis=cut.columns
    )
    noisy = with_noise(model, np.ones((1, 5, 7), dtype=np.float32), cut, np.random.default_rng(3), 0.0)[0]
    assert noisy.shape == (5, 7)
    np.testing.assert_allclose(noisy, np.broadcast_to(noisy[0], (5, 7)))
    assert np.unique(noisy[0].round(4)).size == 7
