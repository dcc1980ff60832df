"""Restoration of whole volumes, slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.image.intensity_limits import limited
from pipeline.inference.backends._compute import FULL_PRECISION
from pipeline.inference.background import Background, Window, computed_share, tissue_in_slices, windows_around
from pipeline.inference.forward_pass import REFERENCE, engine_for, log_precision_change
from pipeline.inference.memory import device_of, slices_per_batch
from pipeline.inference.neighbours import with_neighbours, without_neighbours
from pipeline.inference.tiles import Restore, restore_in_tiles
from pipeline.inference.tta import (
    MAX_AUGMENTATIONS,
    Moments,
    moments_of,
    pooled_std,
    restore_augmented,
    restore_averaged,
)
from pipeline.models.device import device_name
from pipeline.models.generator import Generator
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import Cut, apply_along_axes, cuts
from pipeline.physics.interpolation import bspline_matrix, enlarge, interpolate_slices
from pipeline.physics.slice_sampling import deconvolution, slice_sampling

logger = logging.getLogger(__name__)

MIN_TILE = 32
"""Side of a tile, in low-resolution voxels, below which tiles are not halved when memory is short."""
DURING_TRAINING = Infer(backend=REFERENCE)
"""Settings for a network whose weights still change."""


def restore_excerpt(network: Generator, excerpt: Excerpt, augmentations: int = 1) -> NDArray[np.float32]:
    """Restore the slices of an excerpt at its noise level; see `restore_volume`. The network may still be trained."""
    model, within = excerpt.model, limited(excerpt.lr)
    geometry, level = (model.factors, excerpt.slice_axis), model.noise_sigma
    context = None if excerpt.context is None else limited(excerpt.context).values
    options = (DURING_TRAINING, level, augmentations)
    return restore_volume(network, within.values, *geometry, *options, model=model, context=context)


def restore_volume(
    network: Generator,
    lr: NDArray[np.float32],
    factors: Sequence[float],
    slice_axis: int,
    settings: Infer,
    sigma: float,
    augmentations: int = 1,
    background: Background | None = None,
    model: ForwardModel | None = None,
    context: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Restore a volume slice by slice.

    The enlarged axes determine how the volume is cut, see `pipeline.physics.grid.cuts`; the results of two or three
    cuts are averaged. Along an axis that the network itself does not enlarge, the volume is first interpolated
    (`pipeline.physics.interpolation`) or, for networks of any ratio, reconstructed (`pipeline.physics.slice_sampling`).

    Networks with neighbouring slices are given those of the volume. If its slices do not lie beside each other
    (`ForwardModel.still_axis`), each slice is its own neighbour unless `context` contains the neighbours.

    Args:
        network: one-channel network, in evaluation mode.
        lr: low-resolution volume, normalised, shape (x, y, z).
        factors: enlargement along each axis.
        slice_axis: axis across the slices.
        settings: the section `infer`.
        sigma: standard deviation of the noise of `lr`, as a fraction of the normalised range.
        augmentations: number of flips and transposes of each slice that are averaged, 1 to 8; at most 4 for networks
            that restore columns alone.
        background: part of the volume that need not be computed; None to compute all of it.
        model: forward model of `lr`; only networks of any ratio require it.
        context: neighbours of every slice; see `pipeline.physics.excerpts.Excerpt`.

    Returns:
        Restored volume, float32, larger by the factors.

    Raises:
        UserError: the network has a fixed factor, and the volume was degraded by a factor that is not a whole number.
    """
    network = _for_slices(network, model)
    engine = engine_for(network, settings)

    def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return restore_averaged(engine, image, sigma, augmentations)

    restorer = _SliceRestorer(network, settings, restore, np.asarray, augmentations, sigma, model, context)
    return _mean(_restore_slices(restorer, lr, factors, cut, background) for cut in cuts(factors, slice_axis))


def restore_with_tta_std(
    networks: Sequence[Generator],
    lr: NDArray[np.float32],
    factors: Sequence[float],
    slice_axis: int,
    settings: Infer,
    sigma: float,
    augmentations: int = 1,
    background: Background | None = None,
    model: ForwardModel | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Restore a volume and compute its TTA standard deviation in the same pass; see `pipeline.inference.tta`.

    Args:
        networks: the network whose result is returned, then further members of the ensemble, which contribute to the
            standard deviation alone.
        lr: as in `restore_volume`.
        factors: as in `restore_volume`.
        slice_axis: as in `restore_volume`.
        settings: as in `restore_volume`.
        sigma: as in `restore_volume`.
        augmentations: as in `restore_volume`, for the result; the standard deviation is always over all augmentations.
        background: as in `restore_volume`; where it is not computed, the standard deviation is zero.
        model: as in `restore_volume`.

    Returns:
        The same array as `restore_volume` returns for the first network, and the standard deviation over all
        augmentations, cuts and networks, float32, of the same shape.
    """
    ways = cuts(factors, slice_axis)
    found = [
        _restore_slices(_with_moments(network, settings, sigma, augmentations, model), lr, factors, cut, background)
        for network in (_for_slices(one, model) for one in networks)
        for cut in ways
    ]
    return _mean(one[0] for one in found[: len(ways)]), pooled_std([Moments(one[1], one[2]) for one in found])


def _for_slices(network: Generator, model: ForwardModel | None) -> Generator:
    """Return a network that knows the slices of a forward model; networks with a fixed factor are returned unchanged.

    Raises:
        UserError: the network has a fixed factor, and that of the model is not a whole number.
    """
    if model is None:
        return network
    if _is_any_ratio(network):
        return network.for_slices(slice_sampling(model))
    _ = model.whole_factors
    return network


def _is_any_ratio(network: Generator) -> bool:
    """Return whether a network restores planes across thick slices of any ratio."""
    return isinstance(network, Generator) and network.shape.slice_maps


def _mean(results: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of volumes, of which at most two are in memory."""
    total: NDArray[np.float32] | None = None
    count = 0
    for one in results:
        total, count = one if total is None else total + one, count + 1
    assert total is not None
    return np.asarray(total / count, dtype=np.float32)


@dataclass(frozen=True)
class _SliceRestorer:
    """Restoration of slices by a network.

    Attributes:
        network: the network.
        settings: the section `infer`.
        restore: maps low-resolution slices to restored ones, or to several quantities along a leading axis.
        interpolated: maps interpolated slices to the same quantities, for background that is not computed.
        passes: number of forward passes per slice.
        sigma: noise level given to the network, as a fraction of the normalised range.
        model: forward model of the volume; None if it is unknown.
        context: neighbours of the slices that are not in the volume itself; see `restore_volume`.
    """

    network: Generator
    settings: Infer
    restore: Restore
    interpolated: Restore
    passes: int
    sigma: float
    model: ForwardModel | None
    context: NDArray[np.float32] | None = None

    def stacks(self, slices: NDArray[np.float32], cut: Cut) -> NDArray[np.float32]:
        """Return slices with the neighbours that the network is given, shape (slice, depth, rows, columns)."""
        count = self.network.shape.neighbours if isinstance(self.network, Generator) else 0
        if count and self.context is not None:
            middle = len(self.context) // 2
            beside = np.moveaxis(self.context[middle - count : middle + count], [axis + 1 for axis in cut], (1, 2, 3))
            return np.stack([*beside[:count], slices, *beside[count:]], axis=1)
        are_neighbours = self.model is None or self.model.still_axis != cut.normal
        return (with_neighbours if are_neighbours else without_neighbours)(slices, count)

    def sampled(self, slices: NDArray[np.float32], factor: float, axis: int) -> NDArray[np.float32]:
        """Return slices on the grid of the network's input along one axis, which is `factor` times as fine."""
        if factor == 1:
            return slices
        if self.model is None or not _is_any_ratio(self.network):
            return interpolate_slices(slices, round(factor), axis)
        matrix = deconvolution(self.model, self.sigma)
        return apply_along_axes([matrix if other == axis else None for other in range(3)], slices).astype(np.float32)


def _with_moments(
    network: Generator, settings: Infer, sigma: float, augmentations: int, model: ForwardModel | None
) -> _SliceRestorer:
    """Return a restorer of three quantities: mean over some augmentations, mean and variance over all of them."""
    engine = engine_for(network, settings)

    def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
        results = restore_augmented(engine, image, sigma, MAX_AUGMENTATIONS)
        return np.stack([np.mean(results[:augmentations], axis=0), *moments_of(results)])

    def interpolated(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([image, image, np.zeros_like(image)])

    return _SliceRestorer(network, settings, restore, interpolated, MAX_AUGMENTATIONS, sigma, model)


def _restore_slices(
    restorer: _SliceRestorer, lr: NDArray[np.float32], factors: Sequence[float], cut: Cut, background: Background | None
) -> NDArray[np.float32]:
    """Restore all slices of one cut of the volume; a leading axis of quantities is kept."""
    remaining = [factors[axis] / one for axis, one in zip(cut, (1, *restorer.network.factors), strict=True)]
    slices = np.moveaxis(lr, cut, (0, 1, 2))
    for axis, factor in enumerate(remaining):
        slices = restorer.sampled(slices, factor, axis)
    stacks = restorer.stacks(slices, cut)
    if restorer.settings.precision != FULL_PRECISION:
        tile = slice(restorer.settings.tile_lr)
        middle = stacks[len(slices) // 2, :, tile, tile]
        log_precision_change(restorer.network, restorer.settings, middle, restorer.sigma, "the middle slice")
    with tqdm(total=len(slices), unit="slice", disable=None, leave=None) as bar:
        if background is None:
            restored = np.concatenate(list(_in_batches(stacks, restorer, bar)), axis=-3)
        else:
            windows = windows_around(
                tissue_in_slices(background.tissue, cut, remaining),
                background.margin,
                restorer.passes,
                is_fast=restorer.network.is_fast,
            )
            restored = _within_windows(slices, stacks, windows, restorer, bar)
    return np.moveaxis(restored, (-3, -2, -1), [axis - 3 for axis in cut])


def _within_windows(
    slices: NDArray[np.float32],
    stacks: NDArray[np.float32],
    windows: Sequence[Window | None],
    restorer: _SliceRestorer,
    bar: tqdm,
) -> NDArray[np.float32]:
    """Restore the windows of slices, with their neighbours in `stacks`, and interpolate the rest."""
    share = computed_share(windows, (slices.shape[1], slices.shape[2]))
    logger.info("background, interpolated with cubic B-splines: %.0f %% of the image", 100 * (1 - share))
    factors = restorer.network.factors
    restored = restorer.interpolated(enlarge(slices, (1, *factors), bspline_matrix))
    for group in _of_one_size(windows):
        cut = np.stack([stacks[place][:, *window.place()] for place, window in group])
        done = 0
        for batch in _in_batches(cut, restorer, bar):
            for offset in range(batch.shape[-3]):
                place, window = group[done + offset]
                into = restored[..., place, *window.place(factors)]
                into += window.weights(factors) * (batch[..., offset, :, :] - into)
            done += batch.shape[-3]
    bar.update(sum(window is None for window in windows))
    return restored


def _of_one_size(windows: Sequence[Window | None]) -> list[list[tuple[int, Window]]]:
    """Group windows, with the indices of their slices, by size."""
    groups: dict[tuple[int, int], list[tuple[int, Window]]] = {}
    for place, window in enumerate(windows):
        if window:
            groups.setdefault(window.shape, []).append((place, window))
    return list(groups.values())


def _in_batches(stacks: NDArray[np.float32], restorer: _SliceRestorer, bar: tqdm) -> Iterator[NDArray[np.float32]]:
    """Restore slices with their neighbours, shape (slice, depth, rows, columns), in batches that fit into the memory.

    If memory runs out nevertheless, the batches are halved, then the tiles.
    """
    network, settings = restorer.network, restorer.settings
    tile, done = settings.tile_lr, 0
    count = slices_per_batch(network, min(tile, stacks.shape[-2]) * min(tile, stacks.shape[-1]))
    while done < len(stacks):
        try:
            part = stacks[done : done + count]
            result = restore_in_tiles(
                part, restorer.restore, network.factors, tile, min(settings.overlap_lr, tile // 2)
            )
        except torch.OutOfMemoryError:
            if count == 1 and tile <= MIN_TILE:
                device = device_name(device_of(network))
                raise UserError(
                    f"the memory of {device} is too small for a tile of {tile} x {tile} voxels. "
                    "Free some of it, or use another device (resources.device: cpu)."
                ) from None
            count, tile = (count // 2, tile) if count > 1 else (1, max(MIN_TILE, tile // 2))
            logger.warning("out of memory; continuing with %d slice(s) at a time, tiles of %d voxels", count, tile)
            continue
        yield result
        done += len(part)
        bar.update(len(part))
