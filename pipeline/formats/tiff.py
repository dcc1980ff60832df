"""Micrographs as TIFF: OME-TIFF, ImageJ's TIFF, and plain TIFF of one or many pages; written as OME-TIFF.

An OME-TIFF in several files is read whole, whichever of its files is named. Of several time points one is taken
(`frame`), of several images one (`series`). Channels and colours are all taken, unless one is chosen (`channel`). The
pages that are left are slices, one above the other. Kept are voxels, dtype (16-bit floats become 32-bit ones), size of
a pixel, and names and order of the channels; RGB stays RGB, unless it is grey. Pages are turned as their Orientation
says, and the result needs no turning. A plain TIFF does not say how large a pixel is: lengths are in pixels until
`voxel_um` is given.

Lost is whatever else the microscope wrote: colours, wavelengths and exposures of the channels, places and times of the
planes, the objective, the image's name, description and annotations, and the opacity of pixels. Positions, time
steps and opacity are named in warnings.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.files import replacing
from pipeline.formats import Part
from pipeline.formats._checks import check_finite, check_size, header_of
from pipeline.formats._colours import colours_of, names_of
from pipeline.formats._plain import MICROMETRE, PlainHeader, plain_image, plain_sections, section_names
from pipeline.formats._tiff_file import COLOUR, GREY, LARGEST_CLASSIC_BYTES
from pipeline.formats.tiled import read_whole
from pipeline.formats.tiled.tiff import TiffMetadata, open_tiled
from pipeline.image.image import Image

SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".ome.tf2", ".ome.tf8", ".ome.btf", ".btf", ".companion.ome")
WRITTEN = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
TITLE = "TIFF"


@dataclass(frozen=True, kw_only=True)
class TiffHeader(PlainHeader):
    """Header of a TIFF file.

    Attributes:
        byte_order: "<" for little-endian files, ">" for big-endian ones.
        photometric: photometric interpretation of grey pixels, as tifffile names it.
        states_z: whether the distance of the slices is known.
    """

    format: str = "tiff"
    byte_order: Literal["<", ">"]
    photometric: str
    states_z: bool


HEADER = TiffHeader


def read(path: Path, part: Part = Part()) -> Image:
    """Read one stack of slices, axes x, y and z, stored intensities as float64; channels are further slices.

    Raises:
        UserError: the file is missing or damaged, or contains several images or time points of which none was chosen,
            or pixels that are not intensities.
    """
    part.check(path, TITLE, ("frame", "channel", "series", "voxel_um", "coloured"))
    with open_tiled(path, part.series) as image:
        file_bytes = sum(size for _, size, _ in cast(TiffMetadata, image.metadata).files)
        check_size(path, image.shape, np.dtype(image.intensity.dtype).itemsize, file_bytes)
        single, sections = read_whole(image, part)
    known = cast(TiffMetadata, single.metadata)
    if single.coloured:
        sections, channels = colours_of(path, np.moveaxis(sections, 1, -1), None, bool(part.coloured))
    else:
        channels = names_of(range(sections.shape[1]), known.labels)
    header = TiffHeader(
        byte_order=known.byte_order,
        photometric=GREY if known.photometric == COLOUR else known.photometric,
        coloured=single.coloured and len(channels) > 1,
        states_z=known.states_z,
    )
    found = plain_image(sections, single.intensity, single.voxel_um, section_names(len(sections)), channels, header)
    check_finite(path, found.data)
    return found


def write(path: Path, image: Image) -> int:
    """Write slices as OME-TIFF in the dtype of their source, channels as channels and colours as RGB.

    The same image always gives the same bytes.

    Returns:
        Number of pixels that were clipped to the range of the dtype.
    """
    sections, saturated = plain_sections(image)
    digest = hashlib.sha256(sections.tobytes() + image.affine.tobytes()).digest()
    header = header_of(image, TiffHeader)
    pages, axes = _pages_of(sections, header.coloured)
    metadata: dict[str, Any] = {
        "axes": axes,
        "UUID": str(uuid.UUID(bytes=digest[:16])),
        "Creator": "BrainSR",
        **_sizes(image),
    }
    if any(header.channels) and not header.coloured:
        metadata["Channel"] = {"Name": list(header.channels)}
    photometric = COLOUR if header.coloured else header.photometric
    with (
        replacing(path) as partial,
        tifffile.TiffWriter(
            partial,
            ome=True,
            byteorder=header.byte_order,
            bigtiff=sections.nbytes > LARGEST_CLASSIC_BYTES,
        ) as file,
    ):
        file.write(pages, photometric=photometric, compression="zlib", metadata=metadata, software=False)
    return saturated


def as_quantity(image: Image) -> Image:
    """Convert an image to 32-bit floats in which zero is black."""
    floats = replace(image.intensity, slope=1.0, intercept=0.0, dtype="float32")
    return replace(image, intensity=floats, header=replace(header_of(image, TiffHeader), photometric=GREY))


def _pages_of(sections: NDArray, coloured: bool) -> tuple[NDArray, str]:
    """Return sections (sections, channels, rows, columns) in the layout of tifffile, with the names of the axes."""
    if coloured:
        return np.ascontiguousarray(np.moveaxis(sections, 1, -1)), "ZYXS"
    return (sections, "ZCYX") if sections.shape[1] > 1 else (sections[:, 0], "ZYX")


def _sizes(image: Image) -> dict[str, Any]:
    """Return the OME metadata of the voxel size; empty if it is unknown."""
    if image.unit != MICROMETRE:
        return {}
    stated = dict(zip("XYZ", image.spacing, strict=True))
    if not header_of(image, TiffHeader).states_z:
        del stated["Z"]
    units = {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in stated}
    return {**{f"PhysicalSize{axis}": size for axis, size in stated.items()}, **units}
