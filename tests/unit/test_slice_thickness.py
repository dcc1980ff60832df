"""Slice thickness estimated from the image alone: simulated stacks whose thickness is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import UserError
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.lengths import lengths_in_words
from pipeline.image.slice_profile import SliceProfile
from pipeline.inference.thick_slices import as_thick_slices
from pipeline.physics.forward import ForwardModel
from pipeline.physics.operators import decimation, slice_profile
from pipeline.physics.resolved_profile import resolved_profile
from pipeline.physics.slice_thickness import ThicknessEstimate, estimate_thickness
from tests.helpers import CHECKOUT

HEADS = CHECKOUT.parent / "shared/data/heads-oasis"
PERSONS = ("1006_SS.nii.gz", "1101_SS.nii.gz")
FWHM_PER_SIGMA = 2.354820045


@cache
def ball(size: int = 104) -> NDArray[np.float32]:
    """Return a ball of isotropic structure at two scales, in voxels of 1 mm."""
    noise = np.random.default_rng(5).standard_normal((2, size, size, size)).astype(np.float32)
    fine, coarse = (ndimage.gaussian_filter(one, sigma) for one, sigma in zip(noise, (0.9, 3.0), strict=True))
    inside = sum(((grid - size / 2) / (0.47 * size)) ** 2 for grid in np.ogrid[:size, :size, :size]) < 1
    return np.where(inside, 0.6 + 0.08 * fine / fine.std() + 0.12 * coarse / coarse.std(), 0).clip(0).astype(np.float32)


def with_noise(stack: NDArray, sigma: float) -> NDArray[np.float32]:
    """Add Rician noise."""
    real, imaginary = sigma * np.random.default_rng(1).standard_normal((2, *stack.shape))
    return np.hypot(stack + real, imaginary).astype(np.float32)


def stack_of(volume: NDArray, axis: int, step: int, thickness: float, sigma: float) -> NDArray[np.float32]:
    """Cut a volume into slices of a Gaussian profile, with scipy alone."""
    blurred = ndimage.gaussian_filter1d(volume, thickness / FWHM_PER_SIGMA, axis, truncate=6.0)
    return with_noise(np.take(blurred, range(step // 2, volume.shape[axis], step), axis), sigma)


def estimate(stack: NDArray, axis: int, spacing: float, in_plane: float = 1.0) -> ThicknessEstimate:
    sizes = tuple(spacing if other == axis else in_plane for other in range(3))
    return estimate_thickness(stack, foreground_mask(stack), sizes, axis)


@pytest.mark.parametrize(
    ("axis", "step", "share", "sigma"),
    [(0, 3, 1.0, 0.01), (1, 4, 0.9, 0.02), (2, 4, 1.2, 0.05), (2, 5, 1.0, 0.02), (1, 6, 0.9, 0.01), (0, 6, 1.2, 0.02)],
)
def test_the_thickness_of_isotropic_structure_is_found(axis: int, step: int, share: float, sigma: float) -> None:
    thickness = share * step
    found = estimate(stack_of(ball(), axis, step, thickness, sigma), axis, step)
    assert found.is_reliable, found.problem
    assert found.fwhm_mm == pytest.approx(thickness, rel=0.1)
    assert found.low_mm < found.fwhm_mm < found.high_mm


def test_the_forward_model_gives_the_same_as_scipy_and_millimetres_count() -> None:
    """Voxels of 0.8 mm, so that 5 of them are 4 mm; with an odd factor, both sample at the centre of a voxel."""
    operators = (slice_profile.Parameters(thickness_mm=4.4), decimation.Parameters())
    model = ForwardModel((1, 1, 5), ball().shape, operators=operators, slice_axis=2, spacing_mm=(0.8, 0.8, 0.8))
    found = estimate(model.coarsen(ball()), 2, 4.0, 0.8)
    assert found.fwhm_mm == pytest.approx(4.4, rel=0.1)
    by_scipy = estimate(stack_of(ball(), 2, 5, 5.5, 0.0), 2, 4.0, 0.8)
    assert found.fwhm_mm == pytest.approx(by_scipy.fwhm_mm, rel=0.03)


def test_a_rectangle_passes_for_a_narrower_gaussian() -> None:
    stack = ndimage.uniform_filter1d(ball(), 5, axis=2)[:, :, 2::5]
    found = estimate(stack, 2, 5.0)
    assert found.fwhm_mm == pytest.approx(np.sqrt(8 * np.log(2) / 12) * 5, rel=0.15)


@pytest.mark.parametrize(
    ("stack", "spacing", "in_plane", "problem"),
    [
        (lambda: ball()[:, :, 40:68:4], 4.0, 1.0, "fewer than 8 slices"),
        (lambda: ball()[:, :, ::2], 1.5, 1.0, "not much finer within the slices"),
        (lambda: ball()[:, :, ::4], 1.2, 0.3, "too little of the foreground"),
        (lambda: np.random.default_rng(0).random((104, 104, 26), dtype=np.float32) * (ball()[:, :, ::4] > 0), 4, 1, ""),
    ],
    ids=["few slices", "isotropic", "small", "noise"],
)
def test_what_cannot_be_estimated_is_marked(stack: Any, spacing: float, in_plane: float, problem: str) -> None:
    found = estimate(stack(), 2, spacing, in_plane)
    assert not found.is_reliable
    assert problem in found.problem


@pytest.mark.parametrize("person", PERSONS)
def test_the_thickness_of_stacks_of_real_heads_is_found(person: str) -> None:
    """Two skull-stripped heads of 1 mm, each cut along all axes with contiguous, spaced and overlapping slices."""
    if not (HEADS / person).is_file():
        pytest.skip(f"{HEADS / person} is not there")
    image: Any = nib.as_closest_canonical(nib.load(HEADS / person))  # pyright: ignore[reportPrivateImportUsage]
    head = np.asarray(image.dataobj, dtype=np.float32)
    head /= np.quantile(head[head > 0], 0.999)
    cases = [(axis, step, share) for axis, share in ((0, 0.9), (1, 1.2), (2, 1.0)) for step in (4, 6)]
    found = [estimate(stack_of(head, axis, step, share * step, 0.02), axis, step) for axis, step, share in cases]
    ratios = [one.fwhm_mm / (step * share) for one, (_, step, share) in zip(found, cases, strict=True)]
    assert all(one.is_reliable for one in found)
    assert np.abs(np.log(ratios)).max() < 0.15
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ((8e-6, 8e-6, 32e-6), "8 x 8 x 32 nm"),
        ((0.002, 0.002, 0.005), "2 x 2 x 5 µm"),
        ((0.0005, 0.0005, 0.1), "0.5 x 0.5 x 100 µm"),
        ((0.0005, 0.0005, 1.2344), "0.5 x 0.5 x 1230 µm"),
        ((0.9, 0.9375, 5), "0.9 x 0.938 x 5 mm"),
    ],
)
def test_lengths_have_the_unit_of_their_scale(lengths: tuple[float, ...], words: str) -> None:
    assert lengths_in_words(lengths) == words


def test_sections_of_electron_micrographs_have_lengths_in_nanometres(caplog: Any) -> None:
    caplog.set_level("INFO")
    nm = 1e-3  # in µm, the unit of OME-TIFF
    data = np.random.default_rng(0).random((64, 64, 20), dtype=np.float32)
    image = Image(
        data, np.diag([8 * nm, 8 * nm, 32 * nm, 1]), unit="um", masks={"foreground": np.ones(data.shape, bool)}
    )
    as_thick_slices(image, 0.02, None, "a")
    as_thick_slices(replace(image, slice_profile=SliceProfile(3.2e-5, "rect", "sidecar", 2)), 0.02, 2.8e-5, "b")
    with pytest.raises(UserError, match="voxels of 8 x 8 x 8 nm are not"):
        as_thick_slices(replace(image, affine=np.diag([8 * nm, 8 * nm, 8 * nm, 1])), 0.02, None, "c")
    for words in (
        "a: the slice thickness cannot be estimated: the estimate is for heads, and the slices measure 512 x 512 nm",
        "a: slices of 32 nm every 32 nm (contiguous), Gaussian profile, thickness assumed to equal the slice spacing",
        "b: the given slice thickness of 28 nm is used, but the file states 32 nm (sidecar)",
        "b: slices of 28 nm every 32 nm (gap of 4 nm), Gaussian profile, thickness as given by the user",
    ):
        assert words in caplog.text
    assert " mm" not in caplog.text


def test_given_then_stated_then_estimated_then_assumed(caplog: Any) -> None:
    caplog.set_level("INFO")
    stack = stack_of(ball(), 2, 4, 3.6, 0.02)
    image = Image(stack, np.diag([1.0, 1.0, 4.0, 1.0]))
    stated = replace(image, slice_profile=SliceProfile(3.0, "gaussian", "sidecar", 2))
    assert resolved_profile(stated, 3.5, "a") == SliceProfile(3.5, "gaussian", "given", 2)
    assert resolved_profile(stated, None, "b") == SliceProfile(3.0, "gaussian", "sidecar", 2)
    estimated = resolved_profile(image, None, "c")
    assert (estimated.source, estimated.axis) == ("estimated", 2)
    assert estimated.thickness_mm == pytest.approx(3.6, rel=0.1)
    thin = replace(image, data=stack[:, :, 8:15])
    assert resolved_profile(thin, None, "d") == SliceProfile(4.0, "gaussian", "assumed", 2)
    for words in (
        "a: the given slice thickness of 3.5 mm is used, but the file states 3 mm (sidecar)",
        "a: slices of 3.5 mm every 4 mm (gap of 0.5 mm), Gaussian profile, thickness as given by the user",
        "b: slices of 3 mm every 4 mm (gap of 1 mm), Gaussian profile, thickness from the BIDS sidecar",
        "Gaussian profile, thickness estimated from the image",
        "d: the slice thickness cannot be estimated: there are fewer than 8 slices",
        "d: slices of 4 mm every 4 mm (contiguous), Gaussian profile, thickness assumed to equal the slice spacing",
    ):
        assert words in caplog.text
    with pytest.raises(UserError, match="a slice thickness of -1 mm is impossible"):
        resolved_profile(image, -1.0)
