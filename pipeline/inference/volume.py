"""Whole volumes through a network, slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from pipeline.cli import show_progress
from pipeline.config.stages import Infer
from pipeline.errors import UserError
from pipeline.fidelity.disagreement import Moments, moments_of, spread_of
from pipeline.inference.memory import device_of, slices_at_once
from pipeline.inference.tiles import Restore, restore_in_tiles
from pipeline.models.device import device_words
from pipeline.models.generator import Generator
from pipeline.physics.between import slices_between
from pipeline.physics.grid import Cut, cuts
from pipeline.validation import Excerpt

logger = logging.getLogger(__name__)

SMALLEST_TILE = 32
"""Low-resolution voxels along a tile's sides, below which a lack of memory is not answered by smaller tiles."""
MOST_VIEWS = 8
"""The flips and transposes that a slice has."""


def restore_slice(network: nn.Module, image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Passes low-resolution slices through a one-channel network on whatever device it is.

    Args:
        network: maps a batch, and the noise of each image in it, to restored images.
        image: normalised intensities, one slice (rows, columns), or several of one size along leading axes.
        sigma: standard deviation of the noise, as a fraction of the normalised range.

    Returns:
        The restored slices, float32, with the same leading axes.
    """
    device = device_of(network)
    batch = torch.from_numpy(np.array(image, dtype=np.float32)).reshape(-1, 1, *image.shape[-2:])
    batch = batch.to(device, memory_format=torch.channels_last)
    with torch.inference_mode():
        restored = network(batch, torch.full((len(batch),), sigma, device=device)).float().cpu().numpy()
    return restored.reshape(*image.shape[:-2], *restored.shape[-2:])


def _turned(image: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """One of eight views of images: bit 0 flips the rows, bit 1 the columns, bit 2 transposes."""
    flipped = image[..., :: -1 if view & 1 else 1, :: -1 if view & 2 else 1]
    return flipped.swapaxes(-2, -1) if view & 4 else flipped


def _turned_back(image: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """Undoes `_turned`."""
    flipped = image.swapaxes(-2, -1) if view & 4 else image
    return flipped[..., :: -1 if view & 1 else 1, :: -1 if view & 2 else 1]


def restore_in_views(network: Generator, image: NDArray[np.float32], sigma: float, views: int) -> NDArray[np.float32]:
    """Restores slices, or tiles of them, and averages over their views; see `restore_slice` and `restore_volume`."""
    return np.asarray(np.mean(restored_views(network, image, sigma, views), axis=0), dtype=np.float32)


def restored_views(network: Generator, image: NDArray[np.float32], sigma: float, views: int) -> NDArray[np.float32]:
    """Restores views of slices and turns the results back; returns them all, the views along the first axis."""
    possible = range(min(views, 4) if _columns_alone(network) else views)
    return np.stack([_turned_back(restore_slice(network, _turned(image, view), sigma), view) for view in possible])


def restore_excerpt(network: Generator, excerpt: Excerpt, views: int = 1) -> NDArray[np.float32]:
    """Restores the slices of an excerpt, told the noise that they were measured with; see `restore_volume`."""
    model = excerpt.model
    return restore_volume(
        network, excerpt.measured, model.factors, excerpt.slice_axis, Infer(), model.noise_sigma, views
    )


def restore_volume(
    network: Generator,
    lr: NDArray[np.float32],
    factors: Sequence[int],
    slice_axis: int,
    settings: Infer,
    sigma: float,
    views: int = 1,
) -> NDArray[np.float32]:
    """Restores a volume slice by slice.

    Which slices these are depends on what is enlarged, see `pipeline.physics.grid.cuts`; where there are two or three
    ways to cut, their results are averaged. Where the axis across the slices is enlarged as well, the volume is first
    interpolated along it, see `pipeline.physics.between`.

    Args:
        network: one-channel network, in evaluation mode.
        lr: low-resolution volume, normalised, shape (x, y, z).
        factors: enlargement along each axis: the network's.
        slice_axis: axis along which the slices follow each other.
        settings: the section `infer`.
        sigma: standard deviation of the noise of `lr`, as a fraction of the normalised range.
        views: flips and transposes of each slice, 1 to 8, whose results are turned back and averaged. Networks that
            enlarge columns alone have no transposes, and 4 views at most.

    Returns:
        Restored volume, float32, larger by the factors.
    """

    def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return restore_in_views(network, image, sigma, views)

    ways = cuts(factors, slice_axis)
    return _mean(_restore_slices(network, lr, factors, cut, settings, restore) for cut in ways)


def restore_with_spread(
    networks: Sequence[Generator],
    lr: NDArray[np.float32],
    factors: Sequence[int],
    slice_axis: int,
    settings: Infer,
    sigma: float,
    views: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Restores a volume, and tells where the views of its slices disagree, in one pass.

    Args:
        networks: the one whose result is wanted, then those whose disagreement with it counts as well.
        lr: as in `restore_volume`.
        factors: as in `restore_volume`.
        slice_axis: as in `restore_volume`.
        settings: as in `restore_volume`.
        sigma: as in `restore_volume`.
        views: of the result; the spread is always over all views that a network has.

    Returns:
        What `restore_volume` returns for the first network, to the last bit, and the standard deviation over all views,
        ways to cut and networks, float32, of the same shape.
    """
    ways = cuts(factors, slice_axis)
    found = [
        _restore_slices(network, lr, factors, cut, settings, _with_moments(network, sigma, views))
        for network in networks
        for cut in ways
    ]
    return _mean(one[0] for one in found[: len(ways)]), spread_of([Moments(one[1], one[2]) for one in found])


def _mean(results: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns the mean of volumes, without holding more than two of them where they are made one by one."""
    total: NDArray[np.float32] | None = None
    count = 0
    for one in results:
        total, count = one if total is None else total + one, count + 1
    assert total is not None
    return np.asarray(total / count, dtype=np.float32)


def _with_moments(network: Generator, sigma: float, views: int) -> Restore:
    """Gives a function that restores slices: the mean over the views wanted, then mean and variance over all."""

    def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = restored_views(network, image, sigma, MOST_VIEWS)
        return np.stack([np.mean(seen[:views], axis=0), *moments_of(seen)])

    return restore


def _columns_alone(network: Generator) -> bool:
    rows, columns = network.factors
    return rows != columns


def _restore_slices(
    network: Generator,
    lr: NDArray[np.float32],
    factors: Sequence[int],
    cut: Cut,
    settings: Infer,
    restore: Restore,
) -> NDArray[np.float32]:
    """Restores all slices of one way to cut the volume; leading axes of what `restore` returns lead here as well."""
    between = np.moveaxis(slices_between(lr, factors[cut.normal], cut.normal), cut, (0, 1, 2))
    with tqdm(total=len(between), unit="slice", disable=not show_progress()) as bar:
        results = list(_in_batches(between, network, settings, restore, bar))
    return np.moveaxis(np.concatenate(results, axis=-3), (-3, -2, -1), [axis - 3 for axis in cut])


def _in_batches(
    slices: NDArray[np.float32], network: Generator, settings: Infer, restore: Restore, bar: tqdm
) -> Iterator[NDArray[np.float32]]:
    """Restores slices of shape (slice, rows, columns), as many at a time as the device's memory holds.

    Where memory does not suffice after all, batches are halved, then tiles.
    """
    tile, done = settings.tile_lr, 0
    count = slices_at_once(network, min(tile, slices.shape[1]) * min(tile, slices.shape[2]))
    while done < len(slices):
        try:
            part = slices[done : done + count]
            result = restore_in_tiles(part, restore, network.factors, tile, min(settings.overlap_lr, tile // 2))
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
