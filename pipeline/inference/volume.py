"""Whole volumes through a network, slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.baselines import bspline3
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.image.intensity_limits import limited
from pipeline.inference.backends._compute import FULL_PRECISION
from pipeline.inference.background import Background, Window, computed_share, tissue_in_slices, windows_around
from pipeline.inference.forward_pass import REFERENCE, Engine, engine_for, tell_change
from pipeline.inference.memory import device_of, slices_at_once
from pipeline.inference.tiles import Restore, restore_in_tiles
from pipeline.inference.tta import Moments, moments_of, spread_of
from pipeline.models.device import device_words
from pipeline.models.generator import Generator
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.grid import Cut, cuts
from pipeline.physics.interpolation import interpolate_slices

logger = logging.getLogger(__name__)

SMALLEST_TILE = 32
"""Low-resolution voxels along a tile's sides, below which a lack of memory is not answered by smaller tiles."""
MAX_VIEWS = 8
"""The flips and transposes that a slice has."""
DURING_TRAINING = Infer(backend=REFERENCE)
"""Settings for a network whose weights still change."""


def _turned(image: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """One of eight views of images: bit 0 flips the rows, bit 1 the columns, bit 2 transposes."""
    flipped = image[..., :: -1 if view & 1 else 1, :: -1 if view & 2 else 1]
    return flipped.swapaxes(-2, -1) if view & 4 else flipped


def _turned_back(image: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """Undo `_turned`."""
    flipped = image.swapaxes(-2, -1) if view & 4 else image
    return flipped[..., :: -1 if view & 1 else 1, :: -1 if view & 2 else 1]


def restore_in_views(engine: Engine, image: NDArray[np.float32], sigma: float, views: int) -> NDArray[np.float32]:
    """Restore slices, or tiles of them, and averages over their views; see `restore_volume`."""
    return np.asarray(np.mean(restored_views(engine, image, sigma, views), axis=0), dtype=np.float32)


def restored_views(engine: Engine, image: NDArray[np.float32], sigma: float, views: int) -> NDArray[np.float32]:
    """Restore views of slices and turns the results back; return them all, the views along the first axis."""
    possible = range(min(views, 4) if _columns_alone(engine) else views)
    # Those of one size go together, which keeps a processor's threads busy; a GPU has enough to do with one.
    together = [[view] for view in possible] if engine.device.type == "cuda" else [possible[:4], possible[4:]]
    results = [engine.restore(np.stack([_turned(image, view) for view in group]), sigma) for group in together if group]
    return np.stack([_turned_back(one, view) for view, one in enumerate(one for group in results for one in group)])


def restore_excerpt(network: Generator, excerpt: Excerpt, views: int = 1) -> NDArray[np.float32]:
    """Restore the slices of an excerpt, told the noise that they were measured with; see `restore_volume`.

    The network may still be learning.
    """
    model = excerpt.model
    return restore_volume(
        network,
        limited(excerpt.measured).values,
        model.factors,
        excerpt.slice_axis,
        DURING_TRAINING,
        model.noise_sigma,
        views,
    )


def restore_volume(
    network: Generator,
    lr: NDArray[np.float32],
    factors: Sequence[int],
    slice_axis: int,
    settings: Infer,
    sigma: float,
    views: int = 1,
    background: Background | None = None,
) -> NDArray[np.float32]:
    """Restore a volume slice by slice.

    Which slices these are depends on what is enlarged, see `pipeline.physics.grid.cuts`; where there are two or three
    ways to cut, their results are averaged. Where the axis across the slices is enlarged as well, the volume is first
    interpolated along it, see `pipeline.physics.interpolation`.

    Args:
        network: one-channel network, in evaluation mode.
        lr: low-resolution volume, normalised, shape (x, y, z).
        factors: enlargement along each axis: the network's.
        slice_axis: axis along which the slices follow each other.
        settings: the section `infer`.
        sigma: standard deviation of the noise of `lr`, as a fraction of the normalised range.
        views: flips and transposes of each slice, 1 to 8, whose results are turned back and averaged. Networks that
            enlarge columns alone have no transposes, and 4 views at most.
        background: what need not be computed; None computes all.

    Returns:
        Restored volume, float32, larger by the factors.
    """
    engine = engine_for(network, settings)

    def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return restore_in_views(engine, image, sigma, views)

    pass_ = _Pass(network, settings, restore, np.asarray, views, sigma)
    return _mean(_restore_slices(pass_, lr, factors, cut, background) for cut in cuts(factors, slice_axis))


def restore_with_spread(
    networks: Sequence[Generator],
    lr: NDArray[np.float32],
    factors: Sequence[int],
    slice_axis: int,
    settings: Infer,
    sigma: float,
    views: int = 1,
    background: Background | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Restore a volume, and tells where the views of its slices disagree, in one pass.

    Args:
        networks: the one whose result is wanted, then those whose disagreement with it counts as well.
        lr: as in `restore_volume`.
        factors: as in `restore_volume`.
        slice_axis: as in `restore_volume`.
        settings: as in `restore_volume`.
        sigma: as in `restore_volume`.
        views: of the result; the spread is always over all views that a network has.
        background: as in `restore_volume`; where it is not computed, the spread is zero.

    Returns:
        What `restore_volume` returns for the first network, to the last bit, and the standard deviation over all views,
        ways to cut and networks, float32, of the same shape.
    """
    ways = cuts(factors, slice_axis)
    found = [
        _restore_slices(_with_moments(network, settings, sigma, views), lr, factors, cut, background)
        for network in networks
        for cut in ways
    ]
    return _mean(one[0] for one in found[: len(ways)]), spread_of([Moments(one[1], one[2]) for one in found])


def _mean(results: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of volumes, without holding more than two of them where they are made one by one."""
    total: NDArray[np.float32] | None = None
    count = 0
    for one in results:
        total, count = one if total is None else total + one, count + 1
    assert total is not None
    return np.asarray(total / count, dtype=np.float32)


@dataclass(frozen=True)
class _Pass:
    """How slices are restored.

    Attributes:
        network: the network.
        settings: the section `infer`.
        restore: maps low-resolution slices to restored ones, maybe several quantities of each along leading axes.
        interpolated: maps interpolated slices to the same quantities of background that is not computed.
        passes: how often each slice goes through the network.
        sigma: what the network is told, as a fraction of the normalised range.
    """

    network: Generator
    settings: Infer
    restore: Restore
    interpolated: Restore
    passes: int
    sigma: float


def _with_moments(network: Generator, settings: Infer, sigma: float, views: int) -> _Pass:
    """Return what restores slices: the mean over the views wanted, then mean and variance over all."""
    engine = engine_for(network, settings)

    def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = restored_views(engine, image, sigma, MAX_VIEWS)
        return np.stack([np.mean(seen[:views], axis=0), *moments_of(seen)])

    def interpolated(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([image, image, np.zeros_like(image)])

    return _Pass(network, settings, restore, interpolated, MAX_VIEWS, sigma)


def _columns_alone(engine: Engine) -> bool:
    rows, columns = engine.factors
    return rows != columns


def _restore_slices(
    pass_: _Pass, lr: NDArray[np.float32], factors: Sequence[int], cut: Cut, background: Background | None
) -> NDArray[np.float32]:
    """Restore all slices of one way to cut the volume; leading axes of what is restored lead here as well."""
    slices = np.moveaxis(interpolate_slices(lr, factors[cut.normal], cut.normal), cut, (0, 1, 2))
    if pass_.settings.precision != FULL_PRECISION:
        tile = slice(pass_.settings.tile_lr)
        middle = slices[len(slices) // 2, tile, tile]
        tell_change(pass_.network, pass_.settings, middle, pass_.sigma, "the middle slice")
    with tqdm(total=len(slices), unit="slice", disable=None) as bar:
        if background is None:
            restored = np.concatenate(list(_in_batches(slices, pass_, bar)), axis=-3)
        else:
            windows = windows_around(
                tissue_in_slices(background.tissue, cut, factors[cut.normal]), background.margin, pass_.passes
            )
            restored = _within_windows(slices, windows, pass_, bar)
    return np.moveaxis(restored, (-3, -2, -1), [axis - 3 for axis in cut])


def _within_windows(
    slices: NDArray[np.float32], windows: Sequence[Window | None], pass_: _Pass, bar: tqdm
) -> NDArray[np.float32]:
    """Restore what lies in the windows of slices, and interpolates the rest."""
    share = computed_share(windows, (slices.shape[1], slices.shape[2]))
    logger.info("%.0f%% of the image is background and interpolated by cubic B-splines", 100 * (1 - share))
    factors = pass_.network.factors
    restored = pass_.interpolated(bspline3.upsample(slices, (1, *factors), {}))
    for places in _of_one_size(windows):
        cut = np.stack([slices[place][_of(windows, place).place()] for place in places])
        done = 0
        for batch in _in_batches(cut, pass_, bar):
            for offset in range(batch.shape[-3]):
                place = places[done + offset]
                window = _of(windows, place)
                into = restored[..., place, *window.place(factors)]
                into += window.weights(factors) * (batch[..., offset, :, :] - into)
            done += batch.shape[-3]
    bar.update(sum(window is None for window in windows))
    return restored


def _of_one_size(windows: Sequence[Window | None]) -> list[list[int]]:
    """Return the places of windows that have the same size."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, window in enumerate(windows):
        if window:
            places.setdefault(window.shape, []).append(place)
    return list(places.values())


def _of(windows: Sequence[Window | None], place: int) -> Window:
    window = windows[place]
    assert window is not None
    return window


def _in_batches(slices: NDArray[np.float32], pass_: _Pass, bar: tqdm) -> Iterator[NDArray[np.float32]]:
    """Restore slices of shape (slice, rows, columns), as many at a time as the device's memory holds.

    Where memory does not suffice after all, batches are halved, then tiles.
    """
    network, settings = pass_.network, pass_.settings
    tile, done = settings.tile_lr, 0
    count = slices_at_once(network, min(tile, slices.shape[1]) * min(tile, slices.shape[2]))
    while done < len(slices):
        try:
            part = slices[done : done + count]
            result = restore_in_tiles(part, pass_.restore, network.factors, tile, min(settings.overlap_lr, tile // 2))
        except torch.OutOfMemoryError:
            if count == 1 and tile <= SMALLEST_TILE:
                raise UserError(
                    f"the memory of {device_words(device_of(network))} does not hold a tile of {tile} voxels a side. "
                    "Free it, or use another device (resources.device: cpu)."
                ) from None
            count, tile = (count // 2, tile) if count > 1 else (1, max(SMALLEST_TILE, tile // 2))
            logger.warning("out of memory; going on with %d slice(s) at a time, tiles of %d voxels", count, tile)
            continue
        yield result
        done += len(part)
        bar.update(len(part))
