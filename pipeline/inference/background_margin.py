"""How much background a network has to see around tissue, so that the tissue is the same as in a whole slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.image.slices import evenly_spaced
from pipeline.inference.background import Background, has_background, tissue_of
from pipeline.inference.volume import AS_LEARNT, restore_volume
from pipeline.models.generator import Generator
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to, is_isotropic

HALOS = (8, 16, 24, 32, 48)
"""Low-resolution voxels that are tried."""
BEYOND = 8
"""Further voxels of background, so that the largest margin leaves something out as well."""
MAX_SLICES = 1
"""Of each volume; its surroundings make it ten times as large."""
RESERVE = 0.5
"""Of the tolerance, what the measured change may take: other slices than those measured change more."""
FACT = "background_departures"
"""Fact about a network: pairs of a margin, in low-resolution voxels, and what `departures` found for it."""


def margin_of(network: Generator, tolerance: float) -> int | None:
    """Return the least margin that changes tissue by less than `tolerance`; None where none was measured to do so."""
    fits = [int(margin) for margin, departure in network.facts.get(FACT, ()) if departure < RESERVE * tolerance]
    return min(fits, default=None)


def departures(network: Generator, excerpts: Sequence[Excerpt]) -> list[list[float]]:
    """Measure how tissue changes where a slice is cut to a window around it.

    Heads often fill their slices, where no window could be smaller. So slices are put into more background than the
    largest margin takes, with the noise that the network is told.

    Args:
        network: in evaluation mode.
        excerpts: of validation volumes. Of those without background, and of blocks that are coarse along all three
            axes, nothing can be measured.

    Returns:
        For each margin in HALOS the largest change of a foreground voxel, as a fraction of the normalised range;
        nothing where nothing could be measured.
    """
    usable = [one for one in excerpts if has_background(one.reference) and not is_isotropic(one.model.factors)]
    found = [_of_excerpt(network, one) for one in usable]
    worst = [max(each) for each in zip(*found, strict=True)]
    return [[margin, departure] for margin, departure in zip(HALOS, worst, strict=bool(found))]


def _of_excerpt(network: Generator, one: Excerpt) -> list[float]:
    chosen = evenly_spaced(list(range(one.measured.shape[one.slice_axis])), MAX_SLICES)
    measured = np.take(one.measured, chosen, one.slice_axis)
    border = HALOS[-1] + BEYOND
    widths = [(0, 0) if axis == one.slice_axis else (border, border) for axis in range(3)]
    slices = _in_background(measured, widths, one.model)
    tissue = np.pad(tissue_of(measured, one.slice_axis), widths)
    inside = tuple(
        slice(low * factor, (low + size) * factor)
        for (low, _), size, factor in zip(widths, measured.shape, one.model.factors, strict=True)
    )
    foreground = np.take(one.reference.masks["foreground"], chosen, one.slice_axis)

    def restored(background: Background | None) -> NDArray[np.float32]:
        settings = (one.model.factors, one.slice_axis, AS_LEARNT, one.model.noise_sigma)
        return crop_to(restore_volume(network, slices, *settings, background=background)[inside], foreground.shape)[
            foreground
        ]

    whole = restored(None)
    return [float(np.abs(restored(Background(tissue, margin)) - whole).max(initial=0.0)) for margin in HALOS]


def _in_background(
    measured: NDArray[np.float32], widths: Sequence[tuple[int, int]], model: ForwardModel
) -> NDArray[np.float32]:
    """Surround slices with background as it is measured where nothing is; always the same draw."""
    padded = model.add_noise(np.zeros_like(np.pad(measured, widths)), np.random.default_rng(0))
    padded[tuple(slice(low, low + size) for size, (low, _) in zip(measured.shape, widths, strict=True))] = measured
    return padded
