"""Write the result made of an image of a BIDS folder, or its error map, under its name in a data set of derivatives.

Beside the image stands a sidecar (JSON) with what it was made of and how. The standard: Brain Imaging Data Structure
1.10, common data types of derivatives.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from nibabel import nifti1
from nibabel.filebasedimages import ImageFileError

from pipeline.config.bids.names import NIFTI_EXTENSIONS
from pipeline.config.bids.sidecars import read_sidecars
from pipeline.config.load import read_entry
from pipeline.config.sources import LocalSource
from pipeline.errors import UserError
from pipeline.files import folder_beside, publish_folder, read_json, replacing, write_json
from pipeline.sources.chunks import read_pieces, write_pieces
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)

RESULT = (
    "Super-resolved by BrainSR ({method}) from a low-resolution image that was made of the source with the ForwardModel"
)
MAP = (
    "Absolute error to expect in the image of the same name with desc-brainsr, super-resolved by BrainSR ({method}): "
    "its disagreement over flips and transposes, in its units"
)
MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
"""Per unit of length as nibabel calls it; files that name none are in millimetres, as is the custom."""
KEPT_KEYS = ("SkullStripped",)
"""What a result has in common with the image it was made of, where that image's own sidecars tell it."""


def sidecar(
    source: LocalSource,
    link: str,
    method: str,
    forward_model: Mapping[str, Any],
    size: Mapping[str, Any],
    raw: Mapping[str, Any],
    description: str = RESULT,
) -> dict[str, Any]:
    """Return what is written down beside a result.

    Args:
        source: the image that it was made of.
        link: name of that image's data set among the DatasetLinks.
        method: that made it.
        forward_model: by which the low-resolution image came about; see `pipeline.physics.forward`.
        size: of the result's voxels, as `size_of` gives it.
        raw: what the sidecars of the image that it was made of say together.
        description: RESULT or MAP.
    """
    known = {key: raw[key] for key in KEPT_KEYS if key in raw}
    factors = [int(factor) for factor in forward_model["factors"]]
    return {
        "Description": description.format(method=method),
        "Sources": [f"bids:{link}:{source.path_in_bids}"],
        "Method": method,
        "Factors": factors,
        "ForwardModel": dict(forward_model),
        **size,
        **known,
    }


def size_of(image: Path, voxel_um: Sequence[float], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the size of a result's voxels as it stands in a sidecar.

    Args:
        image: the result; the header of a NIfTI file tells the size.
        voxel_um: x, y and z of a micrograph in micrometres; empty where it is not known.
        raw: what the sidecars of the image say: a result lies on the grid of its source.

    Raises:
        UserError: the image cannot be read.
    """
    if image.name.endswith(NIFTI_EXTENSIONS):
        try:
            header: Any = nifti1.load(image).header
        except (OSError, ImageFileError) as error:
            raise UserError(f"cannot read {image}: {error}. Delete it and run again.") from error
        unit = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
        return {"VoxelSizeMillimetres": [round(unit * float(length), 6) for length in header["pixdim"][1:4]]}
    stated = raw.get("PixelSize")
    if not voxel_um:
        return {key: raw[key] for key in ("PixelSize", "PixelSizeUnits") if key in raw}
    count = len(stated) if isinstance(stated, list) else len(voxel_um)
    return {"PixelSize": list(voxel_um[:count]), "PixelSizeUnits": "um"}


def write_image(image: Path, output: Path) -> None:
    """Write a result under its new name, whole or not at all; where that is a folder (OME-Zarr), it is unpacked.

    Raises:
        UserError: it cannot be read.
    """
    if output.suffix != ".zarr":
        with replacing(output) as partial:
            write_pieces(read_pieces(image), partial, "wb", output.name)
        return
    try:
        with folder_beside(output) as folder, ZipFile(image) as archive:
            archive.extractall(folder)  # our own archive, and zipfile keeps its members inside the folder
            publish_folder(folder, output)
    except (OSError, BadZipFile) as error:
        raise UserError(f"cannot read {image}: {error}. Delete it and run again.") from error


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--image", "the result, as it was delivered")
    add_path(parser, "--output", "write the result under this name", required=False)
    add_path(parser, "--sidecar", "write what the result is (.json); needs the options below", required=False)
    add_path(parser, "--forward-model", "how its low-resolution image came about (.json)", required=False)
    parser.add_argument("--source", metavar="JSON", help="the source's entry, with its key bids")
    parser.add_argument("--link", default="raw", help="name of its data set among the DatasetLinks (default: raw)")
    parser.add_argument("--method", help="method that made it")
    text = "sidecars of the image that it was made of, the most general first"
    parser.add_argument("--raw-sidecar", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    text = "size of a micrograph's voxel along x, y and z in micrometres"
    parser.add_argument("--voxel-um", type=float, nargs="*", default=[], metavar="SIZE", help=text)
    parser.add_argument("--error-map", action="store_true", help="the image is the error map of a result")


def main(arguments: Namespace) -> None:
    """Run the stage.

    Raises:
        UserError: an option is missing, or a file cannot be read.
    """
    if arguments.output:
        write_image(arguments.image, arguments.output)
        logger.info("%s: %s", arguments.output, arguments.image)
    if not arguments.sidecar:
        return
    missing = [name for name in ("forward_model", "source", "method") if getattr(arguments, name) is None]
    if missing:
        raise UserError(f"--{missing[0].replace('_', '-')}: a sidecar needs this option.")
    source: LocalSource = read_entry(LocalSource, arguments.source, "source")
    if source.bids is None:
        raise UserError(f"source: {source.path} belongs to no BIDS folder; name it with the key bids.")
    raw = read_sidecars(list(map(str, arguments.raw_sidecar)))
    size = size_of(arguments.image, arguments.voxel_um, raw)
    model = read_json(arguments.forward_model)
    description = MAP if arguments.error_map else RESULT
    write_json(arguments.sidecar, sidecar(source, arguments.link, arguments.method, model, size, raw, description))
    logger.info("%s, made of %s", arguments.sidecar, source.path)
