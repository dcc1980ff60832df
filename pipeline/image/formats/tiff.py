"""Micrographs as TIFF: OME-TIFF, ImageJ's TIFF, and plain TIFF of one or many pages; written as OME-TIFF.

Of several time points one is taken (`frame`), of several images one (`series`). Channels and colours are all taken,
unless one is chosen (`channel`). The pages that are left are slices, one above the other. Kept are voxels, dtype, size
of a pixel, and names and order of the channels; RGB stays RGB, unless it is grey. A plain TIFF does not say how large a
pixel is: lengths are in pixels until `voxel_um` is given.

Lost is whatever else the microscope wrote: colours, wavelengths and exposures of the channels, places and times of the
planes, the objective, the image's name, description and annotations, and the opacity of RGB.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.formats import Part
from pipeline.image.formats._checks import check_finite, check_is_file, check_size, chosen_frame, first_line
from pipeline.image.formats._colours import colours_of, names_of, wanted_channels
from pipeline.image.formats._plain import MICROMETRE, plain_image, plain_sections, section_names
from pipeline.image.formats._tiff_metadata import Stated, stated_by_imagej, stated_by_ome
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap

SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
WRITTEN = (".ome.tiff", ".ome.tif", ".tiff", ".tif")
TITLE = "TIFF"
DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Those that OME-TIFF can hold."""
SLICE_AXES = "ZIQ"
"""Of tifffile: depth, pages in sequence, and pages of which nothing is known."""
PAGE_AXES = ("YX", "YXS", "SYX")
GREY, GREY_INVERTED = "minisblack", "miniswhite"
COLOUR = "rgb"
DAMAGE = (
    tifffile.TiffFileError,
    tifffile.OmeXmlError,
    zlib.error,
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
)
"""What tifffile and Pillow raise on broken files."""
LARGEST_CLASSIC_BYTES = 2**32 - 2**25
"""Files that may grow beyond this are written as BigTIFF."""

logger = logging.getLogger(__name__)
# tifffile remarks on what it mends by guessing; what matters of that is an error here, told once.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read(path: Path, part: Part = Part()) -> Image:
    """Reads one stack of slices, axes x, y and z, stored intensities as float64; channels are further slices.

    Raises:
        UserError: the file is missing or damaged, or holds several images or time points of which none was chosen, or
            pixels that are no intensities.
    """
    part.check(path, TITLE, ("frame", "channel", "series", "voxel_um", "coloured"))
    check_is_file(path)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            series = chosen_series(path, file, part.series)
            _check(path, file, series)
            stated = stated_by(file, series)
            sections, channels = _sections(path, series, stated.channels, part)
            intensity = intensity_of(series.keyframe, sections.dtype)
            origin = {
                "format": "tiff",
                "byte_order": file.byteorder,
                "photometric": GREY_INVERTED if intensity.slope < 0 else GREY,
                "coloured": series.keyframe.photometric.name.lower() == COLOUR and len(channels) > 1,
                "states_z": stated.sizes_um[2] is not None or part.voxel_um is not None,
            }
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read as TIFF ({first_line(error)}). Is it whole?") from error
    voxel_um = _voxel_um(path, stated, part)
    image = plain_image(sections, intensity, voxel_um, section_names(len(sections)), channels, origin)
    check_finite(path, image.data)
    return image


def write(path: Path, image: Image) -> int:
    """Writes slices as OME-TIFF in the dtype they came in, channels as channels and colours as RGB.

    The same image always gives the same bytes.

    Returns:
        How many pixels had to be clipped to the dtype's range.
    """
    sections, saturated = plain_sections(image)
    digest = hashlib.sha256(sections.tobytes() + image.affine.tobytes()).digest()
    pages, axes = _pages_of(sections, image.origin["coloured"])
    metadata: dict[str, Any] = {
        "axes": axes,
        "UUID": str(uuid.UUID(bytes=digest[:16])),
        "Creator": "BrainSR",
        **_sizes(image),
    }
    if any(image.origin["channels"]) and not image.origin["coloured"]:
        metadata["Channel"] = {"Name": image.origin["channels"]}
    photometric = COLOUR if image.origin["coloured"] else image.origin["photometric"]
    with (
        replacing(path) as partial,
        tifffile.TiffWriter(
            partial,
            ome=True,
            byteorder=image.origin["byte_order"],
            bigtiff=sections.nbytes > LARGEST_CLASSIC_BYTES,
        ) as file,
    ):
        file.write(pages, photometric=photometric, compression="zlib", metadata=metadata, software=False)
    return saturated


def as_quantity(image: Image) -> Image:
    """Returns an image as 32-bit floats of which zero is black, whatever it was in the source."""
    floats = replace(image.intensity, slope=1.0, intercept=0.0, dtype="float32")
    return replace(image, intensity=floats, origin={**image.origin, "photometric": GREY})


def _pages_of(sections: NDArray, coloured: bool) -> tuple[NDArray, str]:
    """Returns sections (sections, channels, rows, columns) as tifffile wants them, with the names of the axes."""
    if coloured:
        return np.ascontiguousarray(np.moveaxis(sections, 1, -1)), "ZYXS"
    return (sections, "ZCYX") if sections.shape[1] > 1 else (sections[:, 0], "ZYX")


def _sizes(image: Image) -> dict[str, Any]:
    """The metadata of OME about the size of a voxel; none where it is not known."""
    if image.unit != MICROMETRE:
        return {}
    stated = dict(zip("XYZ", image.spacing, strict=True))
    if not image.origin["states_z"]:
        del stated["Z"]
    units = {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in stated}
    return {**{f"PhysicalSize{axis}": size for axis, size in stated.items()}, **units}


def _check_chain(file: Any) -> None:
    """Refuses a chain of pages that ends nowhere or in a circle: tifffile passes over the pages that are lost."""
    count = len(file.pages)
    file.filehandle.seek(file.pages.next_page_offset)
    if any(file.filehandle.read(file.tiff.offsetsize)):
        raise ValueError(f"the chain of its pages breaks off after {count}")


def chosen_series(path: Path, file: Any, wanted: str | None) -> Any:
    """Returns the only image of a file, or the one of the given name or number."""
    _check_chain(file)
    if file.is_ome and "<!" in (file.ome_metadata or "").replace("<!--", ""):
        raise ValueError("its XML declares entities")
    found = {series.name or str(index): series for index, series in enumerate(file.series)}
    if len(found) < len(file.series):
        found = {str(index): series for index, series in enumerate(file.series)}
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    listed = ", ".join(f"{name!r} {series.shape}" for name, series in list(found.items())[:8])
    if wanted is None:
        raise UserError(f"{path}: holds {len(found)} images; choose one with series: {listed}.")
    if wanted not in found:
        raise UserError(f"{path}: there is no image {wanted!r}; it holds {listed}.")
    return found[wanted]


def _check(path: Path, file: Any, series: Any) -> None:
    """Refuses pixels that are no intensities or do not stand in the file, before they are read."""
    page = series.keyframe
    file_bytes = path.stat().st_size
    if series.dtype is None or series.dtype.name not in DTYPES:
        raise UserError(f"{path}: pixels of type {series.dtype} are no intensities; known are {', '.join(DTYPES)}.")
    if page.photometric.name.lower() not in (GREY, GREY_INVERTED, COLOUR):
        kind = page.photometric.name.lower()
        raise UserError(f"{path}: its pixels are colours ({kind}); save it as grey or RGB, without a palette.")
    check_size(path, tuple(series.shape), series.dtype.itemsize, file_bytes)
    for one in series.pages:
        if one is None:
            raise UserError(f"{path}: parts of this OME-TIFF stand in other files; save it as one file.")
        expected = int(np.prod(page.chunked, dtype=np.int64))
        segments = list(zip(one.dataoffsets, one.databytecounts, strict=False))
        whole = all(start > 0 and count > 0 and start + count <= file_bytes for start, count in segments)
        if len(segments) != expected or not whole:
            raise ValueError(f"page {one.index} ends before its pixels do")


def stated_by(file: Any, series: Any) -> Stated:
    """What the file says about the size of its pixels."""
    if file.is_ome:
        return stated_by_ome(file.ome_metadata, next(i for i, one in enumerate(file.series) if one is series))
    if file.is_imagej:
        return stated_by_imagej(file.imagej_metadata or {}, series.keyframe.tags)
    return Stated()


def _voxel_um(path: Path, stated: Stated, part: Part) -> tuple[float, float, float] | None:
    """The size of a voxel: as it was given, or else as the file states it."""
    if part.voxel_um is not None:
        if stated.voxel_um not in (None, part.voxel_um):
            logger.warning("%s: states voxels of %s um; voxel_um says otherwise and is taken", path, stated.voxel_um)
        return part.voxel_um
    if not stated.is_sound:
        raise UserError(f"{path}: states pixels of {stated.sizes_um} um; give their true size with voxel_um.")
    return stated.voxel_um


def _sections(path: Path, series: Any, names: tuple[str, ...], part: Part) -> tuple[NDArray, list[str]]:
    """Returns the chosen slices, shape (sections, channels, rows, columns), and the names of their channels."""
    leading = {axis: size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS"}
    unknown = [axis for axis, size in leading.items() if size > 1 and axis not in f"TC{SLICE_AXES}"]
    depths = [axis for axis, size in leading.items() if size > 1 and axis in SLICE_AXES]
    if unknown or len(depths) > 1:
        raise UserError(f"{path}: has the axes {series.axes} of sizes {series.shape}; save one stack of slices.")
    places = np.arange(int(np.prod(list(leading.values()), dtype=np.int64))).reshape(list(leading.values()))
    axes = list(leading)
    frame = chosen_frame(path, leading.get("T", 1), part.frame)
    if "T" in axes:
        places = np.take(places, [frame], axis=axes.index("T"))
    places = np.moveaxis(places, axes.index("C"), -1) if "C" in axes else places[..., None]
    count = leading.get("C", 1)
    places = places.reshape(-1, count)
    if series.keyframe.samplesperpixel > 1:
        if count > 1:
            raise UserError(f"{path}: has channels of coloured pixels, axes {series.axes}; save grey ones.")
        pages = _pages(path, series, places.ravel().tolist())
        return colours_of(path, pages, part.channel, bool(part.coloured))
    wanted = wanted_channels(path, count, names, part.channel)
    places = places[:, wanted]
    pages = _pages(path, series, places.ravel().tolist())
    return pages.reshape(*places.shape, *pages.shape[1:]), names_of(wanted, names)


def _pages(path: Path, series: Any, places: list[int]) -> NDArray:
    """Decodes some pages of a series: shape (pages, rows, columns), with colours as last axis where there are any."""
    if len(series.pages) != int(np.prod([s for a, s in zip(series.axes, series.shape, strict=True) if a not in "YXS"])):
        # ImageJ keeps large stacks in one piece behind the first page.
        planes = series.asarray().reshape(-1, *series.shape[-2:])
        return np.stack([planes[place] for place in places])
    found = []
    for place in places:
        page = series.pages[place]
        pixels = _decoded(path, page)
        if series.keyframe.axes not in PAGE_AXES:
            raise UserError(f"{path}: has pages with the axes {series.keyframe.axes}; save one slice a page.")
        found.append(np.moveaxis(pixels, 0, -1) if series.keyframe.axes == "SYX" else pixels)
    return np.stack(found)


def _decoded(path: Path, page: Any) -> NDArray:
    """Decodes a page with tifffile, or with Pillow where tifffile lacks a package for the compression."""
    try:
        return page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    with warnings.catch_warnings(), PillowImage.open(path, formats=("TIFF",)) as file:
        warnings.simplefilter("ignore")
        file.seek(page.index)
        pixels = np.asarray(file)
    if pixels.dtype.itemsize * 8 != page.bitspersample or pixels.shape != page.shape:
        raise ValueError(f"its compression {page.compression.name} is not known for these pixels; save it uncompressed")
    return pixels.astype(page.dtype, copy=False)


def intensity_of(page: Any, dtype: np.dtype) -> IntensityMap:
    """The map of the pixels: of those that are stored as inverted integers, low values are bright."""
    name = dtype.newbyteorder("=").name
    if page.photometric.name.lower() != GREY_INVERTED or dtype.kind == "f":
        return IntensityMap(dtype=name)
    limits = np.iinfo(dtype)
    return IntensityMap(1.0, -1.0, float(limits.min + limits.max), name)
