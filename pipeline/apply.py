"""Sharpens a volume of your own with a trained network: the same file format, orientation, dtype and units come out.

There is no truth to compare with, so nothing is measured. Trust the result no further than the report of the run that
trained the network allows, and only for volumes that were made alike.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.config.load import read_section
from pipeline.config.stages import Extract, Infer
from pipeline.errors import UserError
from pipeline.extract import normalise
from pipeline.image.formats import format_of
from pipeline.image.image import Image
from pipeline.image.predictions import write_prediction
from pipeline.infer import restore_uncorrected
from pipeline.models.device import choose_device, use_threads
from pipeline.models.weights import load_generator

logger = logging.getLogger(__name__)


def as_measured(image: Image, factor: int) -> Image:
    """Takes a normalised volume as the low-resolution one, whose slices are to be enlarged by `factor`."""
    axis = image.facts["slice_axis"]
    factors = [1 if other == axis else factor for other in range(3)]
    shape = [int(size) * scale for size, scale in zip(image.data.shape, factors, strict=True)]
    return image.with_data(
        image.data, masks={}, facts={**image.facts, "forward_model": {"factors": factors, "hr_shape": shape}}
    )


def apply(model: Path, source: Path, plane: str, settings: Infer, device: str, output: Path) -> None:
    """Restores the volume in `source` and writes it to `output`.

    Raises:
        UserError: a file cannot be read or has no foreground, or the device cannot be used.
    """
    use_threads(settings.threads)
    network = load_generator(model).to(choose_device(device)).eval()
    try:
        image = normalise(format_of(source).read(source), Extract.model_validate({"plane": plane}))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    measured = as_measured(image, network.factor)
    restored, _ = restore_uncorrected(network, measured, "rician", settings)
    saturated = write_prediction(output, measured, restored)
    logger.info("%s: %s -> %s, %d voxels clipped", source, measured.data.shape, restored.shape, saturated)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_path(parser, "--model", "generator.safetensors of a trained method")
    add_path(parser, "--input", "the volume to sharpen (NIfTI)")
    add_path(parser, "--output", "the sharpened volume (.nii or .nii.gz)")
    parser.add_argument(
        "--plane", default="axial", choices=("axial", "coronal", "sagittal"), help="plane of the slices"
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_settings(parser, Infer)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    settings = read_section(Infer, arguments.settings)
    apply(arguments.model, arguments.input, arguments.plane, settings, arguments.device, arguments.output)
