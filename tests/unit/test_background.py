"""Background around heads is interpolated without changing tissue."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.config.sections import Infer
from pipeline.image.image import Image
from pipeline.inference.background import Background, Span, needed_margin, tissue_in_slices, tissue_of, windows_around
from pipeline.inference.restoration import restore_uncorrected
from pipeline.inference.volume import restore_volume, restore_with_tta_std
from pipeline.models.generator import Generator, Shape
from pipeline.models.record import BackgroundChange, NetworkRecord
from pipeline.physics.excerpts import excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import cuts
from pipeline.physics.interpolation import bspline_matrix, enlarge
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.background_margin import MARGINS, background_changes
from tests.helpers import described, synthetic_head

REACH = 3
"""Receptive field of the network below, in voxels on each side."""


class CountingNetwork(nn.Module):
    """A network with a receptive field of REACH voxels on each side, which counts its input voxels."""

    factors = (2, 2)
    is_fast = False

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution = nn.Conv2d(1, 1, 2 * REACH + 1, padding=REACH)
        self.record = NetworkRecord()
        self.given = 0

    def forward(self, image, sigma):
        """Enlarge by repetition."""
        del sigma
        self.given += image.numel()
        return functional.interpolate(self.convolution(image), scale_factor=2, mode="nearest")


def head_in_background(sigma=0.02) -> tuple[np.ndarray, np.ndarray]:
    """Return a head that fills a third of its slices, with background alone in the first and last one, and its mask."""
    rng, shape = np.random.default_rng(0), (60, 70, 12)
    head = np.zeros(shape, np.float32)
    head[15:35, 20:48, 2:10] = 0.3 + 0.5 * rng.random((20, 28, 8), dtype=np.float32)
    noisy = np.hypot(head + rng.normal(0, sigma, shape), rng.normal(0, sigma, shape)).astype(np.float32)
    return noisy, head > 0


def test_tissue_contains_all_bright_voxels_connected_or_not():
    lr, head = head_in_background(sigma=0.05)
    lr[3:7, 3:7, 5] = 0.7  # a fiducial marker
    tissue = tissue_of(lr, 2)
    assert tissue[head].mean() > 0.99
    assert tissue[4:6, 4:6, 5].all()
    assert tissue.sum() < 1.3 * head.sum()
    assert tissue_of(np.zeros((4, 4, 4), np.float32), 2).all(), "where nothing stands out, nothing is background"


@pytest.mark.parametrize("margin", [REACH, 2 * REACH, 9])
def test_tissue_is_unchanged_and_background_is_interpolated(margin):
    lr, head = head_in_background()
    network: Any = CountingNetwork()
    whole = restore_volume(network, lr, (2, 2, 1), 2, Infer(), 0.0)
    everything = network.given
    network.given = 0
    part = restore_volume(network, lr, (2, 2, 1), 2, Infer(), 0.0, background=Background(head, margin))
    assert network.given < 0.6 * everything
    tissue = np.repeat(np.repeat(head, 2, axis=0), 2, axis=1)
    # The cut's own disturbance reaches REACH voxels; what lies nearer to it is not certain.
    assert np.abs(part - whole)[tissue].max() < 1e-6
    interpolated = enlarge(lr, (2, 2, 1), bspline_matrix)
    assert np.array_equal(part[..., 0], interpolated[..., 0]), "a slice of background"
    assert np.array_equal(part[:4], interpolated[:4])


def test_a_margin_that_is_too_small_changes_tissue():
    lr, head = head_in_background()
    network: Any = CountingNetwork()
    whole, part = (
        restore_volume(network, lr, (2, 2, 1), 2, Infer(), 0.0, background=one)
        for one in (None, Background(head, REACH - 2))
    )
    tissue = np.repeat(np.repeat(head, 2, axis=0), 2, axis=1)
    assert np.abs(part - whole)[tissue].max() > 1e-3


def test_background_has_no_tta_std_and_the_result_does_not_depend_on_the_map():
    lr, head = head_in_background()
    network = Generator(Shape(blocks=1, features=8, growth=4, factor=2)).eval()
    given = ([network], lr, (2, 2, 1), 2, Infer(), 0.02, 4, Background(head, 6))
    restored, spread = restore_with_tta_std(*given)
    assert np.array_equal(restored, restore_volume(network, *given[1:]))
    assert (spread[..., 0] == 0).all()
    assert (spread[:4] == 0).all()
    assert (spread[40:60, 50:80, 5] > 0).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolated_slices_contain_the_tissue_of_both_neighbours(axis):
    tissue = np.moveaxis(head_in_background()[1], 2, axis)
    factors = tuple(2 if one == axis else 1 for one in range(3))
    for cut in cuts(factors, axis):
        assert np.array_equal(tissue_in_slices(tissue, cut, (1, 1, 1)), np.moveaxis(tissue, cut, (0, 1, 2)))
    isotropic = cuts((2, 2, 2), axis)[0]
    slices = tissue_in_slices(tissue, isotropic, (2, 1, 1))
    assert slices.shape[0] == 2 * tissue.shape[isotropic.normal]
    own = np.moveaxis(tissue, isotropic, (0, 1, 2))
    assert np.array_equal(slices[2], own[0] | own[1] | own[2])


def test_window_sizes_are_merged():
    tissue = np.zeros((120, 90, 100), bool)
    for place, one in enumerate(tissue[1:]):
        one[20 : 24 + place // 2, 30 : 34 + place // 3] = True
    windows = windows_around(tissue, 3)
    exact = {(window.rows.last - window.rows.first, window.columns.last) for window in windows if window}
    sizes = Counter(window.shape for window in windows if window)
    assert windows[0] is None
    assert 2 <= len(sizes) < len(exact) / 4
    for one, window in zip(tissue[1:], windows[1:], strict=True):
        assert window is not None
        rows, columns = window.place()
        assert one[rows, columns].sum() == one.sum()
        assert rows.start <= 17
        assert columns.start <= 27
        assert rows.stop >= window.rows.last + 3
        assert columns.stop >= window.columns.last + 3
    many = {window.shape for window in windows_around(tissue, 3, passes=8) if window}
    assert len(many) > len(sizes), "what is computed often may be ready in more sizes"
    fast = {window.shape for window in windows_around(tissue, 3, is_fast=True) if window}
    assert len(fast) < len(sizes), "a fast network takes less time than its preparation"


def test_no_window_is_larger_than_its_slice():
    tissue = np.zeros((2, 30, 31), bool)
    tissue[:, 1:29, 15] = True
    for margin in (2, 40, None):
        for window in windows_around(tissue, margin):
            assert window is not None
            assert window.rows.start >= 0
            assert window.shape <= (30, 31)
    whole = windows_around(tissue, None)[0]
    assert whole is not None
    assert whole.shape == (30, 31)
    assert (whole.weights((2, 3)) == 1).all()


def test_blending_weights_fall_over_the_outer_half_of_the_margin():
    weights = Span(start=10, stop=50, first=20, last=40, size=100).weights(2)
    assert (weights[10:70] == 1).all(), "five voxels around the tissue"
    assert weights[0] == pytest.approx(0.05)
    assert weights[-1] == pytest.approx(0.05)
    assert (np.diff(weights[:10]) > 0).all()
    assert (Span(start=0, stop=50, first=20, last=40, size=50).weights(2) == 1).all()


def recorded(*changes: tuple[int, float]) -> NetworkRecord:
    return NetworkRecord(background_changes=tuple(BackgroundChange(*one) for one in changes))


def low_resolution(**facts) -> LowResolutionImage:
    reference = synthetic_head((96, 104, 6)) / np.float32(1000)
    model = ForwardModel((4, 4, 1), reference.shape, "rician", 0.02, seed=3)
    known = {"id": "a", "slice_axis": 2, "forward_model": model, "foreground_fraction": 0.4}
    return described(Image(model.simulate(reference), np.eye(4)), **{**known, **facts})


@pytest.mark.parametrize(
    ("facts", "tolerance", "skipped"),
    [({}, 0.001, True), ({}, 0.0, False), ({"foreground_fraction": 1.0}, 0.001, False), ({}, 1e-9, None)],
)
def test_background_is_skipped_in_heads_within_the_tolerance_of_the_settings(monkeypatch, facts, tolerance, skipped):
    network = Generator(Shape(blocks=1, features=8, growth=4)).eval()
    network.record = recorded((8, 0.0006), (16, 0.0004), (24, 0.0001))
    seen = []
    monkeypatch.setattr(
        "pipeline.inference.restoration.restore_volume", lambda *given: seen.append(given[-2]) or given[1]
    )
    image = low_resolution(**facts)
    restore_uncorrected([network], image, "rician", Infer(background_tolerance=tolerance, noise_sigma=0.02))
    assert (seen[0] is None) == (skipped is False)
    if skipped is not False:
        assert seen[0].margin == (16 if skipped else None)


def test_an_ensemble_uses_the_largest_margin(monkeypatch):
    networks = [Generator(Shape(blocks=1, features=8, growth=4)).eval() for _ in range(3)]
    for network, margin in zip(networks, (16, 24, 8), strict=True):
        network.record = recorded((margin, 0.0))
    seen = []
    monkeypatch.setattr(
        "pipeline.inference.restoration.restore_with_tta_std", lambda *given: seen.append(given[-2]) or given[1:3]
    )
    for _ in range(2):
        restore_uncorrected(networks, low_resolution(), "rician", Infer(noise_sigma=0.02), with_tta_std=True)
        networks[1].record = NetworkRecord()
    assert [one.margin for one in seen] == [24, None]


def test_the_margin_is_measured_on_padded_slices():
    reference = synthetic_head((96, 104, 6)) / np.float32(1000)
    lr = low_resolution()
    mask = reference > 0.05
    hr = lr.plain(data=reference, masks={"foreground": mask})
    hr = described(hr, foreground_slices=range(6), foreground_fraction=float(mask.mean()))
    one = excerpt(hr, lr, 4)
    network: Any = CountingNetwork()
    network.factors = (4, 4)
    network.forward = lambda image, sigma: functional.interpolate(network.convolution(image), scale_factor=4)
    # REACH is smaller than the smallest margin tried.
    assert background_changes(network, [one]) == tuple((margin, pytest.approx(0.0, abs=1e-6)) for margin in MARGINS)
    wide = nn.Conv2d(1, 1, 41, padding=20)
    network.forward = lambda image, sigma: functional.interpolate(wide(image), scale_factor=4)
    found = background_changes(network, [one])
    assert found[0][1] > 1e-4
    assert [value for margin, value in found if margin >= 24] == [pytest.approx(0.0, abs=1e-6)] * 3
    record = NetworkRecord(background_changes=found)
    assert needed_margin(record, 1e-5) == 24
    assert needed_margin(record, 1.0) == 8
    assert needed_margin(NetworkRecord(), 0.001) is None
    all_tissue = excerpt(described(hr, foreground_fraction=1.0), lr, 4)
    assert background_changes(network, [all_tissue]) == ()
