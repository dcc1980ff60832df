"""Restoration of images that do not fit into memory, tile by tile.

Tiles overlap and are blended (see pipeline.inference.tiles). Finished parts are written to a hidden folder beside the
output, from which a run that was killed continues. The output appears under its name when it is complete.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
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
from pipeline.formats.tiled import Plane, TiledImage, fitting_format
from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE, IntensityMap
from pipeline.image.intensity_limits import limited, log_limited
from pipeline.image.lengths import MILLIMETRES
from pipeline.inference.backends._compute import FULL_PRECISION
from pipeline.inference.channel_statistics import (
    ChannelStatistics,
    channel_statistics,
    normalised,
    physical_values,
    read_finite,
)
from pipeline.inference.domain import outside_domain
from pipeline.inference.error_map import UncertaintyKind
from pipeline.inference.forward_pass import engine_for, log_precision_change
from pipeline.inference.memory import device_of
from pipeline.inference.neighbours import without_neighbours
from pipeline.inference.result_check import Agreement, agreement_of, cell_means, check_agreement, without_outliers
from pipeline.inference.tiles import Tiling, restored_blocks
from pipeline.inference.tta import MAX_AUGMENTATIONS, restore_augmented, restore_averaged
from pipeline.models.generator import Generator

logger = logging.getLogger(__name__)


def restore_large(network: Generator, image: TiledImage, settings: Infer, output: Path, generator_sha256: str) -> int:
    """Restore all planes of an image and write them in its format, whole or not at all.

    Args:
        network: one-channel network on its device, in evaluation mode.
        image: open until this returns.
        settings: the section `infer`.
        output: path of the result, in the format of the image.
        generator_sha256: of the network's file; a run that was killed continues only with the same one.

    Returns:
        Number of pixels that were clipped to the range of the dtype.

    Raises:
        UserError: the image is damaged, without contrast or too small, the output is of another format, the network
            enlarges columns alone, another process writes the same output, or the result disagrees with the image.
    """
    with _job(network, image, settings, output, generator_sha256, None) as job:
        _warn_outside_domain(network, image, job.progress.channels)
        job.restore_planes(network, settings)
        check_agreement(image.path, job.progress.agreement, force=settings.force)
        if job.progress.limited:
            log_limited(image.path, job.progress.limited)
        warn_of_clipping(output, job.progress.saturated, math.prod(job.shape), image.intensity.dtype)
        job.deliver(output, generator_sha256)
    return job.progress.saturated


def uncertainty_large(
    network: Generator,
    image: TiledImage,
    settings: Infer,
    output: Path,
    generator_sha256: str,
    uncertainty: UncertaintyKind,
) -> None:
    """Write the uncertainty map of an image as 32-bit floats; every tile is computed from its own voxels.

    It is in the units of the image; all other arguments and errors are those of `restore_large`.
    """
    with _job(network, image, settings, output, generator_sha256, uncertainty) as job:
        job.restore_planes(network, settings)
        job.deliver(output, generator_sha256)


@contextmanager
def _job(
    network: Generator,
    image: TiledImage,
    settings: Infer,
    output: Path,
    generator_sha256: str,
    uncertainty: UncertaintyKind | None,
) -> Iterator[_Job]:
    """Yield the job of an output, continued where it was interrupted; its folder is removed when it is done."""
    rows_factor, columns_factor = network.factors
    if rows_factor != columns_factor:
        raise UserError("--model: this network enlarges columns alone; a plane needs one that enlarges both axes.")
    fitting_format(image.path, output)
    key = _key(network, image, settings, generator_sha256, uncertainty)
    with _workplace(output) as folder:
        target = (image, columns_factor, uncertainty)
        yield _Job.resumed(folder, key, *target) or _Job.started(folder, key, *target, settings)
        shutil.rmtree(folder)


@dataclass(frozen=True)
class _Progress:
    """State of a job, stored beside its unfinished result.

    Attributes:
        key: hash of everything that the result depends on.
        channels: statistics of every channel.
        plane: number of finished planes.
        row: number of finished rows of the next plane.
        saturated: pixels clipped so far.
        limited: pixels so far whose intensity was limited before the network.
        agreement: of the finished part with the image.
    """

    key: str
    channels: tuple[ChannelStatistics, ...]
    plane: int = 0
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

    def __init__(
        self, folder: Path, image: TiledImage, factor: int, uncertainty: UncertaintyKind | None, progress: _Progress
    ) -> None:
        self._folder, self._image, self._factor = folder, image, factor
        self._uncertainty = uncertainty
        self.progress = progress
        self._group = zarr.open_group(folder / "image", mode="a", zarr_format=image.zarr_format)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return cast(zarr.Array, self._group["0"]).shape

    @classmethod
    def resumed(
        cls, folder: Path, key: str, image: TiledImage, factor: int, uncertainty: UncertaintyKind | None
    ) -> _Job | None:
        """Return the job that was interrupted in a folder; None where there is none, or another one."""
        # A run that was killed after it had delivered the image leaves progress.json alone.
        if not (folder / "progress.json").is_file() or not (folder / "image").is_dir():
            return None
        values = read_json(folder / "progress.json")
        if values["key"] != key:
            logger.info("an unfinished result is discarded: the image, network, settings or code have changed")
            return None
        progress = _Progress.from_json(values)
        logger.info("continuing with plane %d, row %d", progress.plane, progress.row)
        for stray in (folder / "image").rglob("*.partial"):  # zarr was writing it when it was killed
            stray.unlink()
        return cls(folder, image, factor, uncertainty, progress)

    @classmethod
    def started(
        cls,
        folder: Path,
        key: str,
        image: TiledImage,
        factor: int,
        uncertainty: UncertaintyKind | None,
        settings: Infer,
    ) -> _Job:
        """Empty the folder and begin with the first plane."""
        for name in ("image", "progress.json"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).unlink(missing_ok=True)
        progress = _Progress(key, tuple(channel_statistics(image, settings)))
        job = cls(folder, image, factor, uncertainty, progress)
        shape = (*image.shape[:-2], *(size * factor for size in image.plane_shape))
        dtype = np.dtype(_stored_intensity(image.intensity, uncertainty).dtype)
        create_level(job._group, "0", shape, dtype, f"{image.leading}yx")
        job._update()
        return job

    def deliver(self, output: Path, generator_sha256: str) -> None:
        """Add the coarser levels and write the result to its final path."""
        logger.info("writing %s", output)
        add_coarser_levels(self._group, f"{self._image.leading}yx")
        processing = {
            "channels": [asdict(one) for one in self.progress.channels],
            "factor": self._factor,
            "generator_sha256": generator_sha256,
            "offset_percentile": LOW_PERCENTILE,
            "scale_percentile": PERCENTILE,
        }
        if self._uncertainty is not None:
            processing["quantity"] = self._uncertainty.description
        module = fitting_format(self._image.path, output)
        module.deliver(self._folder / "image", self._image, self._factor, processing, output)

    def restore_planes(self, network: Generator, settings: Infer) -> None:
        """Restore the remaining planes."""
        factors = (self._factor, self._factor)
        tiling = Tiling(self._image.plane_shape, factors, settings.tile_lr, settings.overlap_lr)
        planes = self._image.planes
        total = len(planes) * len(tiling.along(0)) * len(tiling.along(1))
        done = self.progress.plane * total // len(planes)
        with tqdm(total=total, initial=done, unit="tile", disable=None) as bar:
            for number in range(self.progress.plane, len(planes)):
                self._restore_plane(network, settings, tiling, planes[number], bar)
                self._update(plane=number + 1, row=0)

    def _restore_plane(self, network: Generator, settings: Infer, tiling: Tiling, plane: Plane, bar: tqdm) -> None:
        channel = self.progress.channels[self._image.channel_of(plane)]
        intensity = replace(self._image.intensity, offset=channel.offset, scale=channel.scale)
        engine = engine_for(network, settings)
        augmentations = network.record.self_ensemble
        agreement, outliers, saturated = self.progress.agreement, self.progress.limited, self.progress.saturated

        def restore(part: NDArray) -> NDArray[np.float32]:
            nonlocal agreement, outliers
            bar.update()
            values = normalised(part, intensity)
            within = limited(values)
            given = without_neighbours(within.values, network.shape.neighbours)
            if self._uncertainty is not None:
                results = restore_augmented(engine, given, channel.noise_sigma, MAX_AUGMENTATIONS)
                mean = within.added_to(np.mean(results[:augmentations], axis=0), tiling.factors)
                return self._uncertainty.of(mean, values, np.std(results, axis=0), tiling.factors)
            restored = restore_averaged(engine, given, channel.noise_sigma, augmentations)
            restored = within.added_to(restored, tiling.factors)
            again = intensity.to_physical(cell_means(restored, tiling.factors))
            physical = without_outliers(physical_values(part, intensity), values)
            agreement += agreement_of(again, physical, channel.scale, channel.noise_sigma)
            outliers += within.voxels
            return restored

        def read(rows: slice) -> NDArray:
            return read_finite(self._image, plane, rows, slice(0, tiling.shape[1]))

        if settings.precision != FULL_PRECISION:
            middle = [tiles[len(tiles) // 2] for tiles in (tiling.along(0), tiling.along(1))]
            values = normalised(read_finite(self._image, plane, *middle), intensity)
            given = without_neighbours(limited(values).values, network.shape.neighbours)
            log_precision_change(network, settings, given, channel.noise_sigma, "the middle tile")
        array, stored = open_level(self._group, "0"), _stored_intensity(intensity, self._uncertainty)
        for rows, columns, values in restored_blocks(read, tiling, restore, self.progress.row):
            array[(*plane, rows, columns)], clipped = stored.to_stored(values)
            saturated += clipped
            if columns.stop == array.shape[-1]:
                self._update(row=rows.stop, saturated=saturated, limited=outliers, agreement=agreement)

    def _update(self, **changes: Any) -> None:
        self.progress = replace(self.progress, **changes)
        write_json(self._folder / "progress.json", asdict(self.progress))


def _warn_outside_domain(network: Generator, image: TiledImage, channels: Sequence[ChannelStatistics]) -> None:
    """Log the properties of an image that lie outside the range of the training data."""
    sizes = None if image.voxel_um is None else [MILLIMETRES["um"] * size for size in image.voxel_um[:2]]
    domain = network.record.domain
    found = [sentence for one in channels for sentence in outside_domain(domain, one.noise_sigma, sizes)]
    for sentence in dict.fromkeys(found):
        logger.warning("%s: %s. The result may be worse than interpolation.", image.path, sentence)


def _stored_intensity(intensity: IntensityMap, uncertainty: UncertaintyKind | None) -> IntensityMap:
    """Return the stored intensities of a result: those of the image or, for an uncertainty map, floats."""
    if uncertainty is None:
        return intensity
    return replace(intensity.of_differences(), slope=1.0, intercept=0.0, dtype="float32")


def _key(
    network: Generator, image: TiledImage, settings: Infer, generator_sha256: str, uncertainty: UncertaintyKind | None
) -> str:
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
        uncertainty,
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
