"""Write the error map of a volume beside its super-resolved image, in the image's format, place and units.

A voxel holds the absolute error that is to be expected there: the disagreement of the method over flips and transposes,
times the factor that was found on the validation volumes. NIfTI, MGH, TIFF and OME-Zarr hold it as 32-bit floats. DICOM
holds integers and a slope: the largest value takes the whole range. PNG holds neither floats nor a slope: there the map
is rounded up to whole grey levels, so that it never says less.
"""

from __future__ import annotations

import logging

from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import write_quantity
from pipeline.image.uncertainty_map import UncertaintyMap
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    text = "the disagreement of a volume, as the stage uncertainty wrote it (.safetensors)"
    add_path(parser, "--input", text, each_volume=True)
    text = "the map of expected errors; its suffix is that of the volume's format"
    add_path(parser, "--output", text, each_volume=True)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    image = read_image(arguments.input, UncertaintyMap)
    clipped = write_quantity(arguments.output, image.expected_error)
    logger.info("%s: expected errors written, %d voxels clipped", image.id, clipped)
