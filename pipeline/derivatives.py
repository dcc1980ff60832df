"""Writes the result made of an image of a BIDS folder, or its error map, under its name in a data set of derivatives.

Beside the image stands a sidecar (JSON) with what it was made of and how. The standard: Brain Imaging Data Structure
1.10, common data types of derivatives.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nibabel import nifti1
from nibabel.filebasedimages import ImageFileError

from pipeline.cli import ArgumentParser, Namespace, add_path
from pipeline.config.load import read_entry
from pipeline.config.sources import LocalSource
from pipeline.errors import UserError
from pipeline.files import read_json, replacing, write_json
from pipeline.sources.chunks import read_pieces, write_pieces

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
"""What a result has in common with the image it was made of, where that image's own sidecar tells it."""


def sidecar(
    source: LocalSource,
    link: str,
    method: str,
    forward_model: Mapping[str, Any],
    spacing: Sequence[float],
    raw: Any,
    description: str = RESULT,
) -> dict[str, Any]:
    """Returns what is written down beside a result.

    Args:
        source: the image that it was made of.
        link: name of that image's data set among the DatasetLinks.
        method: that made it.
        forward_model: by which the low-resolution image came about; see `pipeline.physics.forward`.
        spacing: lengths of the result's voxels, in millimetres.
        raw: content of the sidecar of the image that it was made of.
        description: RESULT or MAP.
    """
    known = {key: raw[key] for key in KEPT_KEYS if isinstance(raw, Mapping) and key in raw}
    factors = [int(factor) for factor in forward_model["factors"]]
    return {
        "Description": description.format(method=method),
        "Sources": [f"bids:{link}:{source.path_in_bids}"],
        "Method": method,
        "Factors": factors,
        "ForwardModel": dict(forward_model),
        "VoxelSizeMillimetres": [round(float(length), 6) for length in spacing],
        **known,
    }


def write_derivative(image: Path, output: Path) -> tuple[float, ...]:
    """Copies a result under its new name, whole or not at all, and returns the lengths of its voxels in millimetres.

    Raises:
        UserError: it cannot be read, or is no image.
    """
    try:
        header: Any = nifti1.load(image).header
    except (OSError, ImageFileError) as error:
        raise UserError(f"cannot read {image}: {error}. Delete it and run again.") from error
    with replacing(output) as partial:
        write_pieces(read_pieces(image), partial, "wb", output.name)
    unit = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    return tuple(unit * float(length) for length in header["pixdim"][1:4])


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    add_path(parser, "--image", "the result, as it was delivered (.nii.gz)")
    add_path(parser, "--forward-model", "how its low-resolution image came about (.json)")
    parser.add_argument("--source", required=True, metavar="JSON", help="the source's entry, with its key bids")
    parser.add_argument("--link", default="raw", help="name of its data set among the DatasetLinks (default: raw)")
    parser.add_argument("--method", required=True, help="method that made it")
    text = "sidecar of the image that it was made of, where there is one"
    parser.add_argument("--raw-sidecar", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    parser.add_argument("--error-map", action="store_true", help="the image is the error map of a result")
    add_path(parser, "--output", "the result under its new name")
    add_path(parser, "--sidecar", "what is written down beside it (.json)")


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    source: LocalSource = read_entry(LocalSource, arguments.source, "source")
    if source.bids is None:
        raise UserError(f"source: {source.path} belongs to no BIDS folder; name it with the key bids.")
    raw = read_json(arguments.raw_sidecar[0]) if arguments.raw_sidecar else {}
    model = read_json(arguments.forward_model)
    spacing = write_derivative(arguments.image, arguments.output)
    description = MAP if arguments.error_map else RESULT
    write_json(arguments.sidecar, sidecar(source, arguments.link, arguments.method, model, spacing, raw, description))
    logger.info("%s, made of %s", arguments.output, source.path)
