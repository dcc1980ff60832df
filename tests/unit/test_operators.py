"""Test every operator against an independent implementation or a closed form."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from monai.networks.layers.convutils import gaussian_1d
from PIL import Image as Pillow
from scipy import integrate, ndimage, signal, special
from skimage.measure import block_reduce

from pipeline import plugins
from pipeline.config.parameters import PhysicalParameters
from pipeline.errors import UserError
from pipeline.physics.data_consistency import apply_data_consistency
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import apply_terms
from pipeline.physics.kernels import blur_matrix, separable_terms
from pipeline.physics.linear import OPERATORS
from pipeline.physics.operators import (
    airy_psf,
    antialiased_bicubic,
    axial_psf,
    binning,
    decimation,
    gaussian_psf,
    kspace_truncation,
    missing_section,
    partial_fourier,
    slice_profile,
)

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
NAMES = plugins.names(OPERATORS)
GIVEN: dict[str, dict[str, Any]] = {"gaussian_psf": {"fwhm_um": 0.9}}
SPACING = 2.5e-4  # mm


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def matrices(name: str, size: int, factor: float) -> list[np.ndarray]:
    """All matrices of an operator with its default parameters."""
    module = plugins.load(OPERATORS, name)
    parameters = module.Parameters(**GIVEN.get(name, {}))
    if hasattr(module, "plane_terms"):
        pairs = module.plane_terms((size, size), (SPACING, SPACING), parameters)
        return [np.sum([one[0].sum() * other for one, other in pairs], axis=0)]
    return [module.axis_matrix(size, factor, SPACING, parameters)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "factor"), [(12, 2), (15, 3), (16, 4), (20, 4), (8, 8)])
def test_every_operator_has_correct_shape_and_preserves_constants_and_reflection(name, size, factor):
    for matrix in matrices(name, size, factor):
        rows = size // factor if plugins.load(OPERATORS, name).COARSENS else size
        assert matrix.shape == (rows, size)
        np.testing.assert_allclose(matrix.sum(axis=1), matrix[0].sum(), atol=1e-10)
        if plugins.constant(OPERATORS, name, "LOCAL", True):
            np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_has_description(name):
    parameters = plugins.load(OPERATORS, name).Parameters
    assert issubclass(parameters, PhysicalParameters)
    assert get_args(parameters.model_fields["name"].annotation) == (name,)
    assert all(field.description for key, field in parameters.model_fields.items() if key != "name")
    assert parameters(**GIVEN.get(name, {})).describe()


# k-space


@pytest.mark.parametrize(("window", "taper"), [("none", 0.3), ("hamming", 0.3), ("tukey", 0.4), ("tukey", 1.0)])
def test_windows_match_scipy(window, taper):
    size, factor = 128, 2
    parameters = kspace_truncation.Parameters(window=window, taper=taper)
    matrix = kspace_truncation.axis_matrix(size, factor, None, parameters)
    names = {"none": "boxcar", "hamming": "hamming", "tukey": ("tukey", taper)}
    expected = signal.get_window(names[window], size // factor + 1, fftbins=False)[size // factor // 2 :]
    # The gain is determined from a sampled wave; the phase of the Nyquist frequency is undefined.
    for frequency in range(size // factor // 2):
        places, centres = np.arange(size), np.arange(size // factor) * factor + (factor - 1) / 2
        wave = np.exp(2j * np.pi * frequency * places / size)
        gain = (matrix @ wave) / np.exp(2j * np.pi * frequency * centres / size)
        np.testing.assert_allclose(gain, expected[frequency], atol=1e-10)


def test_gibbs_overshoot_is_nine_percent_and_removed_by_hamming_window():
    """The Gibbs overshoot next to a step is 8.95 % of its height, for any grid spacing."""
    step = np.repeat([0.0, 1.0], 2048)
    overshoot = {}
    for window in ("none", "hamming"):
        matrix = kspace_truncation.axis_matrix(4096, 32, None, kspace_truncation.Parameters(window=window))
        spectrum = np.fft.rfft(matrix @ step)[:64]  # without the Nyquist frequency, which a square wave lacks
        fine = np.fft.irfft(spectrum, n=8192) * 8192 / 128
        overshoot[window] = fine.max() - 1
    assert overshoot["none"] == pytest.approx(special.sici(np.pi)[0] / np.pi - 0.5, abs=0.003)
    assert overshoot["hamming"] < 0.005


def test_fraction_of_kspace_matches_coarser_grid():
    size = 64
    matrix = kspace_truncation.axis_matrix(size, 2, None, kspace_truncation.Parameters(fraction=0.5))
    places, centres = np.arange(size), np.arange(32) * 2 + 0.5
    for frequency, kept in ((7, True), (9, False)):
        wave = np.cos(2 * np.pi * frequency * places / size)
        expected = np.cos(2 * np.pi * frequency * centres / size) * kept
        np.testing.assert_allclose(matrix @ wave, expected, atol=1e-10)


@pytest.mark.parametrize("fraction", [0.625, 0.75, 1.0])
@pytest.mark.parametrize("size", [48, 49])
def test_partial_fourier_matches_real_part_of_zero_filled_image(fraction, size):
    line = samples(size)
    spectrum = np.fft.fft(line)
    frequencies = np.fft.fftfreq(size, 1 / size)
    measured = frequencies >= -(2 * fraction - 1) * size / 2 - 1e-9
    # The Nyquist frequency of an even size is both the first and the last line, of which one is acquired.
    weight = np.where(np.abs(frequencies) == size / 2, (1 + (fraction == 1)) / 2, measured)
    expected = np.fft.ifft(spectrum * weight).real
    matrix = partial_fourier.axis_matrix(size, 1, None, partial_fourier.Parameters(fraction=fraction))
    np.testing.assert_allclose(matrix @ line, expected, atol=1e-10)


def test_partial_fourier_commutes_with_truncation():
    half = partial_fourier.Parameters(fraction=0.625)
    cut = kspace_truncation.Parameters()
    after = partial_fourier.axis_matrix(16, 1, None, half) @ kspace_truncation.axis_matrix(64, 4, None, cut)
    before = kspace_truncation.axis_matrix(64, 4, None, cut) @ partial_fourier.axis_matrix(64, 4, None, half)
    np.testing.assert_allclose(before, after, atol=1e-10)


# Blurs


def gaussian(size: int, fwhm: float) -> np.ndarray:
    return gaussian_psf.axis_matrix(size, 1, None, gaussian_psf.Parameters(fwhm_voxels=fwhm))


@pytest.mark.parametrize("fwhm", [0.8, 2.0, 5.0])
def test_gaussian_matches_monai(fwhm):
    kernel = gaussian_1d(torch.tensor(fwhm / FWHM_PER_SIGMA, dtype=torch.float64), truncated=5.0, approx="erf").numpy()
    reach = len(kernel) // 2
    row = gaussian(2 * 31 + 1, fwhm)[31]
    np.testing.assert_allclose(row[31 - reach : 32 + reach], kernel / kernel.sum(), atol=1e-5)


@pytest.mark.parametrize("size", [7, 64])
def test_wide_gaussian_with_mirrored_borders_matches_scipy(size):
    line = samples(size)
    sigma = 5.0 / FWHM_PER_SIGMA
    # Integration over a voxel adds its variance of 1/12 to that of the kernel.
    expected = ndimage.gaussian_filter1d(line, math.sqrt(sigma**2 + 1 / 12), mode="reflect", truncate=6)
    np.testing.assert_allclose(gaussian(size, 5.0) @ line, expected, atol=2e-4)


def test_variances_of_successive_blurs_add():
    twice, once = gaussian(101, 3.0) @ gaussian(101, 4.0), gaussian(101, 5.0)
    places = np.arange(101) - 50
    variances = [matrix[50] @ places**2 for matrix in (twice, once)]
    assert variances[0] == pytest.approx(variances[1] + 1 / 12, abs=0.01)


def test_gaussian_of_aperture_matches_peak_of_airy_pattern():
    aperture, wavelength = 0.8, 520e-6  # mm
    fine = 5e-6  # mm
    parameters = gaussian_psf.Parameters(numerical_aperture=aperture, wavelength_nm=520.0)
    row = gaussian_psf.axis_matrix(401, 1, fine, parameters)[200]
    v = 2 * np.pi * aperture * np.arange(-10, 11) * fine / wavelength
    with np.errstate(invalid="ignore"):
        airy = np.where(v == 0, 1, (2 * special.j1(v) / v) ** 2)
    np.testing.assert_allclose(row[190:211] / row.max(), airy, atol=0.01)


@pytest.mark.parametrize(("unit", "value"), [("fwhm_mm", 0.002), ("fwhm_um", 2.0), ("fwhm_voxels", 4.0)])
def test_width_in_several_units(unit, value):
    found = gaussian_psf.axis_matrix(30, 1, 5e-4, gaussian_psf.Parameters(**{unit: value}))
    np.testing.assert_allclose(found, gaussian(30, 4.0), atol=1e-12)


@pytest.mark.parametrize(
    "given", [{}, {"fwhm_mm": 1.0, "fwhm_um": 1.0}, {"wavelength_nm": 500.0}, {"fwhm_mm": 1.0, "wavelength_nm": 500.0}]
)
def test_width_must_be_given_in_exactly_one_way(given):
    with pytest.raises(ValueError, match="exactly one way"):
        gaussian_psf.Parameters(**given)


def widths(row: np.ndarray) -> float:
    """Full width at half maximum of a sampled curve, in samples."""
    above = np.flatnonzero(row >= row.max() / 2)
    first, last = above[0], above[-1]
    rise = (row[first] - row.max() / 2) / (row[first] - row[first - 1])
    fall = (row[last] - row.max() / 2) / (row[last] - row[last + 1])
    return last - first + rise + fall


@pytest.mark.parametrize("profile", ["gaussian", "rect", "windowed_sinc"])
def test_thickness_is_full_width_at_half_maximum(profile):
    parameters = slice_profile.Parameters(profile=profile, thickness_mm=4.0)
    row = slice_profile.axis_matrix(801, 1, 0.05, parameters)[400]
    assert widths(row) * 0.05 == pytest.approx(4.0, rel=0.01)


def test_rectangular_profile_of_slice_thickness_is_mean():
    row = slice_profile.axis_matrix(21, 5, 1.0, slice_profile.Parameters(profile="rect", thickness_mm=5.0))[10]
    np.testing.assert_allclose(row, ndimage.uniform_filter1d(np.eye(21)[10], 5), atol=1e-12)


def test_default_thickness_is_slice_spacing_minus_gap():
    touching = slice_profile.axis_matrix(21, 4, 1.5, slice_profile.Parameters(profile="rect"))
    six = slice_profile.axis_matrix(21, 4, 1.5, slice_profile.Parameters(profile="rect", thickness_mm=6.0))
    np.testing.assert_allclose(touching, six, atol=1e-12)
    gap = slice_profile.axis_matrix(21, 4, 1.5, slice_profile.Parameters(profile="rect", gap_mm=1.5))
    thin = slice_profile.axis_matrix(21, 4, 1.5, slice_profile.Parameters(profile="rect", thickness_mm=4.5))
    np.testing.assert_allclose(gap, thin, atol=1e-12)
    with pytest.raises(UserError, match="is not smaller than the slice spacing of 6 mm"):
        slice_profile.axis_matrix(21, 4, 1.5, slice_profile.Parameters(gap_mm=6.0))


@pytest.mark.parametrize("bandwidth", [3.0, 8.0])
def test_profile_of_pulse_matches_fourier_transform(bandwidth):
    """Compare with the FFT of a pulse of duration 1, for which the frequency `bandwidth` is one slice thickness."""
    count, length = 4096, 64
    time = (np.arange(count * length) - count * length // 2) / count
    window = np.where(np.abs(time) <= 0.5, 0.54 + 0.46 * np.cos(2 * np.pi * time), 0)
    spectrum = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(np.sinc(bandwidth * time) * window))).real
    frequency = np.fft.fftshift(np.fft.fftfreq(time.size, 1 / count))
    parameters = slice_profile.Parameters(profile="windowed_sinc", thickness_mm=20.0, time_bandwidth=bandwidth)
    row = slice_profile.axis_matrix(121, 1, 1.0, parameters)[60]
    expected = np.interp(np.arange(-60, 61) / 20, frequency / bandwidth, spectrum)
    np.testing.assert_allclose(row, expected / expected.sum(), atol=3e-4)


# The Airy pattern


def test_airy_pattern_matches_transform_of_circular_pupil():
    """Compare with the Fourier transform of a disc, far from the border of the kernel and with small pixels."""
    side, radius = 2048, 64.0
    ticks = np.arange(side) - side // 2
    pupil = np.hypot(*np.meshgrid(ticks, ticks)) <= radius
    field = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(pupil)))
    pattern = np.abs(field) ** 2
    pattern /= pattern.max()
    per_v = side / (2 * np.pi * radius)
    found = airy_psf.kernel((per_v, per_v))
    middle, reach = found.shape[0] // 2, 40
    part = found[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    expected = pattern[side // 2 - reach : side // 2 + reach + 1, side // 2 - reach : side // 2 + reach + 1]
    np.testing.assert_allclose(part / part.max(), expected, atol=0.01)


def test_pixel_contains_integral_of_pattern():
    found = airy_psf.kernel((0.4, 0.6))
    middle = [size // 2 for size in found.shape]

    def intensity(y: float, x: float) -> float:
        v = math.hypot(y / 0.4, x / 0.6)
        return (2 * special.j1(v) / v) ** 2 if v > 1e-9 else 1.0

    values = [
        integrate.dblquad(intensity, column - 0.5, column + 0.5, row - 0.5, row + 0.5, epsabs=1e-10)[0]
        for row, column in ((0, 0), (0, 1), (2, 1))
    ]
    part = [found[middle[0] + row, middle[1] + column] for row, column in ((0, 0), (0, 1), (2, 1))]
    np.testing.assert_allclose(np.array(part) / part[0], np.array(values) / values[0], rtol=5e-3)


def test_encircled_energy_matches_rayleighs_formula():
    kernel = airy_psf.kernel((4.0, 4.0))
    ticks = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    v = np.hypot(*np.meshgrid(ticks, ticks)) / 4.0

    def encircled(radius: float) -> float:
        return 1 - special.j0(radius) ** 2 - special.j1(radius) ** 2

    assert encircled(airy_psf.MAX_V) == pytest.approx(0.98, abs=0.001)
    for ring in special.jn_zeros(1, 3):
        expected = encircled(ring) / encircled(airy_psf.MAX_V)
        assert kernel[v <= ring].sum() == pytest.approx(expected, abs=0.005)


def test_separable_approximation_error_is_below_1e_4():
    kernel = airy_psf.kernel((1.2, 1.2))
    terms = separable_terms(kernel, airy_psf.REMAINDER)
    total = np.sum([np.outer(*pair) for pair in terms], axis=0)
    assert 1 < len(terms) < 6
    assert np.sum((total - kernel) ** 2) < 1e-4 * np.sum(kernel**2)
    assert total.sum() == pytest.approx(1)
    fewer = np.sum([np.outer(*pair) for pair in terms[:-1]], axis=0)
    assert np.sum((fewer / fewer.sum() - kernel) ** 2) > 1e-4 * np.sum(kernel**2)


def test_plane_terms_match_convolution_with_kernel():
    picture = samples(40, 50)
    parameters = airy_psf.Parameters(numerical_aperture=0.8, wavelength_nm=520.0)
    spacings = (1.6e-4, 2e-4)
    pairs = airy_psf.plane_terms((40, 50), spacings, parameters)
    per_v = 520e-6 / (2 * np.pi * 0.8)
    kernel = airy_psf.kernel((per_v / spacings[0], per_v / spacings[1]))
    expected = ndimage.convolve(picture, kernel, mode="reflect")
    assert np.abs(apply_terms(tuple(pairs), picture) - expected).max() < 0.01 * np.ptp(expected)


def test_aperture_must_be_below_refractive_index():
    airy_psf.Parameters(numerical_aperture=1.4, refractive_index=1.52)
    for aperture in (1.4, (0.8, 1.4)):
        with pytest.raises(ValueError, match=r"less than refractive_index, 1\.33"):
            airy_psf.Parameters(numerical_aperture=aperture, refractive_index=1.33)


# The axial point spread function

VECTORIAL = {
    (0.8, 520.0): (1.0, 0.8112, 0.4071, 0.0921, 0.0012, 0.0328, 0.0452, 0.0169, 0.0003),
    (1.2, 600.0): (1.0, 0.8180, 0.4256, 0.1131, 0.0135, 0.0358, 0.0461, 0.0197, 0.0034),
}
"""Intensity on the axis in water, relative to the focus, from there to the second dark place of the scalar theory in
eight steps, by aperture and wavelength in nm: the vectorial model of psfmodels 0.3.3, with the refractive index 1.33 of
all media."""


@pytest.mark.parametrize(("optics", "tolerance"), [((0.8, 520.0), 0.0015), ((1.2, 600.0), 0.014)])
def test_axial_profile_matches_vectorial_model_of_a_library(optics, tolerance):
    aperture, wavelength = optics
    parameters = axial_psf.Parameters(numerical_aperture=aperture, wavelength_nm=wavelength)
    dark = wavelength * 1e-3 / 1.33 / (1 - math.sqrt(1 - (aperture / 1.33) ** 2))
    found = axial_psf.axial_profile(np.arange(9) / 4 * dark, parameters)
    np.testing.assert_allclose(found, VECTORIAL[optics], atol=tolerance)


def test_axial_blur_is_that_of_the_thinner_of_objective_and_sheet():
    line = np.zeros(201)
    line[100] = 1
    objective = axial_psf.axis_matrix(201, 1, 2e-4, axial_psf.Parameters()) @ line
    # Without the weight sqrt(c), the integral is that of a slit.
    dark = 0.52 / 1.33 / (1 - math.sqrt(1 - (0.5 / 1.33) ** 2))
    expected = np.sinc(0.2 * np.arange(-100, 101) / dark) ** 2
    np.testing.assert_allclose(objective / objective.max(), expected, atol=0.01)
    thin = axial_psf.axis_matrix(201, 1, 2e-4, axial_psf.Parameters(sheet_fwhm_um=1.0)) @ line
    sheet = gaussian_psf.axis_matrix(201, 1, 2e-4, gaussian_psf.Parameters(fwhm_um=1.0)) @ line
    np.testing.assert_allclose(thin / thin.max(), sheet / sheet.max(), atol=0.03)


# Coarsening


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_binning_is_mean_over_blocks(factor):
    line = samples(24)
    found = binning.axis_matrix(24, factor, None, binning.Parameters()) @ line
    np.testing.assert_allclose(found, block_reduce(line, factor, np.mean), atol=1e-12)


def test_decimation_samples_cell_centres():
    line = samples(12)
    three, four = (decimation.axis_matrix(12, factor, None, decimation.Parameters()) @ line for factor in (3, 4))
    np.testing.assert_allclose(three, line[1::3])
    np.testing.assert_allclose(four, (line[1::4] + line[2::4]) / 2)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_downsampling_matches_pillow_and_torch_inside(factor):
    picture = samples(48, 60).astype(np.float32)
    pair = [antialiased_bicubic.axis_matrix(size, factor, None, antialiased_bicubic.Parameters()) for size in (48, 60)]
    found = pair[0] @ picture @ pair[1].T
    size = (48 // factor, 60 // factor)
    pillow = np.asarray(Pillow.fromarray(picture).resize(size[::-1], Pillow.Resampling.BICUBIC))
    tensor = torch.from_numpy(picture)[None, None]
    library = torch.nn.functional.interpolate(tensor, size, mode="bicubic", antialias=True)[0, 0].numpy()
    inside = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(found[inside], pillow[inside], atol=1e-5)
    np.testing.assert_allclose(found[inside], library[inside], atol=1e-5)


def test_bicubic_downsampling_mirrors_ends():
    line = samples(12)
    mirrored = np.concatenate([line[::-1], line, line[::-1]])
    whole = antialiased_bicubic.axis_matrix(36, 2, None, antialiased_bicubic.Parameters()) @ mirrored
    found = antialiased_bicubic.axis_matrix(12, 2, None, antialiased_bicubic.Parameters()) @ line
    np.testing.assert_allclose(found, whole[6:12], atol=1e-12)


# Factors that are no whole numbers

FRACTIONS = [(1, 10, 9), (4, 5, 4), (10, 5, 2), (9, 10, 3), (8, 50, 9), (3, 73, 10)]
"""Number of low-resolution voxels, and numerator and denominator of the factor."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("count", "above", "below"), FRACTIONS)
def test_every_operator_preserves_constants_for_real_factors(name, count, above, below):
    size = -(-count * above // below)
    for matrix in matrices(name, size, above / below):
        rows = count if plugins.load(OPERATORS, name).COARSENS else size
        assert matrix.shape == (rows, size)
        np.testing.assert_allclose(matrix.sum(axis=1), matrix[0].sum(), atol=1e-10)


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(OPERATORS, name).COARSENS])
@pytest.mark.parametrize(("size", "factor"), [(12, 2), (15, 3), (16, 4), (20, 4), (8, 8), (14, 2)])
def test_whole_factors_are_a_special_case_of_real_ones(name, size, factor):
    (whole,), (real,) = matrices(name, size, factor), matrices(name, size, float(factor))
    np.testing.assert_allclose(real, whole, atol=1e-12)


@pytest.mark.parametrize(("count", "above", "below"), FRACTIONS)
def test_binning_integrates_over_fractional_cells(count, above, below):
    """With every voxel cut into `below` parts, a cell is `above` of them."""
    size = -(-count * above // below)
    line = samples(size)
    expected = np.repeat(line, below)[: count * above].reshape(count, above).mean(axis=1)
    found = binning.axis_matrix(size, above / below, None, binning.Parameters()) @ line
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("factor", [1.1, 2.5, 10 / 3, 50 / 9])
def test_decimation_interpolates_linearly_at_cell_centres(factor):
    size = math.ceil(7 * factor)
    line = samples(size)
    expected = np.interp([(j + 0.5) * factor - 0.5 for j in range(7)], np.arange(size), line)
    found = decimation.axis_matrix(size, factor, None, decimation.Parameters()) @ line
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("factor", [1.1, 2.5, 10 / 3, 50 / 9])
def test_bicubic_downsampling_by_real_factors_matches_pillow_inside(factor):
    count, rows = 12, 3
    size = math.ceil(count * factor)
    picture = samples(rows, size).astype(np.float32)
    box = (0, 0, min(count * factor, size), rows)
    pillow = np.asarray(Pillow.fromarray(picture).resize((count, rows), Pillow.Resampling.BICUBIC, box))
    found = picture @ antialiased_bicubic.axis_matrix(size, factor, None, antialiased_bicubic.Parameters()).T
    np.testing.assert_allclose(found[:, 3:-3], pillow[:, 3:-3], atol=2e-5)


@pytest.mark.parametrize("factor", [1.1, 2.5, 10 / 3, 50 / 9])
def test_truncation_removes_frequencies_above_its_cut(factor):
    size = math.ceil(9 * factor)
    matrix = kspace_truncation.axis_matrix(size, factor, None, kspace_truncation.Parameters())
    centres = (np.arange(len(matrix)) + 0.5) * factor - 0.5
    for frequency in range(size // 2 + 1):
        wave, expected = (np.exp(2j * np.pi * frequency * at / size) for at in (np.arange(size), centres))
        if frequency == size / 2:
            wave, expected = wave.real, expected.real
        kept = frequency < size / factor / 2
        np.testing.assert_allclose(matrix @ wave, expected * kept, atol=1e-10)


def test_partial_fourier_commutes_with_truncation_by_real_factor():
    half, cut = partial_fourier.Parameters(fraction=0.625), kspace_truncation.Parameters()
    after = partial_fourier.axis_matrix(16, 1, None, half) @ kspace_truncation.axis_matrix(40, 2.5, None, cut)
    before = kspace_truncation.axis_matrix(40, 2.5, None, cut) @ partial_fourier.axis_matrix(40, 2.5, None, half)
    np.testing.assert_allclose(before, after, atol=1e-10)


def test_default_thickness_is_real_slice_spacing():
    touching = slice_profile.axis_matrix(41, 5 / 0.9, 0.9, slice_profile.Parameters())
    five = slice_profile.axis_matrix(41, 5 / 0.9, 0.9, slice_profile.Parameters(thickness_mm=5.0))
    np.testing.assert_allclose(touching, five, atol=1e-12)


LOW, HIGH = (2 - math.sqrt(2)) / 8, (2 + math.sqrt(2)) / 8
BY_HAND = {
    ("binning", 4, 2): [[1 / 2, 1 / 2, 0, 0], [0, 0, 1 / 2, 1 / 2]],
    ("binning", 5, 5 / 2): [[2 / 5, 2 / 5, 1 / 5, 0, 0], [0, 0, 1 / 5, 2 / 5, 2 / 5]],
    ("decimation", 4, 2): [[1 / 2, 1 / 2, 0, 0], [0, 0, 1 / 2, 1 / 2]],
    ("decimation", 5, 5 / 2): [[1 / 4, 3 / 4, 0, 0, 0], [0, 0, 0, 3 / 4, 1 / 4]],
    ("decimation", 3, 3): [[0, 1, 0]],
    ("kspace_truncation", 4, 2): [[HIGH, HIGH, LOW, LOW], [LOW, LOW, HIGH, HIGH]],
    ("kspace_truncation", 3, 3): [[1 / 3, 1 / 3, 1 / 3]],
    # The kernel is (-3, -9, 29, 111, 111, 29, -9, -3) / 256, mirrored at the ends.
    ("antialiased_bicubic", 4, 2): np.array([[140, 102, 26, -12], [-12, 26, 102, 140]]) / 256,
    ("partial_fourier", 2, 1): [[3 / 4, 1 / 4], [1 / 4, 3 / 4]],
}
"""Matrices computed by hand, by operator, number of voxels and factor."""


@pytest.mark.parametrize("case", BY_HAND, ids=str)
def test_small_matrices_match_those_computed_by_hand(case):
    (found,) = matrices(*case)
    np.testing.assert_allclose(found, BY_HAND[case], atol=1e-12)


# Kernels


@pytest.mark.parametrize("size", [1, 3, 9, 40])
def test_blur_mirrors_ends_of_short_lines(size):
    kernel = samples(11)
    kernel = kernel + kernel[::-1]
    line = samples(size)
    expected = ndimage.convolve1d(line, kernel, mode="reflect")
    np.testing.assert_allclose(blur_matrix(size, kernel) @ line, expected, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(OPERATORS, name).COARSENS])
def test_operators_keep_cell_centres_of_ramp(name):
    """Away from the borders, a ramp is sampled at the coarse cell centres."""
    parameters = plugins.load(OPERATORS, name).Parameters()
    model = ForwardModel((4, 1), (256, 1), operators=(parameters,))
    # A wave is approximately a ramp at its centre, and periodic as required by k-space.
    wave = np.sin(2 * np.pi * (np.arange(256) - 127.5) / 256)
    expected = np.sin(2 * np.pi * (np.arange(64) * 4 + 1.5 - 127.5) / 256)
    np.testing.assert_allclose(model.coarsen(wave[:, None])[4:-4, 0], expected[4:-4], atol=2e-3)


# Missing sections


@pytest.mark.parametrize(
    ("depth", "sections", "expected"), [(0, 1, "11234567"), (1, 1, "01234566"), (0.5, 3, "01115567")]
)
def test_missing_sections_are_copies_of_the_nearest_that_remain(depth, sections, expected):
    parameters = missing_section.Parameters(depth=depth, sections=sections)
    found = missing_section.axis_matrix(8, 1, None, parameters) @ np.arange(8)
    assert "".join(str(int(one)) for one in found) == expected
    with pytest.raises(UserError, match="8 of 8 sections"):
        missing_section.axis_matrix(8, 1, None, missing_section.Parameters(sections=8))


def test_data_consistency_and_record_agree_on_missing_sections():
    steps = (binning.Parameters(), missing_section.Parameters(depth=(0.2, 0.8), sections=2))
    shape = (6, 5, 48)
    model = ForwardModel((1, 1, 4), shape, seed=3, operators=steps, operator_ranges=steps).redrawn(
        np.random.default_rng(4)
    )
    hr = samples(*shape)
    lr = model.simulate(hr)
    again = ForwardModel.from_json(json.loads(json.dumps(model.to_json())))
    assert again == model
    np.testing.assert_array_equal(again.simulate(hr), lr)
    binned = hr.reshape(6, 5, 12, 4).mean(axis=3)
    kept = np.isclose(lr, binned, atol=1e-6).all(axis=(0, 1))
    assert kept.sum() == 10, "the others are copies"
    start = np.repeat(binned.mean(axis=2, keepdims=True), 48, axis=2).astype(np.float32)
    corrected = apply_data_consistency(start, lr, model, 1.0)
    np.testing.assert_allclose(model.coarsen(corrected), lr, atol=1e-5)
