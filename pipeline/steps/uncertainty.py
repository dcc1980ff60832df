"""Write error maps, in the formats of the volumes, and tables of their reliability.

A voxel of an error map is the expected absolute error: the standard deviation of the delivered method over the eight
flips and transposes of a slice, times the calibration factor of the validation volumes. NIfTI, MGH, TIFF and OME-Zarr
store it as 32-bit floats. DICOM stores integers and a slope: the maximum takes the whole range. PNG stores neither
floats nor a slope: the map is rounded up to whole grey levels, so that it never understates the error.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from pipeline.errors import about
from pipeline.fidelity.error_calibration import rank_correlation, reliability_curve
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import read_prediction, suffix_of, write_quantity
from pipeline.image.image import Image
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.steps._shards import each, files_of, new_folder
from pipeline.steps.calibrate import compared, read_factor
from pipeline.steps.evaluate import method_of
from pipeline.tables.reliability import RELIABILITY
from pipeline.tables.uncertainty import UNCERTAINTY

logger = logging.getLogger(__name__)


def tables(reference: Image, method: str, prediction: Path, spread: Image, factor: float) -> tuple[pd.DataFrame, ...]:
    """Compare predicted with true errors of one volume, both as fractions of the normalised range.

    Args:
        reference: extracted volume.
        method: what restored it.
        prediction: its result.
        spread: its disagreement over views.
        factor: what makes an expected absolute error of that.

    Returns:
        The reliability curve, one row a bin (`ReliabilityBin`), and one row over all bins (`UncertaintySummary`).

    Raises:
        UserError: a file cannot be read, or is of another volume.
    """
    identity = reference.identity
    volume, subject, split = identity.id, identity.subject, identity.split
    names = (volume, subject, split, method)
    found, error = compared(reference, read_prediction(prediction, reference), spread)
    predicted = factor * found
    curve = [(*names, index, *one) for index, one in enumerate(reliability_curve(predicted, error))]
    means = (float(predicted.mean()), float(error.mean()))
    summary = [(*names, rank_correlation(predicted, error), factor, *means, error.size)]
    return (
        pd.DataFrame(curve, columns=pd.Index(RELIABILITY.columns)),
        pd.DataFrame(summary, columns=pd.Index(UNCERTAINTY.columns)),
    )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    predictions: list[Path]
    """Volumes as the delivered method restored them, or folders of them, named after the method."""
    tta_std: list[Path]
    """Standard deviations over flips and transposes, or folders of them (.safetensors)."""
    calibration: Path
    """The calibration factor (.json, from the step calibrate)."""
    output: Path
    """Folder of the standard deviations with the calibration factor among their facts (.safetensors)."""
    maps: Path
    """Folder of the error maps in the formats of the volumes: <volume>.uncertainty.<suffix>."""
    reliability: Path
    """Predicted and observed errors, one row a bin (.csv)."""
    summary: Path
    """Rank correlation and means (.csv)."""


def run(options: Options) -> None:
    """Write error maps and tables."""
    factor = read_factor(options.calibration)
    curves, summaries = [RELIABILITY.frame()], [UNCERTAINTY.frame()]
    with ExitStack() as folders:
        output = folders.enter_context(new_folder(options.output))
        maps = folders.enter_context(new_folder(options.maps))
        for path in each(options.hr):
            reference = read_image(path)
            volume = reference.id
            with about(f"volume {volume!r}"):
                prediction = files_of(volume, options.predictions)[0]
                tta_std = read_image(files_of(volume, options.tta_std)[0])
                method = method_of(prediction)
                curve, summary = tables(reference, method, prediction, tta_std, factor)
                curves.append(curve)
                summaries.append(summary)
                shared = {one.name: getattr(tta_std, one.name) for one in fields(Image)}
                uncertainty = UncertaintyMap(**shared, method=method, error_factor=factor)
                write_image(output / f"{volume}.safetensors", uncertainty)
                name = f"{volume}.uncertainty{suffix_of(tta_std)}"
                clipped = write_quantity(maps / name, tta_std.with_data(tta_std.data * factor))
            correlation = summary["spearman"].iloc[0]
            logger.info("%s: rank correlation %.2f with the error, %d voxels clipped", volume, correlation, clipped)
    RELIABILITY.write(options.reliability, pd.concat(curves[1:] or curves))
    UNCERTAINTY.write(options.summary, pd.concat(summaries[1:] or summaries))
