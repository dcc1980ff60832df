"""Write uncertainty maps, in the formats of the volumes, and tables of their reliability.

A voxel of a map is the half-width of the 90 % prediction interval of the delivered method, calibrated on the validation
volumes. NIfTI, MGH, TIFF and OME-Zarr store it as 32-bit floats. DICOM stores integers and a slope: the maximum is
scaled to the full integer range. PNG stores neither floats nor a slope: the map is rounded up to whole grey levels, so
that the interval is never too short.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import about
from pipeline.fidelity.uncertainty import RestoredFiles, evaluate_uncertainty, read_restored
from pipeline.formats.io.container import map_image, write_image
from pipeline.formats.io.predictions import suffix_of, write_quantity
from pipeline.models.calibration import read_calibration
from pipeline.steps._shards import each, files_of, new_folder
from pipeline.tables.reliability import RELIABILITY, ReliabilityBin
from pipeline.tables.uncertainty import UNCERTAINTY, UncertaintySummary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    lr: list[Path]
    """Low-resolution volumes, in the same order (.safetensors)."""
    predictions: list[Path]
    """Volumes restored by the delivered method, or folders of them; the folders are named after the method."""
    tta_std: list[Path]
    """Standard deviations over flips and transposes, or folders of them (.safetensors)."""
    calibration: Path
    """The calibration (.json, from the step calibrate)."""
    output: Path
    """Folder of the half-widths of the prediction intervals, normalised (.safetensors)."""
    maps: Path
    """Folder of the uncertainty maps in the formats of the volumes: <volume>.uncertainty.<suffix>."""
    reliability: Path
    """Coverage by half-width, one row per bin (.csv)."""
    summary: Path
    """Coverage by level, and rank correlation (.csv)."""


def run(options: Options) -> None:
    """Write uncertainty maps and tables."""
    intervals = read_calibration(options.calibration).intervals
    bins: list[ReliabilityBin] = []
    summaries: list[UncertaintySummary] = []
    with ExitStack() as folders:
        output = folders.enter_context(new_folder(options.output))
        maps = folders.enter_context(new_folder(options.maps))
        for path, low in zip(each(options.hr), options.lr, strict=True):
            name = map_image(path).id
            with about(f"volume {name!r}"):
                results = (files_of(name, paths)[0] for paths in (options.predictions, options.tta_std))
                volume = read_restored(RestoredFiles(path, low, *results))
                uncertainty, found, summary = evaluate_uncertainty(volume, intervals)
                write_image(output / f"{name}.safetensors", uncertainty)
                target = maps / f"{name}.uncertainty{suffix_of(volume.tta_std)}"
                clipped = write_quantity(target, uncertainty)
            bins.extend(found)
            summaries.extend(summary)
            logger.info("%s: %d voxels clipped", name, clipped)
            for one in summary:
                logger.info("%s: intervals of %.0f %% contain %.1f %%", name, 100 * one.level, 100 * one.coverage)
    RELIABILITY.write(options.reliability, bins)
    UNCERTAINTY.write(options.summary, summaries)
