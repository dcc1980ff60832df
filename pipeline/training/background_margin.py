"""Measurement of the background margin that a network needs around the foreground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.image.slices import evenly_spaced
from pipeline.inference.background import Background, has_background, tissue_of
from pipeline.inference.volume import DURING_TRAINING, restore_volume
from pipeline.models.generator import Generator
from pipeline.models.record import BackgroundChange
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to, is_isotropic

MARGINS = (8, 16, 24, 32, 48)
"""Margins that are measured, in low-resolution voxels."""
PADDING = 8
"""Additional voxels of background, so that even the largest margin excludes some of it."""
MAX_SLICES = 1
"""Slices per volume; the padding makes them ten times as large."""


def background_changes(network: Generator, excerpts: Sequence[Excerpt]) -> tuple[BackgroundChange, ...]:
    """Measure how the foreground changes if the background beyond a margin is not computed.

    Since heads often fill their slices, the slices are padded with background of the same noise level by more than the
    largest margin.

    Args:
        network: in evaluation mode.
        excerpts: of validation volumes. Those without background, and those that are degraded along all three axes, are
            not used.

    Returns:
        The largest change over all excerpts for each of MARGINS; empty if no excerpt can be used, and for networks of
        any ratio, whose background within slices is restored.
    """
    if isinstance(network, Generator) and network.shape.slice_maps:
        return ()
    usable = [one for one in excerpts if has_background(one.reference) and not is_isotropic(one.model.factors)]
    if not usable:
        return ()
    changes = np.max([_changes(network, one) for one in usable], axis=0)
    return tuple(BackgroundChange(margin, float(change)) for margin, change in zip(MARGINS, changes, strict=True))


def _changes(network: Generator, one: Excerpt) -> list[float]:
    chosen = evenly_spaced(list(range(one.lr.shape[one.slice_axis])), MAX_SLICES)
    measured = np.take(one.lr, chosen, one.slice_axis)
    border = MARGINS[-1] + PADDING
    widths = [(0, 0) if axis == one.slice_axis else (border, border) for axis in range(3)]
    slices = _pad_with_background(measured, widths, one.model)
    tissue = np.pad(tissue_of(measured, one.slice_axis), widths)
    inside = tuple(
        slice(low * factor, (low + size) * factor)
        for (low, _), size, factor in zip(widths, measured.shape, one.model.whole_factors, strict=True)
    )
    foreground = np.take(one.reference.masks["foreground"], chosen, one.slice_axis)

    def restored(background: Background | None) -> NDArray[np.float32]:
        # Tiles of the padded slices would change the foreground as well.
        settings = DURING_TRAINING.model_copy(update={"tile_lr": max(slices.shape)})
        arguments = (one.model.whole_factors, one.slice_axis, settings, one.model.noise_sigma)
        volume = restore_volume(network, slices, *arguments, background=background)
        return crop_to(volume[inside], foreground.shape)[foreground]

    whole = restored(None)
    return [float(np.abs(restored(Background(tissue, margin)) - whole).max(initial=0.0)) for margin in MARGINS]


def _pad_with_background(
    measured: NDArray[np.float32], widths: Sequence[tuple[int, int]], model: ForwardModel
) -> NDArray[np.float32]:
    """Pad slices with the noise of a measurement without signal, drawn with a fixed seed."""
    padded = model.add_noise(np.zeros_like(np.pad(measured, widths)), np.random.default_rng(0))
    padded[tuple(slice(low, low + size) for size, (low, _) in zip(measured.shape, widths, strict=True))] = measured
    return padded
