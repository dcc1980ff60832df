"""Restoration of images that do not fit into memory, tile by tile.

Tiles overlap and are blended (see pipeline.inference.tiles). Networks that enlarge within the planes restore one plane
after the other; those that restore thick sections, and baselines, are given all sections of a tile (see
pipeline.inference.block_methods). Finished parts are written to a hidden folder beside the output, from which a run
that was killed continues. The output appears under its name when it is complete.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.code_version import code_version
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.files import DISK_ERRORS, read_json, write_json
from pipeline.formats._pyramid import add_coarser_levels, create_level, open_level
from pipeline.formats.io.predictions import warn_of_clipping
from pipeline.formats.tiled import TiledImage, Unit, fitting_format
from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE, IntensityMap
from pipeline.image.intensity_limits import log_limited
from pipeline.image.lengths import MILLIMETRES
from pipeline.inference.block_methods import BlockMethod, RestoredBlock, enlarged_shape
from pipeline.inference.channel_statistics import ChannelStatistics, channel_statistics, read_finite, read_unit
from pipeline.inference.domain import outside_domain
from pipeline.inference.error_map import UncertaintyKind
from pipeline.inference.result_check import Agreement, check_agreement
from pipeline.inference.tiles import ReadTile, Tiling, restored_blocks

logger = logging.getLogger(__name__)


def restore_large(method: BlockMethod, image: TiledImage, settings: Infer, output: Path) -> int:
    """Restore all planes or stacks of an image and write them in its format, whole or not at all.

    A method with a kind of uncertainty writes the uncertainty map instead, as 32-bit floats in the units of the image;
    that of every tile is computed from its own voxels.

    Args:
        method: network or baseline; a run that was killed continues only with the same one.
        image: open until this returns.
        settings: the section `infer`.
        output: path of the result, in the format of the image.

    Returns:
        Number of pixels that were clipped to the range of the dtype.

    Raises:
        UserError: the image is damaged, without contrast or too small, the output is of another format, another process
            writes the same output, or the result disagrees with the image.
    """
    fitting_format(image.path, output)
    key = _key(method, image, settings)
    with _workplace(output) as folder:
        job = _Job.resumed(folder, key, method, image) or _Job.started(folder, key, method, image, settings)
        if method.uncertainty is None:
            _warn_outside_domain(method, image, job.progress.channels)
        job.restore(settings)
        if method.uncertainty is None:
            check_agreement(image.path, job.progress.agreement, force=settings.force)
            if job.progress.limited:
                log_limited(image.path, job.progress.limited)
            warn_of_clipping(output, job.progress.saturated, math.prod(job.shape), image.intensity.dtype)
        job.deliver(output)
        shutil.rmtree(folder)
    return job.progress.saturated


@dataclass(frozen=True)
class _Progress:
    """State of a job, stored beside its unfinished result.

    Attributes:
        key: hash of everything that the result depends on.
        channels: statistics of every channel.
        unit: number of finished planes, or stacks.
        row: number of finished rows of the next one.
        saturated: pixels clipped so far.
        limited: pixels so far whose intensity was limited before the network.
        agreement: of the finished part with the image.
    """

    key: str
    channels: tuple[ChannelStatistics, ...]
    unit: int = 0
    row: int = 0
    saturated: int = 0
    limited: int = 0
    agreement: Agreement = field(default_factory=Agreement)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> _Progress:
        """Read what `dataclasses.asdict` returned."""
        channels = tuple(ChannelStatistics(**one) for one in values["channels"])
        return cls(**{**values, "channels": channels, "agreement": Agreement(**values["agreement"])})


class _Job:
    """A restoration whose progress is stored on the disk."""

    def __init__(self, folder: Path, method: BlockMethod, image: TiledImage, progress: _Progress) -> None:
        self._folder, self._method, self._image = folder, method, image
        self._units: Sequence[Unit] = image.stacks if method.across_sections else image.planes
        self.progress = progress
        self._group = zarr.open_group(folder / "image", mode="a", zarr_format=image.zarr_format)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return cast(zarr.Array, self._group["0"]).shape

    @classmethod
    def resumed(cls, folder: Path, key: str, method: BlockMethod, image: TiledImage) -> _Job | None:
        """Return the job that was interrupted in a folder; None where there is none, or another one."""
        # A run that was killed after it had delivered the image leaves progress.json alone.
        if not (folder / "progress.json").is_file() or not (folder / "image").is_dir():
            return None
        values = read_json(folder / "progress.json")
        if values["key"] != key:
            logger.info("an unfinished result is discarded: the image, method, settings or code have changed")
            return None
        progress = _Progress.from_json(values)
        noun = "stack" if method.across_sections else "plane"
        logger.info("continuing with %s %d, row %d", noun, progress.unit, progress.row)
        for stray in (folder / "image").rglob("*.partial"):  # zarr was writing it when it was killed
            stray.unlink()
        return cls(folder, method, image, progress)

    @classmethod
    def started(cls, folder: Path, key: str, method: BlockMethod, image: TiledImage, settings: Infer) -> _Job:
        """Empty the folder and begin with the first unit."""
        for name in ("image", "progress.json"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).unlink(missing_ok=True)
        progress = _Progress(key, tuple(channel_statistics(image, settings)))
        job = cls(folder, method, image, progress)
        dtype = np.dtype(_stored_intensity(image.intensity, method.uncertainty).dtype)
        create_level(job._group, "0", enlarged_shape(image, method.factors), dtype, f"{image.leading}yx")
        job._update()
        return job

    def deliver(self, output: Path) -> None:
        """Add the coarser levels and write the result to its final path."""
        logger.info("writing %s", output)
        add_coarser_levels(self._group, f"{self._image.leading}yx")
        processing = {
            "channels": [asdict(one) for one in self.progress.channels],
            "offset_percentile": LOW_PERCENTILE,
            "scale_percentile": PERCENTILE,
            **self._method.processing,
        }
        if self._method.uncertainty is not None:
            processing["quantity"] = self._method.uncertainty.description
        module = fitting_format(self._image.path, output)
        module.deliver(self._folder / "image", self._image, self._method.factors, processing, output)

    def restore(self, settings: Infer) -> None:
        """Restore the remaining units."""
        tiling = self._method.tiling(self._image, settings)
        total = len(self._units) * len(tiling.along(0)) * len(tiling.along(1))
        done = self.progress.unit * total // len(self._units)
        with tqdm(total=total, initial=done, unit="tile", disable=None) as bar:
            for number in range(self.progress.unit, len(self._units)):
                self._restore_unit(settings, tiling, self._units[number], bar)
                self._update(unit=number + 1, row=0)

    def _restore_unit(self, settings: Infer, tiling: Tiling, unit: Unit, bar: tqdm) -> None:
        channel = self.progress.channels[self._image.channel_of(unit)]
        intensity = replace(self._image.intensity, offset=channel.offset, scale=channel.scale)
        stored = _stored_intensity(intensity, self._method.uncertainty)
        restore_block = self._method.prepared(self._image, unit, channel, settings)
        agreement, outliers, saturated = self.progress.agreement, self.progress.limited, self.progress.saturated

        def restore(part: NDArray) -> NDArray[np.float32]:
            nonlocal agreement, outliers
            bar.update()
            found: RestoredBlock = restore_block(part)
            agreement += found.agreement
            outliers += found.limited
            return found.values

        array = open_level(self._group, "0")
        is_stack = any(isinstance(one, slice) for one in unit)
        for rows, columns, values in restored_blocks(_reader(self._image, unit), tiling, restore, self.progress.row):
            written, clipped = stored.to_stored(values)
            array[(*unit, rows, columns)] = written if is_stack else written[0]
            saturated += clipped
            if columns.stop == array.shape[-1]:
                self._update(row=rows.stop, saturated=saturated, limited=outliers, agreement=agreement)

    def _update(self, **changes: Any) -> None:
        self.progress = replace(self.progress, **changes)
        write_json(self._folder / "progress.json", asdict(self.progress))


def _reader(image: TiledImage, unit: Unit) -> ReadTile:
    """Return a function that reads a tile of a unit, shape (sections, rows, columns)."""
    if len(image.planes_in(unit)) > 1:
        return lambda rows, columns: read_unit(image, unit, rows, columns)
    [plane] = image.planes_in(unit)

    # Files whose pixels are packed in rows are decoded once for each row of tiles.
    @lru_cache(maxsize=1)
    def strip(start: int, stop: int) -> NDArray:
        return read_finite(image, plane, slice(start, stop), slice(0, image.plane_shape[1]))[None]

    return lambda rows, columns: strip(rows.start, rows.stop)[..., columns]


def _warn_outside_domain(method: BlockMethod, image: TiledImage, channels: Sequence[ChannelStatistics]) -> None:
    """Log the properties of an image that lie outside the range of the training data."""
    sizes = None
    if image.voxel_um is not None:
        along = zip(image.voxel_um, reversed(method.factors), strict=True)
        sizes = [MILLIMETRES["um"] * size for size, factor in along if factor > 1]
    found = [sentence for one in channels for sentence in outside_domain(method.domain, one.noise_sigma, sizes)]
    for sentence in dict.fromkeys(found):
        logger.warning("%s: %s. The result may be worse than interpolation.", image.path, sentence)


def _stored_intensity(intensity: IntensityMap, uncertainty: UncertaintyKind | None) -> IntensityMap:
    """Return the stored intensities of a result: those of the image or, for an uncertainty map, floats."""
    if uncertainty is None:
        return intensity
    return replace(intensity.of_differences(), slope=1.0, intercept=0.0, dtype="float32")


def _key(method: BlockMethod, image: TiledImage, settings: Infer) -> str:
    """Return a hash of everything that the result depends on."""
    files = sorted(path for path in image.path.rglob("*") if path.is_file()) or [image.path]
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    parts = (
        method.key,
        settings.model_dump_json(exclude={"force"}),
        code_version(__name__),
        str(image.path.resolve()),
        image.wanted,
        image.metadata,
        stamps,
        method.uncertainty,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@contextmanager
def _workplace(output: Path) -> Iterator[Path]:
    """Yield the folder of an unfinished output, locked against other processes.

    Raises:
        UserError: another process works there, or the disk is full or cannot be written to.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lease.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"{output}: another process is writing it; wait for it or stop it.") from error
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}. Is its folder writable?") from error
    try:
        yield folder
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise UserError(
                f"cannot write {output}: {error.strerror}. Free some space on the disk and run again; it continues."
            ) from error
        raise
    finally:
        lock.release()
        if not (folder / "progress.json").exists():  # nothing was started
            shutil.rmtree(folder, ignore_errors=True)
