"""Restoration of an image file by a named network or baseline, or by the network that ships for such images."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sections import Extract, Infer
from pipeline.config.shipped import check_model
from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.formats.tiled import is_large, outline_of
from pipeline.inference.choice import choose_weights, weights_named
from pipeline.inference.restore_baseline import restore_by_baseline
from pipeline.inference.restore_file import restore_file
from pipeline.inference.restored_file import RestoredFile


def restore_image(
    model: str | None,
    source: Path,
    output: Path,
    part: Part,
    extraction: Extract,
    settings: Infer,
    *,
    factor: int | None = None,
    device: str = "auto",
    uncertainty: bool | None = None,
    calibration: Path | None = None,
    thickness_mm: float | None = None,
) -> RestoredFile:
    """Restore an image file and write the result.

    Args:
        model: name of a network that ships or of a baseline, or file of a network; None chooses a network that ships by
            the image.
        source: file or folder of the image.
        output: file of the result; its suffix must be one of the source's format.
        part: frame, channel and series of the image, and its voxel size.
        extraction: plane and foreground.
        settings: settings of the inference.
        factor: for baselines: enlargement within the slices.
        device: for networks: auto, cpu or cuda.
        uncertainty: for networks: whether the uncertainty map is written, see `restore_file`.
        calibration: for networks: see `restore_file`.
        thickness_mm: slice thickness given by the user, in mm.

    Raises:
        UserError: nothing has the name of the model, no network for such images ships, or as `restore_file` and
            `restore_by_baseline`.
    """
    check_model(model, factor)
    weights = None if model is None else weights_named(model)
    if model is not None and weights is None:
        if settings.passes:
            raise UserError(f"--passes applies to networks; {model} is a baseline. Leave it out.")
        return restore_by_baseline(model, source, output, part, extraction, settings, factor, thickness_mm)
    original = None
    if weights is None:
        original = None if is_large(source, part.series) else format_of(source).read(source, part)
        weights = choose_weights(original or outline_of(source, part), source.name)
    return restore_file(
        weights,
        source,
        output,
        part,
        extraction,
        settings,
        device,
        uncertainty=uncertainty,
        calibration=calibration,
        thickness_mm=thickness_mm,
        original=original,
    )
