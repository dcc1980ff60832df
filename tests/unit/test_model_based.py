"""Model-based reconstruction against dense algebra and other libraries, for forward models of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import optimize
from skimage.restoration import denoise_tv_chambolle

from pipeline.baselines import _model_based, least_squares, total_variation, zerofill
from pipeline.baselines.tuning.apply import default_settings, upsample
from pipeline.image.image import Image
from pipeline.image.stack import Stack
from pipeline.physics.degradation import degrade
from pipeline.physics.excerpts import contiguous_excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.operators import (
    airy_psf,
    antialiased_bicubic,
    binning,
    decimation,
    gaussian_psf,
    kspace_truncation,
    partial_fourier,
    slice_profile,
)
from pipeline.physics.reconstruction import Effort, Penalty, reconstruct
from pipeline.physics.volume_measurement import VolumeMeasurement
from tests.helpers import described, ras_affine, synthetic_head

pytestmark = pytest.mark.usefixtures("one_thread")
MANY = Effort(1, 2000, 1e-7)
MICROMETRE = (2.5e-4, 2.5e-4, 1e-3)


def model(factors: Sequence[float], shape: tuple[int, ...], *operators: Any, **changes: Any) -> ForwardModel:
    return ForwardModel(tuple(factors), shape, operators=operators, **changes)


MODELS = {
    "k-space": model((2, 2, 1), (8, 6, 3), kspace_truncation.Parameters()),
    "partial Fourier": model((2, 2, 1), (8, 6, 3), partial_fourier.Parameters(), kspace_truncation.Parameters()),
    "thick slices": model((1, 1, 3), (4, 5, 9), slice_profile.Parameters(), decimation.Parameters()),
    "thick sagittal slices": model(
        (2.5, 1, 1), (10, 4, 5), slice_profile.Parameters(), binning.Parameters(), slice_axis=0
    ),
    "not separable": model((2, 2, 1), (8, 6, 3), airy_psf.Parameters(), binning.Parameters(), spacing_mm=MICROMETRE),
    "isotropic": model((2, 2, 2), (8, 6, 4), gaussian_psf.Parameters(fwhm_voxels=2.0), binning.Parameters()),
    "resized": model((3, 3, 1), (8, 6, 2), antialiased_bicubic.Parameters()),
    "pictures": model((2, 2, 1), (8, 6, 3), kspace_truncation.Parameters(window="hamming"), still_axis=2),
    "one picture": model((2, 2), (8, 6), kspace_truncation.Parameters()),
}
"""Spacings and axes differ, so that a mistake in either shows."""


def dense(forward: ForwardModel) -> NDArray[np.float64]:
    """The operator as a matrix, from the forward model's own `coarsen`."""
    padded = replace(forward, hr_shape=forward.padded_shape)
    units = np.eye(int(np.prod(padded.hr_shape))).reshape(-1, *padded.hr_shape)
    return np.stack(
        [padded.coarsen(unit)[tuple(map(slice, forward.lr_shape))].ravel() for unit in units], axis=1
    ).astype(np.float64)


def differences(shape: tuple[int, ...], scales: Sequence[float]) -> list[NDArray[np.float64]]:
    """Forward differences along each axis as matrices; the last voxel of a line has none."""
    found = []
    for axis, scale in enumerate(scales):
        step = scale * np.diff(np.eye(shape[axis] + 1)[:-1], axis=0)[:, :-1]
        parts = [
            np.vstack([step, np.zeros((1, size))]) if place == axis else np.eye(size)
            for place, size in enumerate(shape)
        ]
        whole = np.eye(1)
        for part in parts:
            whole = np.kron(whole, part)
        found.append(whole)
    return found


def measured(forward: ForwardModel) -> NDArray[np.float32]:
    return np.random.default_rng(1).random(forward.lr_shape, dtype=np.float32)


def start(lr: NDArray[np.float32], forward: ForwardModel) -> torch.Tensor:
    return torch.from_numpy(zerofill.upsample(lr, forward, {}))


@pytest.mark.parametrize("name", MODELS)
def test_the_adjoint_and_the_diagonal_are_those_of_the_operator(name):
    forward = MODELS[name]
    matrix, generator = dense(forward), np.random.default_rng(0)
    measurement = VolumeMeasurement(measured(forward), forward)
    x = torch.from_numpy(generator.random(forward.padded_shape, dtype=np.float32))
    y = torch.from_numpy(generator.random(forward.lr_shape, dtype=np.float32))
    np.testing.assert_allclose(measurement.forward(x).ravel(), matrix @ x.ravel().numpy(), atol=1e-5)
    assert float((measurement.forward(x) * y).sum()) == pytest.approx(
        float((x * measurement.adjoint(y)).sum()), rel=1e-5
    )
    np.testing.assert_allclose(measurement.diagonal().reshape(-1), (matrix**2).sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_least_squares_solve_the_normal_equations(name):
    forward, weight = MODELS[name], 0.02
    matrix, lr = dense(forward), measured(forward)
    scales = _model_based.neighbour_scales(forward)
    steps = differences(forward.padded_shape, scales)
    normal = matrix.T @ matrix + weight * sum(step.T @ step for step in steps)
    expected = np.linalg.solve(normal, matrix.T @ lr.ravel()).reshape(forward.padded_shape)
    found = reconstruct(
        [VolumeMeasurement(lr, forward)], Penalty("quadratic", weight, scales), start(lr, forward), MANY
    )
    np.testing.assert_allclose(found, expected, atol=2e-4)
    result = least_squares.upsample(lr, forward, {"weight": weight})
    assert result.dtype == np.float32 and result.shape == forward.padded_shape
    assert np.sqrt(np.mean((result - expected) ** 2)) < 5e-3


@pytest.mark.parametrize("name", ["k-space", "thick slices", "not separable", "one picture"])
def test_total_variation_minimises_its_objective(name):
    forward, weight, smoothing = MODELS[name], 0.02, 0.05
    matrix, lr = dense(forward), measured(forward)
    scales = _model_based.neighbour_scales(forward)
    steps = np.stack(differences(forward.padded_shape, scales))

    def objective(x: NDArray[np.floating]) -> tuple[float, NDArray[np.float64]]:
        error, slopes = matrix @ x - lr.ravel(), steps @ x
        lengths = np.sqrt(np.sum(slopes**2, axis=0) + smoothing**2)
        gradient = matrix.T @ error + weight * np.einsum("aij,ai->j", steps, slopes / lengths)
        return 0.5 * float(error @ error) + weight * float(lengths.sum()), gradient

    first = start(lr, forward)
    best = optimize.minimize(
        objective,
        first.numpy().ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9, "maxfun": 20000},
    )
    penalty = Penalty("total_variation", weight, scales, smoothing)
    found = reconstruct([VolumeMeasurement(lr, forward)], penalty, first, Effort(100, 100, 1e-6)).numpy()
    np.testing.assert_allclose(found.ravel(), best.x, atol=2e-3)
    few = total_variation.upsample(lr, forward, {"weight": weight, "smoothing": smoothing}).ravel()
    gain = objective(first.numpy().ravel())[0] - best.fun
    assert objective(few)[0] - best.fun < 0.01 * gain


@pytest.mark.parametrize("kind", ["quadratic", "total_variation"])
def test_a_prior_is_subtracted_from_image_and_measurement(kind: Any) -> None:
    forward = MODELS["thick slices"]
    lr, prior = measured(forward), np.random.default_rng(7).random(forward.padded_shape, dtype=np.float32)
    penalty = Penalty(kind, 0.05, (1.0, 1.0, 1.0))
    difference = lr - VolumeMeasurement(lr, forward).forward(torch.from_numpy(prior)).numpy()
    around = [VolumeMeasurement(difference, forward)]
    expected = prior + reconstruct(around, penalty, torch.zeros(forward.padded_shape), Effort(5, 300, 1e-7)).numpy()
    toward = replace(penalty, prior=torch.from_numpy(prior))
    found = reconstruct([VolumeMeasurement(lr, forward)], toward, torch.from_numpy(prior), Effort(5, 300, 1e-7))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(expected - prior).max() > 0.05


def test_total_variation_denoises_as_scikit_image():
    """The identity as operator, hardly smoothed: the model of Rudin, Osher and Fatemi."""

    class Identity:
        def __init__(self, noisy: torch.Tensor) -> None:
            self.noisy = noisy

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

        def adjoint(self, values: torch.Tensor) -> torch.Tensor:
            return values

        def diagonal(self) -> torch.Tensor:
            return torch.ones_like(self.noisy)

        def values(self, image: torch.Tensor) -> torch.Tensor:
            del image
            return self.noisy

    clean = np.zeros((20, 24))
    clean[5:14, 6:17] = 1
    noisy = clean + 0.2 * np.random.default_rng(2).standard_normal(clean.shape)
    expected = denoise_tv_chambolle(noisy, weight=0.3, eps=1e-9, max_num_iter=20_000)
    first = torch.from_numpy(noisy.astype(np.float32))
    penalty = Penalty("total_variation", 0.3, (1, 1), 1e-3)
    found = reconstruct([Identity(first)], penalty, first, Effort(150, 100, 1e-5))
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert np.abs(noisy - expected).max() > 0.3


@pytest.mark.parametrize("method", [least_squares, total_variation])
def test_deconvolution_of_thick_slices_beats_interpolation(method):
    data = synthetic_head((40, 44, 36), texture=0.0) / np.float32(1000)
    thick = model((1, 1, 4), data.shape, slice_profile.Parameters(), decimation.Parameters())
    forward = replace(thick, noise="rician", noise_sigma=0.02)
    lr = forward.simulate(data)
    errors = [
        np.sqrt(np.mean((one - data) ** 2))
        for one in (method.upsample(lr, forward, method.default_settings(0.02)), zerofill.upsample(lr, forward, {}))
    ]
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize(
    ("method", "settings"), [(least_squares, {"weight": 1.0}), (total_variation, {"weight": 0.05, "smoothing": 0.1})]
)
def test_the_bias_of_magnitudes_is_removed(method, settings):
    """Magnitudes of a dark region with much noise are brighter than it by a quarter."""
    data = np.full((32, 32, 6), 0.1, dtype=np.float32)
    forward = model((2, 2, 1), data.shape, binning.Parameters(), noise="rician", noise_sigma=0.08, seed=3)
    lr = forward.simulate(data)
    assert lr.mean() > 0.125
    assert method.upsample(lr, forward, settings).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("method", [least_squares, total_variation])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_large_volumes_are_reconstructed_in_parts(method, axis, monkeypatch):
    """The largest axis that the model does not change is divided."""
    shape = [12, 12, 12]
    shape[axis] = 70
    factors, slice_axis = [2, 2, 2], (axis + 1) % 3
    factors[axis] = factors[slice_axis] = 1
    data = np.random.default_rng(4).random(shape, dtype=np.float32)
    forward = model(factors, tuple(shape), binning.Parameters(), slice_axis=slice_axis)
    lr, settings = forward.simulate(data), method.default_settings(0.02)
    whole = method.upsample(lr, forward, settings)
    monkeypatch.setattr(_model_based, "MAX_VOXELS", data.size // 3)
    difference = method.upsample(lr, forward, settings) - whole
    assert 0 < np.sqrt(np.mean(difference**2)) < 1e-3


@pytest.mark.parametrize("method", [least_squares, total_variation])
def test_slices_that_are_no_neighbours_do_not_affect_each_other(method):
    """Nor do slices that are far apart; slices at the distance of voxels do."""
    data = np.random.default_rng(5).random((16, 16, 4), dtype=np.float32)
    settings = method.default_settings(0.05)

    def influence(**changes: Any) -> float:
        forward = model((2, 2, 1), data.shape, kspace_truncation.Parameters(), **changes)
        lr = forward.simulate(data)
        changed = lr.copy()
        changed[..., 3] += 1
        results = [method.upsample(one, forward, settings)[..., :3] for one in (lr, changed)]
        return float(np.abs(results[1] - results[0]).max())

    near = influence(spacing_mm=(1.0, 1.0, 1.0))
    assert near == influence()
    assert near > 0.05
    assert influence(spacing_mm=(1.0, 1.0, 50.0)) < 0.15 * near
    assert influence(still_axis=2) < 0.1 * near


def test_channels_are_not_mixed_and_defaults_follow_the_noise():
    data = synthetic_head((32, 36, 6), texture=0.0) / np.float32(1000)
    stack = Stack(channels=("a", "b"), sections=(0, 0, 1, 1, 2, 2))
    forward = model((2, 2, 1), data.shape, kspace_truncation.Parameters(), noise="gaussian", noise_sigma=0.02)
    image = described(Image(data, ras_affine(), stack=stack), id="a", subject="a", split="test", slice_axis=2)
    lr = degrade(image, forward)
    settings = default_settings("least_squares", 0.02)
    apart = least_squares.upsample(lr.data, replace(forward, still_axis=2), settings)
    np.testing.assert_array_equal(upsample(lr, "least_squares"), apart)
    mixed = upsample(replace(lr, stack=Stack()), "least_squares")
    assert np.abs(mixed - apart).max() > 0.01
    np.testing.assert_array_equal(
        upsample(lr, "least_squares", {"least_squares": {"weight": 0.5}}),
        least_squares.upsample(lr.data, replace(forward, still_axis=2), {"weight": 0.5}),
    )
    weights = [
        default_settings(name, sigma)["weight"]
        for name, sigma in itertools.product(("least_squares", "total_variation"), (0.0, 0.01, 0.05))
    ]
    assert 0 < weights[0] < weights[1] < weights[2] and 0 < weights[3] < weights[4] < weights[5]


@pytest.mark.parametrize(("factors", "axis"), [((2, 2, 1), 2), ((1, 1, 3), 0), ((2, 2, 2), None)])
def test_tuning_uses_neighbouring_slices_that_agree_with_their_model(factors, axis):
    data = synthetic_head((40, 44, 36)) / np.float32(1000)
    forward = model(factors, data.shape, kspace_truncation.Parameters(), noise="gaussian", noise_sigma=0.02)
    known = {"id": "a", "subject": "a", "split": "val", "slice_axis": 2, "foreground_slices": list(range(4, 32))}
    image = described(Image(data, ras_affine(), masks={"foreground": data > 0.1}), **known)
    found = contiguous_excerpt(image, degrade(image, forward), 6)
    part = np.asarray(found.reference.data)
    np.testing.assert_allclose(found.noiseless, found.model.coarsen(part), atol=1e-6)
    assert np.std(found.lr - found.noiseless) == pytest.approx(0.02, rel=0.1)
    assert found.model.still_axis is None and found.model.hr_shape == part.shape
    if axis is not None:
        assert found.slice_axis == axis and part.shape[axis] == 6
        starts = [
            start
            for start in range(data.shape[axis] - 5)
            if np.array_equal(np.take(data, range(start, start + 6), axis), part)
        ]
        assert len(starts) == 1
    channels = replace(image, stack=Stack(channels=("a", "b"), sections=tuple(index // 2 for index in range(36))))
    if axis == 2:
        assert contiguous_excerpt(channels, degrade(channels, forward), 6).model.still_axis == 2
