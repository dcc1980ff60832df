"""Images that do not fit into memory: restored tile by tile, and written as they are finished.

Tiles overlap and are blended as in pipeline.inference.tiles. In memory are the pixels of one row of tiles, the result
of one tile, and those results that overlap the next row, where they wait for it. What is finished goes to a folder
beside the output, whose name begins with a dot.
A run that was killed goes on from there, and under the output's name nothing stands until all is done.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from scipy.stats import qmc
from tqdm import tqdm

from pipeline.code_version import code_version
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.files import DISK_ERRORS, read_json, write_json
from pipeline.formats._pyramid import add_coarser_levels, create_level, open_level
from pipeline.formats.io.predictions import warn_of_clipping
from pipeline.formats.tiled import Plane, TiledImage, fitting_format
from pipeline.image.image import MILLIMETRES
from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE, IntensityMap, IntensityRange, intensity_range
from pipeline.image.intensity_limits import limited, log_limited
from pipeline.inference.backends._compute import FULL_PRECISION
from pipeline.inference.domain import outside_domain
from pipeline.inference.forward_pass import engine_for, tell_change
from pipeline.inference.memory import device_of
from pipeline.inference.result_check import Agreement, agreement_of, cell_means, check_agreement, without_outliers
from pipeline.inference.tiles import ramp, tiles_along
from pipeline.inference.volume import MAX_VIEWS, restore_in_views, restored_views
from pipeline.models.generator import Generator
from pipeline.physics.noise_level import estimate_sigma

logger = logging.getLogger(__name__)

SAMPLE_TILES, SAMPLE_SIDE = 32, 256
"""Squares of pixels of each channel from which its brightness and noise are estimated."""

Restore = Callable[[NDArray], NDArray[np.float32]]
ReadRows = Callable[[slice], NDArray]


class Tiling(NamedTuple):
    """How an image is cut.

    Attributes:
        shape: rows and columns of the image.
        factor: enlargement along both.
        tile: greatest side of a tile, in pixels of the image.
        overlap: least overlap of neighbouring tiles, in pixels of the image.
    """

    shape: tuple[int, int]
    factor: int
    tile: int
    overlap: int

    def along(self, axis: int) -> list[slice]:
        """Return the tiles along an axis."""
        return tiles_along(self.shape[axis], self.tile, self.overlap)

    def shares(self, axis: int) -> list[NDArray[np.float32]]:
        """Return the weights of each tile along an axis; at every pixel of the result they add up to one."""
        places = [slice(one.start * self.factor, one.stop * self.factor) for one in self.along(axis)]
        weights = [ramp(place.stop - place.start, self.overlap * self.factor) for place in places]
        total = np.zeros(self.shape[axis] * self.factor)
        for place, weight in zip(places, weights, strict=True):
            total[place] += weight
        return [(weight / total[place]).astype(np.float32) for place, weight in zip(places, weights, strict=True)]


@dataclass(frozen=True)
class Level:
    """What is known of a channel.

    Attributes:
        offset: physical value that becomes 0: the 0.1th percentile of the pixels that were looked at. Colours share
            one range, so that no hue changes: their lowest offset, and the highest end.
        scale: distance from there to the physical value that becomes 1, the 99.9th percentile of these pixels.
        noise_sigma: standard deviation of its noise, as a fraction of the scale.
    """

    offset: float
    scale: float
    noise_sigma: float


class Block(NamedTuple):
    """A finished part of a result.

    Attributes:
        rows: where it lies.
        columns: where it lies.
        values: float32.
    """

    rows: slice
    columns: slice
    values: NDArray[np.float32]


def restored_blocks(read: ReadRows, tiling: Tiling, restore: Restore, first: int = 0) -> Iterator[Block]:
    """Restore an image and yields its parts from row `first` on: all of some rows, from left to right, then the next.

    Args:
        read: returns rows of the image, all columns.
        tiling: how the image is cut.
        restore: maps a part of the image to one that is larger by the factor.
        first: row of the result with which to begin. Values do not depend on where one begins.
    """
    factor, (height, width) = tiling.factor, tiling.shape
    tops, lefts = ([tile.start for tile in tiling.along(axis)] for axis in (0, 1))
    tiles = list(zip(tiling.along(1), [*lefts[1:], width], tiling.shares(1), strict=True))
    above = np.zeros((0, width * factor), dtype=np.float32)
    for rows, following, row_share in zip(tiling.along(0), [*tops[1:], height], tiling.shares(0), strict=True):
        if rows.stop * factor <= first:
            continue
        top, finished = rows.start * factor, (following - rows.start) * factor
        begin = max(first - top, 0)
        below = np.zeros((len(row_share) - finished, width * factor), dtype=np.float32)
        before = np.zeros((len(row_share), 0), dtype=np.float32)
        source = read(rows)
        for columns, right, share in tiles:
            left, done = columns.start * factor, (right - columns.start) * factor
            block = np.zeros((len(row_share), len(share)), dtype=np.float32)
            block[: len(above)] = above[:, left : left + len(share)]
            block[:, : before.shape[1]] = before  # with what is above it
            block += np.outer(row_share, share) * restore(source[:, columns])
            below[:, left : left + done] = block[finished:, :done]
            before = block[:, done:]
            if begin < finished:
                yield Block(slice(top + begin, top + finished), slice(left, left + done), block[begin:finished, :done])
        above = below


def restore_large(
    network: Generator,
    image: TiledImage,
    settings: Infer,
    output: Path,
    generator_sha256: str,
) -> int:
    """Restore all planes of an image and write them like the image, whole or not at all.

    Args:
        network: one-channel network on its device, in evaluation mode.
        image: open for as long as this takes.
        settings: the section `infer`.
        output: where the result goes, in the format of the image.
        generator_sha256: of the network's file; a run that was killed goes on only with the same one.

    Returns:
        How many pixels had to be clipped to the range of the dtype.

    Raises:
        UserError: the image is damaged, without contrast or too small, the output is of another format, the network
            enlarges columns alone, another process writes the same output, or the result disagrees with the image.
    """
    return _made(network, image, settings, output, generator_sha256, None)


def doubt_large(
    network: Generator, image: TiledImage, settings: Infer, output: Path, generator_sha256: str, factor: float
) -> None:
    """Write where the eight views of an image disagree, as `restore_large` writes the image; arguments as there.

    The standard deviation over the views times `factor`, in the units of the image, as 32-bit floats.
    """
    _made(network, image, settings, output, generator_sha256, factor)


def _made(
    network: Generator,
    image: TiledImage,
    settings: Infer,
    output: Path,
    generator_sha256: str,
    doubt: float | None,
) -> int:
    """Write the restored image, or, times `doubt`, its disagreement over views; arguments as in `restore_large`."""
    rows_factor, factor = network.factors
    if rows_factor != factor:
        raise UserError(
            "--model: this network brings slices closer together; a plane needs one that enlarges both axes."
        )
    module = fitting_format(image.path, output)
    key = _key(network, image, settings, generator_sha256, doubt)
    with _workplace(output) as folder:
        target = (image, factor, doubt)
        job = _Job.resumed(folder, key, *target) or _Job.started(folder, key, *target, settings)
        if doubt is None:
            _warn_outside_training(network, image, job.levels)
        job.restore_planes(network, settings)
        if doubt is None:
            check_agreement(image.path, job.agreement, force=settings.force)
            job.log_limited()
            warn_of_clipping(output, job.saturated, math.prod(job.shape), image.intensity.dtype)
        logger.info("writing %s", output)
        add_coarser_levels(job.group, f"{image.leading}yx")
        facts = {
            "channels": [asdict(level) for level in job.levels],
            "factor": factor,
            "generator_sha256": generator_sha256,
            "offset_percentile": LOW_PERCENTILE,
            "scale_percentile": PERCENTILE,
            **({} if doubt is None else {"disagreement_over_views_times": doubt}),
        }
        module.deliver(folder / "image", image, factor, facts, output)
        shutil.rmtree(folder)
    return job.saturated


class _Job:
    """A restoration that remembers on the disk how far it is."""

    def __init__(
        self, folder: Path, image: TiledImage, factor: int, doubt: float | None, record: dict[str, Any]
    ) -> None:
        self._folder, self._image, self._factor, self._doubt = folder, image, factor, doubt
        self._record = record
        self.group = zarr.open_group(folder / "image", mode="a", zarr_format=image.zarr_format)
        self.levels = [Level(**level) for level in record["levels"]]

    @property
    def saturated(self) -> int:
        """Pixels that had to be clipped."""
        return self._record["saturated"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return cast(zarr.Array, self.group["0"]).shape

    @property
    def agreement(self) -> Agreement:
        """Of the result with the image."""
        return Agreement(*self._record["agreement"])

    def log_limited(self) -> None:
        """Log how many pixels were limited, if any were."""
        if self._record["limited"]:
            log_limited(self._image.path, self._record["limited"])

    @classmethod
    def resumed(cls, folder: Path, key: str, image: TiledImage, factor: int, doubt: float | None) -> _Job | None:
        """Return the job that was interrupted in a folder; None where there is none, or another one."""
        # A run that was killed after it had delivered the image left the rest.
        if not (folder / "progress.json").is_file() or not (folder / "image").is_dir():
            return None
        record = read_json(folder / "progress.json")
        if record["key"] != key:
            logger.info("an unfinished result is there, but image, network, settings or code have changed")
            return None
        logger.info("continuing with plane %d, row %d", record["plane"], record["row"])
        for stray in (folder / "image").rglob("*.partial"):  # zarr was writing it when it was killed
            stray.unlink()
        return cls(folder, image, factor, doubt, record)

    @classmethod
    def started(
        cls, folder: Path, key: str, image: TiledImage, factor: int, doubt: float | None, settings: Infer
    ) -> _Job:
        """Empty the folder and begins with the first plane."""
        for name in ("image", "progress.json"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).unlink(missing_ok=True)
        levels = [asdict(level) for level in measured_levels(image, settings)]
        record = {
            "key": key,
            "levels": levels,
            "plane": 0,
            "row": 0,
            "saturated": 0,
            "limited": 0,
            "agreement": (0.0, 0.0, 0),
        }
        job = cls(folder, image, factor, doubt, record)
        shape = (*image.shape[:-2], *(size * factor for size in image.plane_shape))
        dtype = np.dtype(_written(image.intensity, doubt).dtype)
        create_level(job.group, "0", shape, dtype, f"{image.leading}yx")
        write_json(folder / "progress.json", job._record)
        return job

    def restore_planes(self, network: Generator, settings: Infer) -> None:
        """Restore what is not yet done."""
        tiling = Tiling(self._image.plane_shape, self._factor, settings.tile_lr, settings.overlap_lr)
        planes = self._image.planes
        total = len(planes) * len(tiling.along(0)) * len(tiling.along(1))
        done = self._record["plane"] * total // len(planes)
        with tqdm(total=total, initial=done, unit="tile", disable=None) as bar:
            for number in range(self._record["plane"], len(planes)):
                self._restore_plane(network, settings, tiling, planes[number], bar)
                self._remember(plane=number + 1, row=0)

    def _restore_plane(self, network: Generator, settings: Infer, tiling: Tiling, plane: Plane, bar: tqdm) -> None:
        level = self.levels[self._image.channel_of(plane)]
        intensity = replace(self._image.intensity, offset=level.offset, scale=level.scale)
        engine = engine_for(network, settings)
        views = network.record.self_ensemble

        agreement, outliers = self.agreement, int(self._record["limited"])

        def restore(part: NDArray) -> NDArray[np.float32]:
            nonlocal agreement, outliers
            bar.update()
            values = normalised(part, intensity)
            within = limited(values)
            factors = (self._factor, self._factor)
            if self._doubt is None:
                restored = restore_in_views(engine, within.values, level.noise_sigma, views)
                restored = within.added_to(restored, factors)
                again = intensity.to_physical(cell_means(restored, factors))
                physical = without_outliers(physical_values(part, intensity), values)
                agreement += agreement_of(again, physical, level.scale, level.noise_sigma)
                outliers += within.voxels
                return restored
            seen = restored_views(engine, within.values, level.noise_sigma, MAX_VIEWS)
            return np.asarray(self._doubt * np.std(seen, axis=0), dtype=np.float32)

        def read(rows: slice) -> NDArray:
            return read_finite(self._image, plane, rows, slice(0, tiling.shape[1]))

        if settings.precision != FULL_PRECISION:
            middle = [tiles[len(tiles) // 2] for tiles in (tiling.along(0), tiling.along(1))]
            values = normalised(read_finite(self._image, plane, *middle), intensity)
            tell_change(network, settings, limited(values).values, level.noise_sigma, "the middle tile")
        array, written = open_level(self.group, "0"), _written(intensity, self._doubt)
        saturated = self.saturated
        for rows, columns, values in restored_blocks(read, tiling, restore, self._record["row"]):
            array[(*plane, rows, columns)], clipped = written.to_stored(values)
            saturated += clipped
            if columns.stop == array.shape[-1]:
                record = (agreement.squares, agreement.noise, agreement.count)
                self._remember(row=rows.stop, saturated=saturated, limited=outliers, agreement=record)

    def _remember(self, **changes: Any) -> None:
        self._record.update(changes)
        write_json(self._folder / "progress.json", self._record)


def _warn_outside_training(network: Generator, image: TiledImage, levels: Sequence[Level]) -> None:
    """Log what about an image lies outside of what the network was trained on."""
    sizes = None if image.voxel_um is None else [MILLIMETRES["um"] * size for size in image.voxel_um[:2]]
    domain = network.record.domain
    found = [sentence for level in levels for sentence in outside_domain(domain, level.noise_sigma, sizes)]
    for sentence in dict.fromkeys(found):
        logger.warning("%s: %s. The result may be worse than interpolation.", image.path, sentence)


def measured_levels(image: TiledImage, settings: Infer) -> list[Level]:
    """Estimate brightness and noise of every channel from squares spread over its planes.

    Args:
        image: open.
        settings: the section `infer`; where it gives the noise, that is taken.

    Raises:
        UserError: a channel is dark, or the image is too small to tell its noise.
    """
    channels: dict[int, list[Plane]] = {}
    for plane in image.planes:
        channels.setdefault(image.channel_of(plane), []).append(plane)
    squares = {channel: sample(image, planes) for channel, planes in sorted(channels.items())}
    ranges = {channel: _range_of(image, channel, one) for channel, one in squares.items()}
    if image.coloured:
        offset = min(one.offset for one in ranges.values())
        shared = IntensityRange(offset, max(one.offset + one.scale for one in ranges.values()) - offset)
        ranges = dict.fromkeys(ranges, shared)
    levels = []
    for channel, one in squares.items():
        level = _measured(image, channel, one, ranges[channel], settings)
        logger.info(
            "channel %d: intensity range %g to %g, noise %.4f of it",
            *(channel, level.offset, level.offset + level.scale, level.noise_sigma),
        )
        levels.append(level)
    return levels


def sample(image: TiledImage, planes: list[Plane]) -> NDArray:
    """Return squares of pixels that are spread evenly over planes: shape (SAMPLE_TILES, rows, columns).

    Their places are a Halton sequence (Numerische Mathematik 2:84-90, 1960), the same for every image of a size.
    """
    sides = [min(size, SAMPLE_SIDE) for size in image.plane_shape]
    free = [size - side + 1 for size, side in zip(image.plane_shape, sides, strict=True)]
    squares = []
    for number, place in enumerate(qmc.Halton(2, scramble=False).random(SAMPLE_TILES)):
        plane = planes[number * len(planes) // SAMPLE_TILES]
        starts = [int(share * count) for share, count in zip(place, free, strict=True)]
        squares.append(read_finite(image, plane, *(slice(a, a + b) for a, b in zip(starts, sides, strict=True))))
    return np.stack(squares)


def _range_of(image: TiledImage, channel: int, squares: NDArray) -> IntensityRange:
    try:
        return intensity_range(physical_values(squares, image.intensity))
    except UserError as error:
        raise UserError(f"{image.path}: channel {channel}: {error} Leave it out (--channel).") from error


def _measured(image: TiledImage, channel: int, squares: NDArray, found: IntensityRange, settings: Infer) -> Level:
    if settings.noise_sigma is not None:
        return Level(*found, settings.noise_sigma)
    try:
        within = limited((physical_values(squares, image.intensity) - found.offset) / found.scale)
        return Level(*found, estimate_sigma(within.values, 0, "gaussian").sigma)
    except UserError as error:
        raise UserError(f"{image.path}: channel {channel}: {error}") from error


def read_finite(image: TiledImage, plane: Plane, rows: slice, columns: slice) -> NDArray:
    """Read a region.

    Raises:
        UserError: a pixel is NaN or infinite.
    """
    region = image.read(plane, rows, columns)
    if not np.all(np.isfinite(region)):
        raise UserError(f"{image.path}: rows {rows.start} to {rows.stop} have pixels that are NaN or infinite.")
    return region


def physical_values(stored: NDArray, intensity: IntensityMap) -> NDArray[np.float64]:
    """Map stored to physical intensities."""
    return stored.astype(np.float64) * intensity.slope + intensity.intercept


def normalised(stored: NDArray, intensity: IntensityMap) -> NDArray[np.float32]:
    """Map stored to normalised intensities."""
    return intensity.normalise(physical_values(stored, intensity))


def _written(intensity: IntensityMap, doubt: float | None) -> IntensityMap:
    """Return how results are stored: as the image is, or, where they are no intensities, as floats."""
    if doubt is None:
        return intensity
    return replace(intensity.of_differences(), slope=1.0, intercept=0.0, dtype="float32")


def _key(network: Generator, image: TiledImage, settings: Infer, generator_sha256: str, doubt: float | None) -> str:
    """Return a hash of everything that the result depends on."""
    files = sorted(path for path in image.path.rglob("*") if path.is_file()) or [image.path]
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    parts = (
        generator_sha256,
        device_of(network).type,
        settings.model_dump_json(exclude={"force"}),
        code_version(__name__),
        str(image.path.resolve()),
        image.wanted,
        image.metadata,
        stamps,
        doubt,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Yield the folder in which an output is made, and keep other processes off it.

    Raises:
        UserError: another process works there, or the disk is full or cannot be written to.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lease.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{output}: another process is making it; wait for it or stop it.") from error
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}. Is its folder writable?") from error
    try:
        yield folder
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise UserError(
                f"cannot write {output}: {error.strerror}. Make room on the disk and run again; it then goes on."
            ) from error
        raise
    finally:
        lock.release()
        if not (folder / "progress.json").exists():  # nothing was begun
            shutil.rmtree(folder, ignore_errors=True)
