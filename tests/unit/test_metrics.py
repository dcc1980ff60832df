"""Test metrics against independent implementations of their formulas."""

import math
import tracemalloc
from functools import cache, partial
from importlib import resources
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.metrics import (
    edge_sharpness,
    frc,
    fsc,
    fsc_z,
    gmsd,
    haarpsi,
    hfen,
    lpips,
    ms_ssim,
    nrmse,
    psnr,
    residual_noise,
    ssim,
    ssim_3d,
    vgg_distance,
    vif,
)
from pipeline.metrics._shells import shell_correlation
from pipeline.metrics.evaluation.measure import ExtraInputs, measure
from pipeline.models.features import VggBlocks, read_features
from pipeline.models.lpips_weights import calibration_of
from pipeline.models.vgg import VggFeatures, read_vgg, save_vgg
from pipeline.tables.slices import WHOLE_VOLUME
from tests.helpers import described

METRICS = plugins.names("pipeline.metrics")

PIQ = {
    # piq 0.8.0 in float64 (gmsd, haarpsi and vif_p with data_range=1, the estimate first), on `photographs`.
    ("camera", "noise"): {"gmsd": 0.0938278802, "haarpsi": 0.7192947286, "vif": 0.3725915416},
    ("camera", "blur"): {"gmsd": 0.1175519645, "haarpsi": 0.6245843862, "vif": 0.3279930954},
    ("camera", "shift"): {"gmsd": 0.1180524039, "haarpsi": 0.6869251709, "vif": 0.3419001115},
    ("cell", "noise"): {"gmsd": 0.1071496248, "haarpsi": 0.5879053158, "vif": 0.1752647132},
    ("cell", "blur"): {"gmsd": 0.0030963262, "haarpsi": 0.9838880251, "vif": 0.8104730439},
    ("cell", "shift"): {"gmsd": 0.0354151726, "haarpsi": 0.9121209889, "vif": 0.8793274808},
}
"""Values of an independent implementation."""


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    reference = ndimage.gaussian_filter(generator.random((64, 57)), 2)
    reference = (reference - reference.min()) / np.ptp(reference)
    noise = generator.standard_normal(reference.shape)
    mask = np.zeros(reference.shape, dtype=bool)
    mask[9:50, 12:49] = True
    return reference, noise, mask


@pytest.fixture(scope="module")
def photographs():
    """Crops of even size of two photographs, with noise, blur and a shift."""
    generator = np.random.default_rng(0)
    parts = {"camera": data.camera()[100:356, 80:320], "cell": data.cell()[150:350, 150:410]}
    pairs = {}
    for name, part in parts.items():
        reference = part / 255
        noisy = np.clip(reference + 0.05 * generator.standard_normal(reference.shape), 0, 1)
        pairs[name, "noise"] = reference, noisy
        pairs[name, "blur"] = reference, ndimage.gaussian_filter(reference, 2.0)
        pairs[name, "shift"] = reference, np.roll(reference, 1, axis=1)
    return pairs


def ssim_map_of_the_paper(reference, estimate, full):
    """SSIM map of Wang et al. 2004: Gaussian window of 11 voxels, sigma 1.5, k1 = 0.01, k2 = 0.03, weighted moments."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / 2 / 1.5**2)
    window /= window.sum()

    def mean(picture):
        return ndimage.correlate1d(ndimage.correlate1d(picture, window, axis=0), window, axis=1)

    mu, nu = mean(reference), mean(estimate)
    variance, other = mean(reference**2) - mu**2, mean(estimate**2) - nu**2
    covariance = mean(reference * estimate) - mu * nu
    c1, c2 = (0.01 * full) ** 2, (0.03 * full) ** 2
    return (2 * mu * nu + c1) * (2 * covariance + c2) / ((mu**2 + nu**2 + c1) * (variance + other + c2))


@pytest.mark.parametrize("full", [1.0, 2.5])
def test_ssim_matches_formula_of_paper(pictures, full):
    reference, noise, mask = pictures
    estimate = reference + 0.1 * noise
    expected = ssim_map_of_the_paper(reference, estimate, full)
    assert ssim.per_slice(reference, estimate, mask, full) == pytest.approx(expected[mask].mean(), abs=1e-6)
    whole = np.ones_like(mask)
    assert ssim.per_slice(reference, estimate, whole, full) == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize("full", [1.0, 2.5])
def test_psnr_matches_formula_and_scikit_image(pictures, full):
    reference, noise, mask = pictures
    estimate = reference + 0.1 * noise
    squares = [(one - other) ** 2 for one, other in zip(reference[mask], estimate[mask], strict=True)]
    expected = 20 * math.log10(full) - 10 * math.log10(sum(squares) / len(squares))
    assert psnr.per_slice(reference, estimate, mask, full) == pytest.approx(expected, abs=1e-9)
    library = peak_signal_noise_ratio(reference, estimate, data_range=full)
    assert psnr.per_slice(reference, estimate, np.ones_like(mask), full) == pytest.approx(library, abs=1e-9)


@pytest.mark.parametrize("full", [1.0, 2.5])
@pytest.mark.parametrize("pair", PIQ, ids="-".join)
@pytest.mark.parametrize("name", ["gmsd", "haarpsi", "vif"])
def test_perceptual_metrics_match_piq(photographs, name, pair, full):
    reference, estimate = photographs[pair]
    whole = np.ones(reference.shape, dtype=bool)
    value = plugins.load("pipeline.metrics", name).per_slice(full * reference, full * estimate, whole, full)
    assert value == pytest.approx(PIQ[pair][name], abs=1e-9)


@pytest.mark.parametrize("name", ["gmsd", "haarpsi", "vif", "edge_sharpness", "residual_noise"])
def test_metric_depends_on_region_only(photographs, name):
    reference, blurred = photographs["camera", "blur"]
    left = np.zeros(reference.shape, dtype=bool)
    left[:, :120] = True
    spoilt_on_the_right = np.where(left, reference, blurred)
    metric = plugins.load("pipeline.metrics", name)
    inside = np.zeros(reference.shape, dtype=bool)
    inside[:, :72] = True  # no window of any metric extends from here to the right half
    assert metric.per_slice(reference, spoilt_on_the_right, inside, 1.0) == pytest.approx(metric.PERFECT, abs=1e-6)
    right = metric.per_slice(reference, spoilt_on_the_right, ~left, 1.0)
    assert right == pytest.approx(metric.per_slice(reference, blurred, ~left, 1.0), rel=0.03)
    assert right != pytest.approx(metric.PERFECT, abs=0.005)


@cache
def small_network():
    """A VGG with few features, random weights that keep activations non-zero, and a random calibration."""
    with mock.patch("pipeline.models.vgg.WIDTHS", (8,) * 5):
        network = VggFeatures("vgg16", "none")
    generator = torch.Generator().manual_seed(3)
    convolutions: Any = network.convolutions.values()
    for convolution in convolutions:
        torch.nn.init.kaiming_normal_(convolution.weight, generator=generator)
        torch.nn.init.zeros_(convolution.bias)
    return VggBlocks(network, tuple(np.random.default_rng(3).random((5, 8), dtype=np.float32)))


def evaluated(name, reference, estimate, mask):
    """Evaluate arrays (slices, rows, columns): the mean over slices, or the value of the whole volume."""
    facts = {"slice_axis": 0, "foreground_slices": range(len(reference)), "plane": "axial"}
    aids = ExtraInputs(ndimage.gaussian_filter(reference, 2.0), small_network())
    image = described(Image(reference, np.eye(4)), **facts)
    values = [(index, value) for _, index, value in measure(image, estimate, name, {"region": mask}, aids)]
    wholes = [value for index, value in values if index == WHOLE_VOLUME]
    return wholes[0] if wholes else float(np.mean([value for _, value in values]))


@pytest.fixture(scope="module")
def head():
    """A volume of 14 slices with structures of several sizes, and the region in its middle."""
    generator = np.random.default_rng(0)
    layers = [ndimage.gaussian_filter(generator.standard_normal((14, 64, 60)), sigma) for sigma in (1.0, 2.0, 4.0)]
    reference = np.sum([layer / layer.std() for layer in layers], axis=0)
    mask = np.zeros(reference.shape, dtype=bool)
    mask[1:13, 9:52, 10:50] = True
    return (reference - reference.min()) / np.ptp(reference), mask


def spots(shape):
    """Bright spots that are absent from the reference."""
    places = np.zeros(shape)
    rows = np.random.default_rng(1).integers([s // 4 for s in shape], [3 * s // 4 for s in shape], size=(40, 3))
    places[tuple(rows.T)] = 1.0
    drawn = ndimage.gaussian_filter(places, 0.7)
    return drawn / drawn.max()


DAMAGES = {
    "noise": lambda reference, much: (
        reference + 0.03 * much * np.random.default_rng(2).standard_normal(reference.shape)
    ),
    "blur": lambda reference, much: ndimage.gaussian_filter(reference, 0.6 * much),
    "shift": lambda reference, much: ndimage.shift(reference, (0, 0, 0.5 * much), order=3, mode="nearest"),
    "spots": lambda reference, much: reference + 0.2 * much * spots(reference.shape),
}
"""Damages of an image, which increase with the number."""

BLIND = {
    ("edge_sharpness", "shift"): "the mean gradient over edges that are shifted by a voxel is nearly the same",
    ("frc", "blur"): "frequencies that are attenuated uniformly still correlate in the absence of noise",
    ("fsc_z", "shift"): "a shift in the plane hardly moves the phases of frequencies near the slice axis",
    ("fsc_z", "spots"): "the few frequencies in a cone of twelve slices stay above the threshold",
    ("residual_noise", "blur"): "only flat regions of the reference are evaluated, which blur does not change",
}
"""Metrics that are insensitive to a damage, for which no order is required."""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_monotonic_in_damage(name, damage, head):
    reference, mask = head
    metric = plugins.load("pipeline.metrics", name)
    assert evaluated(name, reference, reference.copy(), mask) == pytest.approx(metric.PERFECT, abs=1e-6)
    if (name, damage) not in BLIND:
        scores = [
            metric.PERFECT,
            *(evaluated(name, reference, DAMAGES[damage](reference, much), mask) for much in (0.5, 1, 2)),
        ]
        assert scores == sorted(scores, reverse=metric.HIGHER_IS_BETTER)
        assert scores[0] != scores[-1] != scores[-2]


@pytest.mark.parametrize("name", METRICS)
def test_flat_volumes_have_values(name):
    flat = np.full((14, 45, 48), 0.25)
    whole = np.ones(flat.shape, dtype=bool)
    metric = plugins.load("pipeline.metrics", name)
    assert evaluated(name, flat, flat.copy(), whole) == pytest.approx(metric.PERFECT)
    noisy = flat + 0.1 * np.random.default_rng(0).standard_normal(flat.shape)
    assert not math.isnan(evaluated(name, flat, noisy, whole))


@pytest.mark.parametrize("name", METRICS)
def test_region_of_single_voxel_has_finite_value(name):
    reference = np.random.default_rng(0).random((14, 45, 49))
    single = np.zeros(reference.shape, dtype=bool)
    single[7, 23, 21] = True
    assert math.isfinite(evaluated(name, reference, reference + 0.1, single))


def test_gmsd_of_region_is_standard_deviation_of_map():
    # Ramps: at half resolution, the step between voxels is 2 * slope, and the Prewitt operator gives twice this step.
    # The similarity is constant in the wrong ramp and 1 in the right one.
    slope, wrong = 0.01, 0.02
    reference = np.tile(slope * np.arange(80.0), (40, 1))
    estimate = np.vstack([reference[:20], wrong / slope * reference[20:]])
    one, other, constant = 4 * slope, 4 * wrong, 170 / 255**2
    similarity = (2 * one * other + constant) / (one**2 + other**2 + constant)
    mask = np.zeros(reference.shape, dtype=bool)
    mask[6:16, 20:60] = mask[24:34, 20:60] = True
    assert gmsd.per_slice(reference, estimate, mask, 1.0) == pytest.approx((1 - similarity) / 2, abs=1e-12)


def test_haarpsi_decreases_with_blur(photographs):
    reference, _ = photographs["camera", "blur"]
    whole = np.ones(reference.shape, dtype=bool)
    scores = [
        haarpsi.per_slice(reference, ndimage.gaussian_filter(reference, sigma), whole, 1.0) for sigma in (0.5, 1, 2, 4)
    ]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < 0.5


def test_vif_increases_and_decreases_with_contrast(photographs):
    reference, _ = photographs["camera", "blur"]
    whole = np.ones(reference.shape, dtype=bool)
    assert vif.per_slice(reference, 1.3 * reference, whole, 1.0) > 1
    assert vif.per_slice(reference, 0.7 * reference, whole, 1.0) < 1


def test_vif_rejects_slices_smaller_than_windows():
    small = np.zeros((40, 64))
    with pytest.raises(UserError, match="40 x 64"):
        vif.per_slice(small, small, small == 0, 1.0)
    border = np.zeros((64, 64), dtype=bool)
    border[:3, :] = True
    with pytest.raises(UserError, match="within 8 voxels of the border"):
        vif.per_slice(np.zeros((64, 64)), np.zeros((64, 64)), border, 1.0)


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 2.0, 4.0])
def test_edge_sharpness_is_gradient_ratio_or_its_inverse(photographs, factor):
    reference, _ = photographs["camera", "blur"]
    whole = np.ones(reference.shape, dtype=bool)
    assert edge_sharpness.steepness_ratio(reference, factor * reference + 3, whole) == pytest.approx(factor)
    assert edge_sharpness.per_slice(reference, factor * reference + 3, whole, 1.0) == pytest.approx(
        min(factor, 1 / factor)
    )


def test_edge_sharpness_of_blurred_steps_matches_closed_form():
    # The 10 % of 20 columns with the largest gradient are the two next to the step, 0.5 voxels from it. The Sobel
    # operator takes half the difference of their neighbours, which are 0.5 and 1.5 voxels from it on either side.
    mask = np.zeros((60, 60), dtype=bool)
    mask[10:50, 20:40] = True

    def gradient(sigma):
        return (math.erf(1.5 / (math.sqrt(2) * sigma)) + math.erf(0.5 / (math.sqrt(2) * sigma))) / 4

    def step(sigma):
        return np.tile([0.5 * math.erf((column - 29.5) / (math.sqrt(2) * sigma)) for column in range(60)], (60, 1))

    expected = gradient(3.0) / gradient(1.5)
    assert edge_sharpness.per_slice(step(1.5), step(3.0), mask, 1.0) == pytest.approx(expected, abs=1e-9)
    assert edge_sharpness.per_slice(step(3.0), step(1.5), mask, 1.0) == pytest.approx(expected, abs=1e-9)


def test_edge_sharpness_is_zero_if_one_image_has_no_edges():
    flat = np.zeros((45, 45))
    noisy = np.random.default_rng(0).random(flat.shape)
    assert edge_sharpness.per_slice(flat, noisy, flat == 0, 1.0) == 0
    assert edge_sharpness.per_slice(noisy, flat, flat == 0, 1.0) == 0


@pytest.mark.parametrize("full", [1.0, 2.5])
def test_residual_noise_of_white_noise_is_its_standard_deviation(full):
    generator = np.random.default_rng(0)
    reference = np.tile(np.sin(np.linspace(0, 9, 300)), (300, 1))
    estimate = reference + 0.05 * generator.standard_normal(reference.shape)
    whole = np.ones(reference.shape, dtype=bool)
    assert residual_noise.per_slice(reference, estimate, whole, full) == pytest.approx(0.05 / full, rel=0.02)


def test_residual_noise_ignores_offsets_and_lost_edges():
    reference = np.zeros((80, 80))
    reference[:, 40:] = 1.0
    whole = np.ones(reference.shape, dtype=bool)
    blurred = ndimage.gaussian_filter(reference, 1.0)
    assert residual_noise.per_slice(reference, reference + 0.3, whole, 1.0) == pytest.approx(0, abs=1e-12)
    assert residual_noise.per_slice(reference, blurred, whole, 1.0) == pytest.approx(0, abs=1e-4)


def test_error_of_tenth_of_range_is_20_db():
    reference = np.zeros((12, 12), dtype=np.float32)
    mask = np.ones(reference.shape, dtype=bool)
    assert psnr.per_slice(reference, reference + np.float32(0.1), mask, 1.0) == pytest.approx(20, abs=1e-5)


def test_psnr_ignores_voxels_outside_mask(pictures):
    reference, noise, mask = pictures
    estimate = reference + 0.1 * noise
    elsewhere = np.where(mask, estimate, 7.0)
    assert psnr.per_slice(reference, estimate, mask, 1.0) == psnr.per_slice(reference, elsewhere, mask, 1.0)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_defines_its_constants(name):
    metric = plugins.load("pipeline.metrics", name)
    assert metric.TITLE
    assert metric.RANGE
    assert metric.SOURCE
    assert isinstance(metric.UNIT, str)
    assert isinstance(metric.DECIMALS, int)


def test_ssim_rejects_slices_smaller_than_window():
    small = np.zeros((10, 40))
    with pytest.raises(UserError, match="10 x 40 voxels are too few for ssim, "):
        ssim.per_slice(small, small, small == 0, 1.0)
    flat = np.zeros((8, 40, 40))
    with pytest.raises(UserError, match="8 x 40 x 40 voxels are too few for ssim_3d, "):
        ssim_3d.per_volume(flat, flat, flat == 0, 1.0, (1, 1, 1))


def rings_one_by_one(one, other):
    """Compute the ring correlation by its definition, with another transform and no shared code."""
    window = np.hanning(one.shape[0])[:, None] * np.hanning(one.shape[1])[None, :]
    spectra = [np.fft.fftshift(np.fft.fft2((image - np.mean(image)) * window)) for image in (one, other)]
    radius = np.empty(one.shape)
    for row in range(one.shape[0]):
        for column in range(one.shape[1]):
            y, x = (row - one.shape[0] // 2) / one.shape[0], (column - one.shape[1] // 2) / one.shape[1]
            radius[row, column] = math.sqrt(x * x + y * y)
    width = 1 / (2 * (min(one.shape) // 2))
    values = []
    for ring in range(min(one.shape) // 2):
        chosen = (radius >= ring * width - 1e-12) & (radius < (ring + 1) * width - 1e-12)
        first, second = (spectrum[chosen] for spectrum in spectra)
        values.append(float(np.vdot(second, first).real / np.linalg.norm(first) / np.linalg.norm(second)))
    return np.array(values)


@pytest.mark.parametrize("shape", [(48, 48), (40, 33)])
def test_ring_correlation_matches_definition(shape):
    generator = np.random.default_rng(5)
    one = ndimage.gaussian_filter(generator.random(shape), 1.0)
    other = one + 0.05 * generator.standard_normal(shape)
    _, found = shell_correlation(one, other)
    assert np.allclose(found, rings_one_by_one(one, other), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("cut_off", [0.1, 0.2, 0.35])
def test_frc_finds_cut_off_frequency(cut_off):
    reference = np.random.default_rng(6).random((128, 128))
    rows, columns = (np.fft.fftfreq(128) for _ in range(2))
    kept = np.hypot(rows[:, None], columns) < cut_off
    noise = np.random.default_rng(7).random((128, 128))
    mixed = np.where(kept, np.fft.fft2(reference), np.fft.fft2(noise))
    mask = np.ones(reference.shape, dtype=bool)
    assert frc.per_slice(reference, np.fft.ifft2(mixed).real, mask, 1.0) == pytest.approx(cut_off, abs=0.012)


def test_cut_off_is_zero_without_correlation_or_for_tiny_regions():
    one, other = np.random.default_rng(8).random((2, 64, 64))
    mask = np.ones((64, 64), dtype=bool)
    assert frc.per_slice(one, other, mask, 1.0) == 0
    mask[6:] = False
    assert frc.per_slice(one, one, mask, 1.0) == 0


@pytest.mark.parametrize("full", [1.0, 2.5])
def test_nrmse_matches_scikit_image(pictures, full):
    reference, noise, mask = pictures
    estimate = reference + 0.1 * noise
    expected = normalized_root_mse(reference[mask], estimate[mask], normalization="euclidean")
    assert nrmse.per_slice(full * reference, full * estimate, mask, full) == pytest.approx(expected, rel=1e-9)


def test_relative_errors_are_infinite_for_empty_reference():
    empty, mask = np.zeros((20, 20)), np.ones((20, 20), dtype=bool)
    for metric in (nrmse, hfen):
        assert metric.per_slice(empty, empty, mask, 1.0) == 0
        assert metric.per_slice(empty, np.random.default_rng(0).random((20, 20)), mask, 1.0) == math.inf


def fspecial_log(side, sigma):
    """Laplacian of Gaussian by the documented formula of MATLAB, shifted to zero sum."""
    y, x = np.mgrid[-(side // 2) : side // 2 + 1, -(side // 2) : side // 2 + 1]
    gaussian = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    kernel = gaussian * (x**2 + y**2 - 2 * sigma**2) / (sigma**4 * gaussian.sum())
    return kernel - kernel.mean()


@pytest.mark.parametrize("damage", ["noise", "blur", "shift"])
def test_hfen_matches_two_dimensional_convolution(photographs, damage):
    reference, estimate = photographs["camera", damage]
    mask = np.zeros(reference.shape, dtype=bool)
    mask[3:200, 0:150] = True
    kernel = torch.tensor(fspecial_log(15, 1.5))[None, None]

    def filtered(picture):
        wide = functional.pad(torch.tensor(picture)[None, None], (7, 7, 7, 7), mode="replicate")
        return functional.conv2d(wide, kernel)[0, 0].numpy()

    one, other = filtered(reference)[mask], filtered(estimate)[mask]
    expected = np.linalg.norm(one - other) / np.linalg.norm(one)
    assert hfen.per_slice(reference, estimate, mask, 1.0) == pytest.approx(expected, rel=1e-9)


def torchmetrics_ssim(reference, estimate, **settings):
    """Return the second result of torchmetrics' structural similarity, without axes of length 1."""
    one, other = (torch.tensor(picture)[None, None] for picture in (estimate, reference))
    found: Any = structural_similarity_index_measure(one, other, **settings)
    return found[1].numpy().squeeze()


@pytest.mark.parametrize(("damage", "full"), [("noise", 2.5), ("blur", 1.0), ("shift", 1.0)])
def test_ms_ssim_matches_torchmetrics_at_every_scale(photographs, damage, full):
    """Borders are excluded, since torchmetrics mirrors the picture differently."""
    one, other = (full * picture[:192, :224] for picture in photographs["camera", damage])
    for _ in range(4):
        structure, luminance = (drawn[5:-5, 5:-5] for drawn in ms_ssim.similarity_maps(one, other, full))
        contrast = torchmetrics_ssim(one, other, data_range=full, return_contrast_sensitivity=True)
        similarity = torchmetrics_ssim(one, other, data_range=full, return_full_image=True)
        assert structure.mean() == pytest.approx(contrast, rel=1e-4)
        assert (structure * luminance).mean() == pytest.approx(similarity[5:-5, 5:-5].mean(), rel=1e-4)
        one, other = (functional.avg_pool2d(torch.tensor(one)[None], 2)[0].numpy() for one in (one, other))


def test_ms_ssim_of_region_is_product_over_scales(photographs):
    reference, estimate = one, other = photographs["camera", "blur"]
    mask = np.zeros(reference.shape, dtype=bool)
    mask[64:192, 48:160] = True
    product = 1.0
    for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        similar = contrast_map(one, other)
        if scale == 4:
            similar = ssim_map_of_the_paper(one, other, 1.0)
        product *= similar[mask[:: 2**scale, :: 2**scale]].mean() ** exponent
        one, other = (functional.avg_pool2d(torch.tensor(one)[None], 2)[0].numpy() for one in (one, other))
    assert ms_ssim.per_slice(reference, estimate, mask, 1.0) == pytest.approx(product, rel=1e-4)


def contrast_map(one, other):
    """Compute the contrast and structure term with a two-dimensional window, far from the borders."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(picture):
        return ndimage.correlate(picture, window)

    covariance = mean(one * other) - mean(one) * mean(other)
    variances = mean(one**2) - mean(one) ** 2 + mean(other**2) - mean(other) ** 2
    return (2 * covariance + 0.03**2) / (variances + 0.03**2)


def test_ms_ssim_uses_scales_that_fit_and_rejects_smaller_slices():
    reference = ndimage.gaussian_filter(np.random.default_rng(0).random((30, 30)), 1)
    estimate = reference + 0.1
    mask = np.ones(reference.shape, dtype=bool)
    structure, luminance = ms_ssim.similarity_maps(reference, estimate, 1.0)
    one, other = (ms_ssim.halve(picture) for picture in (reference, estimate))
    coarse = np.prod(ms_ssim.similarity_maps(one, other, 1.0), axis=0)
    shares = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    expected = structure.mean() ** shares[0] * coarse.mean() ** shares[1]
    assert ms_ssim.per_slice(reference, estimate, mask, 1.0) == pytest.approx(expected)
    assert luminance.mean() < 1
    with pytest.raises(UserError, match="10 x 30 voxels are too small for MS-SSIM"):
        ms_ssim.per_slice(reference[:10], estimate[:10], mask[:10], 1.0)


def test_ssim_of_volume_matches_torchmetrics(head):
    reference = head[0][:, :20, :20]
    estimate = DAMAGES["noise"](reference, 1)
    expected = torchmetrics_ssim(reference, estimate, data_range=1.0, return_full_image=True)
    inner = np.zeros(reference.shape, dtype=bool)
    inner[5:-5, 5:-5, 5:-5] = True
    value = ssim_3d.per_volume(reference, estimate, inner, 1.0, (1, 1, 1))
    assert value == pytest.approx(expected[inner].mean(), rel=1e-4)


def test_ssim_map_is_independent_of_slabs(monkeypatch):
    generator = np.random.default_rng(3)
    reference = ndimage.gaussian_filter(generator.random((47, 20, 18)), 1)
    estimate = reference + 0.1 * generator.random(reference.shape)
    whole = ssim.per_voxel(reference, estimate, 1.0)
    monkeypatch.setattr(ssim_3d, "slabs", partial(ssim_3d.slabs, max_voxels=20 * 18 * 12))
    assert len(ssim_3d.slabs(reference.shape)) == 4
    np.testing.assert_allclose(ssim_3d.per_voxel(reference, estimate, 1.0, (1, 1, 1)), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "max_voxels", "count"), [((200, 512, 512), 2**23, 7), ((200, 512, 512), 1, 18), ((11, 30, 30), 2**23, 1)]
)
def test_slabs_cover_volume_and_are_not_thinner_than_window(shape, max_voxels, count):
    found = ssim_3d.slabs(shape, max_voxels)
    assert len(found) == count
    assert [stop for _, stop in found[:-1]] == [start for start, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (0, shape[0])
    assert min(stop - start for start, stop in found) >= 11


@pytest.mark.parametrize(("metric", "max_bytes"), [(ssim_3d, 64), (fsc, 40)])
def test_memory_per_voxel_of_volume_metrics_is_limited(metric, max_bytes, monkeypatch):
    monkeypatch.setattr(ssim_3d, "slabs", partial(ssim_3d.slabs, max_voxels=2**18))
    reference, estimate = np.random.default_rng(0).random((2, 64, 160, 160), dtype=np.float32)
    tracemalloc.start()
    metric.per_volume(reference, estimate, np.ones(reference.shape, dtype=bool), 1.0, (1, 1, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / reference.size < max_bytes


def test_inconsistent_slices_reduce_only_three_dimensional_ssim():
    generator = np.random.default_rng(0)
    reference = np.repeat(ndimage.gaussian_filter(generator.random((1, 48, 48)), (0, 1, 1)), 16, axis=0)
    offsets = 0.05 * (-1.0) ** np.arange(16)[:, None, None]
    mask = np.ones(reference.shape, dtype=bool)
    flat = np.mean([ssim.per_slice(*pair, mask[0], 1.0) for pair in zip(reference, reference + offsets, strict=True)])
    assert flat > 0.95 > ssim_3d.per_volume(reference, reference + offsets, mask, 1.0, (1, 1, 1)) + 0.15


@pytest.mark.parametrize("cone", [None, 30.0])
@pytest.mark.parametrize(("shape", "spacing"), [((24, 26, 22), (1, 1, 1)), ((12, 24, 31), (2, 1, 0.8))])
def test_shell_correlation_matches_definition(shape, spacing, cone):
    generator = np.random.default_rng(5)
    one = ndimage.gaussian_filter(generator.random(shape), 0.7)
    other = one + 0.03 * generator.standard_normal(shape)
    frequencies, found = shell_correlation(one, other, spacing, cone)
    spectra = []
    for volume in (one, other):
        windowed = np.einsum("ijk,i,j,k->ijk", volume - volume.mean(), *map(np.hanning, shape))
        spectra.append(np.fft.fftshift(np.fft.fftn(windowed)))
    steps = [(np.arange(size) - size // 2) / (size * length) for size, length in zip(shape, spacing, strict=True)]
    grid = np.meshgrid(*steps, indexing="ij")
    radius = np.sqrt(sum(step**2 for step in grid))  # cycles per unit of the spacing
    angles = np.degrees(np.arccos(np.abs(grid[0]) / np.maximum(radius, 1e-12)))
    nyquist = 0.5 / max(spacing)
    count = int(min(np.multiply(shape, spacing)) / max(spacing)) // 2 if cone is None else shape[0] // 2
    expected = []
    for shell in range(count):
        chosen = (radius >= shell * nyquist / count - 1e-12) & (radius < (shell + 1) * nyquist / count - 1e-12)
        if cone is not None:
            chosen &= (angles < cone) & (radius > 0)
        if not chosen.any():
            expected.append(1)
            continue
        first, second = (spectrum[chosen] for spectrum in spectra)
        expected.append(np.vdot(second, first).real / np.linalg.norm(first) / np.linalg.norm(second))
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-9)
    assert frequencies[-1] == pytest.approx(0.5 - 0.25 / count)


@pytest.mark.parametrize("cut_off", [0.15, 0.3])
def test_fsc_finds_cut_off_frequency(cut_off):
    reference, noise = np.random.default_rng(6).random((2, 40, 40, 40))
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(*(np.fft.fftfreq(40),) * 3, indexing="ij")))
    mixed = np.fft.ifftn(np.where(radius < cut_off, np.fft.fftn(reference), np.fft.fftn(noise))).real
    mask = np.ones(reference.shape, dtype=bool)
    assert fsc.per_volume(reference, mixed, mask, 1.0, (1, 1, 1)) == pytest.approx(cut_off, abs=0.02)


@pytest.mark.parametrize(("cut_off", "height", "side"), [(0.15, 1.0, 48), (0.22, 2.0, 96)])
def test_fsc_along_z_of_volume_with_limited_band_matches_solid_angles(cut_off, height, side):
    """Of white noise, the frequencies below a cut-off along z are kept and the others replaced, of the same power."""
    shape, spacing = (64, side, side), (height, 1.0, 1.0)
    reference, noise = np.random.default_rng(6).random((2, *shape))
    kept = np.abs(np.fft.fftfreq(shape[0]))[:, None, None] < cut_off
    mixed = np.fft.ifftn(np.where(kept, np.fft.fftn(reference), np.fft.fftn(noise))).real
    mask = np.ones(shape, dtype=bool)
    # In a shell of radius r, the cosine of the angle to the z axis is distributed uniformly: half of a cone is kept
    # where cut-off / r is the middle of its cosines, half of a sphere where it is 1/2.
    expected = 2 * cut_off / (1 + math.cos(math.radians(20)))
    assert fsc_z.per_volume(reference, mixed, mask, 1.0, spacing) == pytest.approx(expected, abs=0.01)
    assert fsc.per_volume(reference, mixed, mask, 1.0, spacing) == pytest.approx(2 * cut_off, abs=0.02)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """A VGG16 with random weights that keep activations non-zero, as a torch module and as read by the metric."""
    torch.manual_seed(0)
    network = VggFeatures("vgg16", "imagenet")
    convolutions: Any = network.convolutions.values()
    for convolution in convolutions:
        torch.nn.init.kaiming_normal_(convolution.weight)
        torch.nn.init.normal_(convolution.bias, std=0.1)
    path = tmp_path_factory.mktemp("vgg") / "features.safetensors"
    save_vgg(path, network)
    return network, read_features(path)


def test_vgg_distance_matches_torch(vgg, photographs):
    network, features = vgg
    reference, estimate = (picture[:48, :64] for picture in photographs["camera", "noise"])
    last = ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3")
    sides = [torch.tensor(picture, dtype=torch.float32)[None, None] for picture in (reference, estimate)]
    found = [network(one, last, before_activation=False) for one in sides]
    parts = [
        (functional.normalize(found[0][name]) - functional.normalize(found[1][name])).square().sum(1) for name in last
    ]
    expected = float(np.mean([float(part.mean()) for part in parts]))
    whole = np.ones(reference.shape, dtype=bool)
    value = vgg_distance.per_slice(2.5 * reference, 2.5 * estimate, whole, 2.5, features)
    assert value == pytest.approx(expected, rel=1e-4)
    quarter = np.zeros_like(whole)
    quarter[16:32, 16:48] = True
    here = [float(part[0, 16 >> n : 32 >> n, 16 >> n : 48 >> n].mean()) for n, part in enumerate(parts)]
    assert vgg_distance.per_slice(reference, estimate, quarter, 1.0, features) == pytest.approx(np.mean(here), rel=1e-4)


def test_lpips_matches_definition(tmp_path, vgg, photographs):
    network, uncalibrated = vgg
    save_vgg(tmp_path / "features.safetensors", network, calibration_of(network))
    features = read_features(tmp_path / "features.safetensors")
    reference, estimate = (picture[:48, :64] for picture in photographs["camera", "noise"])
    theirs = resources.files("torchmetrics.functional.image.lpips_models") / "vgg.pth"
    with resources.as_file(theirs) as path:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # The scaling layer of the authors' code, for images between -1 and 1.
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    total = 0.0
    sides = [
        2 * torch.tensor(picture, dtype=torch.float32).expand(1, 3, -1, -1) - 1 for picture in (reference, estimate)
    ]
    sides = [(one - shift[:, None, None]) / scale[:, None, None] for one in sides]
    number = 0
    for name, convolution in network.convolutions.items():
        if name.endswith("_1") and name != "conv1_1":
            sides = [functional.max_pool2d(one, 2) for one in sides]
        sides = [functional.relu(convolution(one)) for one in sides]
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            first, second = (one / (one.square().sum(1, keepdim=True).sqrt() + 1e-10) for one in sides)
            weights = state[f"lin{number}.model.1.weight"]
            total += float(functional.conv2d((first - second).square(), weights).mean())
            number += 1
    value = lpips.per_slice(3 * reference, 3 * estimate, np.ones(reference.shape, dtype=bool), 3.0, features)
    assert value == pytest.approx(total, rel=1e-4)
    again = read_vgg(tmp_path / "features.safetensors").state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in network.state_dict().items())
    with pytest.raises(UserError, match="lpips requires the VGG16 trained on ImageNet"):
        lpips.per_slice(reference, estimate, np.ones(reference.shape, dtype=bool), 1.0, uncalibrated)


def test_small_pictures_and_wrong_feature_files_are_reported(tmp_path, vgg):
    small = np.zeros((15, 40))
    with pytest.raises(UserError, match="15 x 40 voxels are too small for the VGG distance"):
        vgg_distance.per_voxel(small, small, 1.0, vgg[1])
    for name, content in {"absent": None, "wrong": b"not one"}.items():
        path = tmp_path / f"{name}.safetensors"
        if content:
            path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}\.safetensors: is not a feature network"):
            read_features(path)
