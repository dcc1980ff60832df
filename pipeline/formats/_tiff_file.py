"""Open and check TIFF files before a pixel is decoded, to be read whole or part by part.

An OME-TIFF may lie in several files (https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html): its XML
states which page of which file contains which plane, and is stored in one of them, in all, or in a companion file.
"""

from __future__ import annotations

import logging
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats._checks import check_is_file, first_line
from pipeline.formats._tiff_metadata import (
    Stated,
    elements,
    ome_root,
    stated_by_imagej,
    stated_by_ome,
    tag_of,
)
from pipeline.image.intensity import IntensityMap

COMPANION = ".companion.ome"
"""Suffix of a companion file, which contains only the XML of a multi-file OME-TIFF."""
DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Pixel types that OME-TIFF supports."""
HALF = "float16"
"""OME-TIFF does not support 16-bit floats; they are read, and written with 32 bits."""
SLICE_AXES = "ZIQ"
"""Of tifffile: depth, pages in sequence, and pages of which nothing is known."""
PAGE_AXES = ("YX", "YXS", "SYX")
GREY, GREY_INVERTED = "minisblack", "miniswhite"
COLOUR = "rgb"
COLOUR_SAMPLES = 3
OTHER_PIXELS = {
    "palette": "indices into a palette of colours",
    "mask": "a mask of transparency",
    "separated": "amounts of ink, such as CMYK",
    "ycbcr": "brightness and differences of colour",
    "cielab": "colours of CIELAB",
    "icclab": "colours of CIELAB",
    "itulab": "colours of CIELAB",
    "cfa": "raw values behind the colour filters of a camera",
    "linear_raw": "raw values of a camera",
    "logl": "logarithms of brightness",
    "logluv": "logarithms of brightness, and colours",
}
"""By tifffile's names of photometric interpretations."""
ASSOCIATED, UNASSOCIATED = 1, 2
"""Kinds of extra samples (TIFF 6.0, section 18): opacity that the colours are multiplied by, and other opacity."""
IMAGEJ_AXES = ("channels", "slices", "frames")
PHOTOMETRIC_TAG, ORIENTATION_TAG = 262, 274
DAMAGE = (
    tifffile.TiffFileError,
    tifffile.OmeXmlError,
    zlib.error,
    struct.error,
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
    EOFError,
)
"""Exceptions that tifffile and the codecs raise on broken files."""
LARGEST_CLASSIC_BYTES = 2**32 - 2**25
"""Files that may exceed this size are written as BigTIFF."""
SHOWN = 8
"""Maximum number of names listed in a message."""

logger = logging.getLogger(__name__)
# tifffile logs what it corrects by guessing; corrections that matter raise an error here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Convert exceptions of tifffile about a broken file to one message."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read as TIFF ({first_line(error)}). Is it complete?") from error


@contextmanager
def opened_tiff(path: Path) -> Iterator[Any]:
    """Open a TIFF file as tifffile.TiffFile; all files of a multi-file OME-TIFF, whichever of them is named.

    Nothing outside the folder of the file is read.

    Raises:
        UserError: the file is missing or damaged, or another one that it needs is.
    """
    check_is_file(path)
    with telling(path):
        file = _with_its_set(path)
    with file:
        yield file


def _with_its_set(path: Path) -> Any:
    text, main = _ome_xml(path), _main_file(path)
    if main != path:
        text = _ome_xml(main)
    if text is None:
        return tifffile.TiffFile(path, _multifile=False)
    root = ome_root(text)
    names = _file_names(path, root)
    _check_files_are_named(main, root)
    own = [name for uuid, name in names.items() if main.name.lower() == name.lower() or uuid == root.get("UUID")]
    others = [name for name in dict.fromkeys(names.values()) if name not in own]
    is_renamed = main == path and len(others) == 1 and not own and not (path.parent / others[0]).exists()
    if is_renamed and not _is_companion(main):
        logger.warning("%s: its OME-XML states that its pixels are in %r; it is assumed to be renamed", path, others[0])
        return tifffile.TiffFile(path, omexml=_without_files(root), _multifile=False)
    members = list(dict.fromkeys(names.values())) if others else []
    missing = [name for name in others if not _beside(path, name).is_file()]
    if missing:
        raise UserError(
            f"{path}: belongs to a set of {len(members)} files that {main.name} describes; missing: "
            f"{_listed(missing)}. Put them beside it, or save the set as one file."
        )
    if path.name not in (main.name, *members):
        raise UserError(f"{path}: belongs to a set that {main.name} describes, which does not name it.")
    for name in others:  # tifffile passes over those that it cannot open
        with telling(_beside(path, name)), tifffile.TiffFile(_beside(path, name), _multifile=False):
            pass
    if _is_companion(main):
        if not members:
            raise UserError(f"{path}: names no files that hold its pixels.")
        return tifffile.TiffFile(_beside(path, members[0]), omexml=text, _multifile=True)
    return tifffile.TiffFile(main, _multifile=bool(others))


def _main_file(path: Path) -> Path:
    """Return the file that describes the image: itself, the one that its XML points to, or a companion file."""
    text = _ome_xml(path)
    root = None if text is None else ome_root(text)
    pointers = [] if root is None else [element for element in root if tag_of(element) == "BinaryOnly"]
    if pointers:
        return _described_by(path, pointers[0].get("MetadataFile"))
    if _is_companion(path) or (root is not None and len(_file_names(path, root)) > 1):
        return path
    for companion in sorted(one for one in path.parent.iterdir() if _is_companion(one) and _lies_beside(one, path)):
        try:
            members = _file_names(companion, ome_root(_ome_xml(companion) or "")).values()
        except (UserError, *DAMAGE):  # it may belong to other files
            continue
        if path.name in members:
            logger.info("%s: is read as a part of the set that %s describes", path, companion.name)
            return companion
    return path


def _check_files_are_named(path: Path, root: ElementTree.Element) -> None:
    """Check that the XML names other files, and does not identify them by their UUID alone.

    Raises:
        UserError: it does.
    """
    named = {(element.text or "").strip() for element in elements(root, "UUID") if element.get("FileName")}
    known = {*named, root.get("UUID")}
    blocks = [[one for one in block if tag_of(one) == "UUID"] for block in elements(root, "TiffData")]
    found = {(uuids[0].text or "").strip() if uuids else None for uuids in blocks}
    lost = found - known - {None}
    # One that is the only one is the file itself, whatever it is called.
    if lost and (named or len(found) > 1 or _is_companion(path)):
        raise UserError(
            f"{path}: its OME-XML places planes in {len(lost)} other files that it identifies by UUID alone (no "
            "FileName), so they cannot be found. Save the image as one file."
        )


def _is_companion(path: Path) -> bool:
    return path.name.lower().endswith(COMPANION)


def _ome_xml(path: Path) -> str | None:
    """Return the OME-XML of a TIFF or companion file; None if a TIFF has none."""
    if _is_companion(path):
        return path.read_text(encoding="utf-8-sig")
    with tifffile.TiffFile(path, _multifile=False) as file:
        return file.ome_metadata


def _described_by(path: Path, name: str | None) -> Path:
    """Return the file with the XML of a multi-file OME-TIFF, as named by another file of the set."""
    if not name:
        raise UserError(f"{path}: is one file of a set, and does not name the file that describes it (BinaryOnly).")
    main = _beside(path, name)
    if not main.is_file():
        raise UserError(f"{path}: belongs to a set of files that {name} describes, which is missing; put it beside.")
    return main


def _file_names(path: Path, root: ElementTree.Element) -> dict[str, str]:
    """Return the names of the files of a set by their identifiers, in the order of the XML."""
    names: dict[str, str] = {}
    for element in elements(root, "UUID"):
        uuid, name = (element.text or "").strip(), element.get("FileName")
        if name is not None and names.setdefault(uuid, name) != name:
            raise UserError(f"{path}: its OME-XML calls {names[uuid]!r} and {name!r} the same file; correct it.")
    return names


def _beside(path: Path, name: str) -> Path:
    """Return a file in the folder of another one.

    Raises:
        UserError: the name leads out of the folder.
    """
    found = path.parent / name
    if Path(name).name != name or "\\" in name or not found.resolve().parent == path.parent.resolve():
        raise UserError(f"{path}: its OME-XML names the file {name!r}; only files in its own folder are read.")
    return found


def _lies_beside(one: Path, other: Path) -> bool:
    return one.is_file() and one.resolve().parent == other.parent.resolve()


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _without_files(root: ElementTree.Element) -> str:
    """Return the OME-XML without references to files: all planes are in its own file."""
    for block in elements(root, "TiffData"):
        for element in [one for one in block if tag_of(one) == "UUID"]:
            block.remove(element)
    return ElementTree.tostring(root, encoding="unicode")


def chosen_series(path: Path, file: Any, wanted: str | None) -> Any:
    """Return the only image of a file, or the one of the given name or number.

    Raises:
        UserError: there are several and none is chosen, or there is no such image.
        ValueError: the chain of pages breaks off.
    """
    _check_chain(file)
    found = {series.name or str(index): series for index, series in enumerate(file.series)}
    if len(found) < len(file.series):
        found = {str(index): series for index, series in enumerate(file.series)}
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    listed = ", ".join(f"{name!r} {series.shape}" for name, series in list(found.items())[:SHOWN])
    if wanted is None:
        raise UserError(f"{path}: contains {len(found)} images; choose one with series: {listed}.")
    if wanted not in found:
        raise UserError(f"{path}: there is no image {wanted!r}; it contains {listed}.")
    return found[wanted]


def _check_chain(file: Any) -> None:
    """Check that the chain of pages is complete: tifffile skips lost pages."""
    count = len(file.pages)
    file.filehandle.seek(file.pages.next_page_offset)
    if any(file.filehandle.read(file.tiff.offsetsize)):
        raise ValueError(f"the chain of its pages breaks off after {count}")


def stated_by(file: Any, series: Any) -> Stated:
    """Return the pixel size and the channels that the file states.

    Raises:
        ValueError: a size is not a number.
    """
    if file.is_ome:
        images = elements(ome_root(file.ome_metadata), "Image")
        if len(images) > len(file.series):  # tifffile leaves out images without pixels
            images = [image for image in images if image.get("Name") == series.name]
            return stated_by_ome(images[0]) if len(images) == 1 else Stated()
        index = next(i for i, one in enumerate(file.series) if one is series)
        return stated_by_ome(images[index]) if index < len(images) else Stated()
    if file.is_imagej:
        return stated_by_imagej(file.imagej_metadata or {}, series.keyframe.tags)
    return Stated()


def tell_what_is_left_out(path: Path, file: Any, series: Any) -> None:
    """Check metadata against the pages of a file, and warn about metadata that are not kept.

    Raises:
        UserError: the text of ImageJ does not fit the pages; or the XML of OME does not, and there are several files,
            channels or time points.
    """
    if not file.is_ome:
        if file.is_imagej:
            _check_imagej(path, file, series)
        return
    if series.kind != "ome":
        root = ome_root(file.ome_metadata)
        several = any(int(one.get(f"Size{axis}", "1")) > 1 for one in elements(root, "Pixels") for axis in "CT")
        if several or len(_file_names(path, root)) > 1:
            raise UserError(
                f"{path}: its OME-XML does not fit its pages, so it is not known "
                "which channel or time point they show; correct it."
            )
        logger.warning("%s: its OME-XML does not fit its pages; they are read one after the other, as slices", path)
        return
    of_images = {page.offset for one in file.series for page in one.pages if page is not None and page.parent is file}
    left = len(file.pages) - len(of_images)
    if of_images and left > 0:
        logger.warning("%s: its OME-XML names %d of its pages; the other %d are left out", path, len(of_images), left)


def _check_imagej(path: Path, file: Any, series: Any) -> None:
    """Check the number of images that ImageJ states, and warn about an intensity calibration."""
    found: Mapping[str, Any] = file.imagej_metadata or {}
    planes = math.prod(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS")
    # Large stacks lie in one piece behind their only page; tifffile falls back to other kinds where they cannot.
    if series.kind in ("generic", "uniform") or (len(file.pages) > 1 and len(file.pages) != planes):
        stated = ", ".join(f"{name}={found[name]}" for name in ("images", *IMAGEJ_AXES) if name in found)
        raise UserError(
            f"{path}: its text of ImageJ ({stated}) does not fit its pages, of which there are {len(file.pages)}. "
            "It may have been cut off; save it again."
        )
    calibration = {name: found[name] for name in ("cf", "c0", "c1", "vunit") if name in found}
    if "c0" in calibration and (calibration["c0"], calibration.get("c1", 1)) != (0, 1):
        listed = ", ".join(f"{name}={value}" for name, value in calibration.items())
        logger.warning(
            "%s: ImageJ's calibration of grey values (%s) is neither applied nor kept; intensities are those "
            "that are stored",
            path,
            listed,
        )


def photometric_of(page: Any) -> str:
    """Return the photometric interpretation of a page, as tifffile names it; grey by default."""
    if PHOTOMETRIC_TAG not in page.tags and page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return GREY
    try:
        name = tifffile.PHOTOMETRIC(page.photometric).name.lower()
    except ValueError:
        return str(page.photometric)
    # JPEG is decoded to RGB.
    return COLOUR if name == "ycbcr" and page.compression == tifffile.COMPRESSION.JPEG else name


def check_pixels(path: Path, series: Any) -> None:
    """Check that pixels are intensities and can be decoded.

    Raises:
        UserError: they are.
    """
    page, kind, dtype = series.keyframe, photometric_of(series.keyframe), series.dtype
    if kind not in (GREY, GREY_INVERTED, COLOUR):
        what = OTHER_PIXELS.get(kind, "colours or raw values")
        raise UserError(f"{path}: its pixels are {what} (photometric {kind.upper()}); save it as grey or RGB.")
    if isinstance(page.bitspersample, tuple):
        raise UserError(f"{path}: its samples have {page.bitspersample} bits; save it with samples of one depth.")
    if page.bitspersample == 1:
        raise UserError(f"{path}: its pixels have 1 bit, black or white, and are not intensities; save it as grey.")
    if dtype is None or dtype.name not in (*DTYPES, HALF):
        found = f"{page.bitspersample} bits" if dtype is None else f"type {dtype}"
        advice = "; save their magnitude" if dtype is not None and dtype.kind == "c" else ""
        raise UserError(
            f"{path}: pixels of {found} are not intensities; known are {', '.join(DTYPES)}, {HALF}{advice}."
        )
    if page.axes not in PAGE_AXES or page.samplesperpixel < (COLOUR_SAMPLES if kind == COLOUR else 1):
        raise UserError(f"{path}: has pages of shape {page.shape} with the axes {page.axes}; save one slice per page.")
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        if page.predictor != tifffile.PREDICTOR.NONE and page.compression not in tifffile.TIFF.IMAGE_COMPRESSIONS:
            tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError as error:
        raise unknown_compression(path, page) from error
    if dtype.name == HALF:
        logger.info("%s: floats of 16 bits are written with 32, since OME-TIFF has no others", path)
    if kind == GREY_INVERTED and dtype.kind == "f":
        logger.warning("%s: says that zero is white; its floats are read as they are, zero as the darkest", path)


def unknown_compression(path: Path, page: Any) -> UserError:
    """Return the error for a compression without codec."""
    try:
        name = tifffile.COMPRESSION(page.compression).name
    except ValueError:
        name = str(page.compression)
    if page.predictor != tifffile.PREDICTOR.NONE:
        name += f", predictor {page.predictor}"
    is_there = find_spec("imagecodecs") is not None
    what = (
        "cannot be decoded" if is_there else "needs the package imagecodecs (pip install imagecodecs); install it, or"
    )
    return UserError(
        f"{path}: is compressed with {name}, which {what}{';' if is_there else ''} save it uncompressed or with zlib."
    )


class Samples(NamedTuple):
    """Meaning of the samples of a pixel.

    Attributes:
        kept: those that are channels or colours.
        coloured: whether the first three are red, green and blue.
        opacity: the one that is the opacity (alpha); None if none is.
        is_premultiplied: whether the colours are stored multiplied by their opacity.
    """

    kept: tuple[int, ...]
    coloured: bool
    opacity: int | None
    is_premultiplied: bool


def samples_of(path: Path, page: Any) -> Samples:
    """Return the meaning of the samples of a pixel, and warn about unknown ones."""
    coloured = photometric_of(page) == COLOUR
    first = COLOUR_SAMPLES if coloured else 1
    kinds = dict(zip(range(first, page.samplesperpixel), page.extrasamples, strict=False))
    opacity = next((place for place, kind in kinds.items() if kind in (ASSOCIATED, UNASSOCIATED)), None)
    others = [place for place in range(first, page.samplesperpixel) if place != opacity]
    if coloured and others:
        logger.warning("%s: has %d samples per pixel beyond RGB, of no stated meaning; left out", path, len(others))
    kept = (*range(first), *(() if coloured else others))
    return Samples(kept, coloured, opacity, opacity is not None and kinds[opacity] == ASSOCIATED)


class Turn(NamedTuple):
    """Map from stored to displayed rows and columns: transposed first, then flipped."""

    exchanged: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the number of displayed rows and columns of a stored page, or the inverse."""
        return (columns, rows) if self.exchanged else (rows, columns)

    def stored(self, rows: slice, columns: slice, shown: tuple[int, int]) -> tuple[slice, slice]:
        """Return the region in the stored page; `shown` are the displayed rows and columns of the whole page."""
        rows = slice(shown[0] - rows.stop, shown[0] - rows.start) if self.rows_reversed else rows
        columns = slice(shown[1] - columns.stop, shown[1] - columns.start) if self.columns_reversed else columns
        return (columns, rows) if self.exchanged else (rows, columns)

    def turned(self, region: NDArray) -> NDArray:
        """Return a stored region (rows, columns) as it is displayed."""
        region = region.T if self.exchanged else region
        return region[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1]

    def sizes(self, stated: tuple[float | None, float | None, float | None]) -> tuple[float | None, ...]:
        """Return the voxel size along x, y, z of the displayed page."""
        x, y, z = stated
        return (y, x, z) if self.exchanged else (x, y, z)


TURNS: Mapping[int, Turn] = {
    1: Turn(),
    2: Turn(columns_reversed=True),
    3: Turn(rows_reversed=True, columns_reversed=True),
    4: Turn(rows_reversed=True),
    5: Turn(exchanged=True),
    6: Turn(exchanged=True, columns_reversed=True),
    7: Turn(exchanged=True, rows_reversed=True, columns_reversed=True),
    8: Turn(exchanged=True, rows_reversed=True),
}
"""By the values of the tag Orientation (TIFF 6.0, section 8)."""


def turn_of(path: Path, page: Any) -> Turn:
    """Return the orientation of a page; a non-standard value is ignored with a warning."""
    value = page.tags.valueof(ORIENTATION_TAG, 1)
    if value not in TURNS:
        logger.warning("%s: its Orientation %s is none of 1 to 8, and is not followed", path, value)
    elif value != 1:
        logger.info("%s: turned according to its Orientation %d", path, value)
    return TURNS.get(value, Turn())


def intensity_of(page: Any, dtype: np.dtype) -> IntensityMap:
    """Return the intensity map; inverted integers have a negative slope."""
    name = "float32" if dtype.name == HALF else dtype.newbyteorder("=").name
    if photometric_of(page) != GREY_INVERTED or dtype.kind == "f":
        return IntensityMap(dtype=name)
    limits = np.iinfo(dtype)
    return IntensityMap(1.0, -1.0, float(limits.min + limits.max), name)


@dataclass
class Handles:
    """Files of a multi-file OME-TIFF, at most two of which are open at a time."""

    _last: Any = None

    def of(self, page: Any) -> Any:
        """Return the open file that contains a page."""
        handle = page.parent.filehandle
        if handle.closed:
            self.close()
            handle.open()
            self._last = handle
        return handle

    def close(self) -> None:
        """Close the file that was opened last."""
        if self._last is not None:
            self._last.close()
            self._last = None


def check_pages(path: Path, series: Any, handles: Handles) -> None:
    """Check that no page is missing or differs: tifffile reads every page like the first.

    Tiles may be left out, as GDAL does with those of one colour; they are counted in a warning.

    Raises:
        UserError: a page is missing, or is not like the others.
        ValueError: pixels are missing.
    """
    left_out = 0
    for number, page in enumerate(series.pages):
        if page is None:
            raise UserError(f"{path}: of its {len(series.pages)} planes, number {number + 1} is in none of its pages.")
        handle = handles.of(page)
        _check_alike(path, series.keyframe, page, handle)
        common = page.keyframe
        expected = int(np.prod(common.chunked, dtype=np.int64))
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        empty = sum(count == 0 for _, count in segments)
        is_there = all(start >= 0 and start + count <= handle.size for start, count in segments)
        if len(segments) != expected or not is_there or (empty and (not common.is_tiled or empty == len(segments))):
            raise ValueError(f"page {page.index} ends before its pixels do")
        left_out += empty
    if left_out:
        fill = series.keyframe.nodata
        logger.warning("%s: %d of its tiles are not stored; their pixels count as %g", path, left_out, fill)


def _check_alike(path: Path, first: Any, page: Any, handle: Any) -> None:
    """Check that a page has the properties of the first page."""
    whole = page
    if page is not page.keyframe and page.offset > 0:
        handle.seek(page.offset)
        whole = tifffile.TiffPage(page.parent, page.index)
        if whole.hash != page.keyframe.hash:
            raise UserError(
                f"{path}: its page {page.index} is of shape {whole.shape} and type {whole.dtype}, page "
                f"{page.keyframe.index} of shape {page.keyframe.shape} and type {page.keyframe.dtype}, or stored "
                "otherwise; save pages of one kind."
            )
    if not isinstance(whole, tifffile.TiffPage):
        return
    of_first, of_this = _look(first), _look(whole)
    unlike = next((name for name, value in of_first.items() if of_this[name] != value), None)
    if unlike is not None:
        raise UserError(
            f"{path}: its pages differ in {unlike}: {of_first[unlike]} and {of_this[unlike]}; save pages of one kind."
        )


def _look(page: Any) -> dict[str, Any]:
    """Return the properties that all pages of an image share, by name."""
    return {
        "shape": tuple(page.shape),
        "type": None if page.dtype is None else page.dtype.newbyteorder("=").name,
        "photometric interpretation": photometric_of(page),
        "extra samples": tuple(int(kind) for kind in page.extrasamples),
        "orientation": int(page.tags.valueof(ORIENTATION_TAG, 1)),
    }


def check_identities(path: Path, file: Any, series: Any) -> None:
    """Warn about a file of a set with an unexpected identifier: it may have been replaced."""
    if not file.is_ome:
        return
    expected = {name: uuid for uuid, name in _file_names(path, ome_root(file.ome_metadata)).items()}
    parents = {page.parent.filename: page.parent for page in series.pages}
    for name, parent in parents.items():
        text = parent.pages.first.description if parent.is_ome else ""
        found = ome_root(text).get("UUID") if text.strip().endswith("OME>") else None
        if name in expected and found not in (None, expected[name]):
            logger.warning("%s: %s is not the file that the set was made with: it has another UUID", path, name)
