"""Write uncertainty maps, in the formats of the volumes, and tables of their reliability.

A voxel of a map is the expected absolute error: the standard deviation of the delivered method over the eight flips and
transposes of a slice, times the calibration factor of the validation volumes. NIfTI, MGH, TIFF and OME-Zarr store it as
32-bit floats. DICOM stores integers and a slope: the maximum is scaled to the full integer range. PNG stores neither
floats nor a slope: the map is rounded up to whole grey levels, so that it never underestimates the expected error.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.errors import about
from pipeline.fidelity.uncertainty import evaluate_uncertainty
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import method_of, read_prediction, suffix_of, write_quantity
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.inference.calibration import read_factor
from pipeline.steps._shards import each, files_of, new_folder
from pipeline.tables.reliability import RELIABILITY, ReliabilityBin
from pipeline.tables.uncertainty import UNCERTAINTY, UncertaintySummary

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    predictions: list[Path]
    """Volumes restored by the delivered method, or folders of them; the folders are named after the method."""
    tta_std: list[Path]
    """Standard deviations over flips and transposes, or folders of them (.safetensors)."""
    calibration: Path
    """The calibration factor (.json, from the step calibrate)."""
    output: Path
    """Folder of the standard deviations with the calibration factor in their metadata (.safetensors)."""
    maps: Path
    """Folder of the error maps in the formats of the volumes: <volume>.uncertainty.<suffix>."""
    reliability: Path
    """Predicted and observed errors, one row per bin (.csv)."""
    summary: Path
    """Rank correlation and means (.csv)."""


def run(options: Options) -> None:
    """Write error maps and tables."""
    factor = read_factor(options.calibration)
    curves: list[ReliabilityBin] = []
    summaries: list[UncertaintySummary] = []
    with ExitStack() as folders:
        output = folders.enter_context(new_folder(options.output))
        maps = folders.enter_context(new_folder(options.maps))
        for path in each(options.hr):
            reference = read_image(path)
            volume = reference.id
            with about(f"volume {volume!r}"):
                restored = files_of(volume, options.predictions)[0]
                tta_std = read_image(files_of(volume, options.tta_std)[0])
                method, prediction = method_of(restored), read_prediction(restored, reference)
                curve, summary = evaluate_uncertainty(reference, method, prediction, tta_std, factor)
                shared = {one.name: getattr(tta_std, one.name) for one in fields(Image)}
                uncertainty = UncertaintyMap(**shared, method=method, error_factor=factor)
                write_image(output / f"{volume}.safetensors", uncertainty)
                name = f"{volume}.uncertainty{suffix_of(tta_std)}"
                clipped = write_quantity(maps / name, uncertainty.expected_error)
            curves.extend(curve)
            summaries.append(summary)
            logger.info(
                "%s: rank correlation %.2f with the error, %d voxels clipped", volume, summary.spearman, clipped
            )
    RELIABILITY.write(options.reliability, curves)
    UNCERTAINTY.write(options.summary, summaries)
