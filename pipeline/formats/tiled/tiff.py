"""TIFF (OME, ImageJ's, plain; tiles or strips), read region by region; written as tiled OME-TIFF with a pyramid.

Smaller files are read by the same code, whole: see pipeline.formats.tiff. The colours of a coloured image are
channels here, each restored by itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats._pyramid import CHUNK, blocks_of, planes_of
from pipeline.formats._tiff_file import (
    COLOUR,
    GREY,
    GREY_INVERTED,
    LARGEST_CLASSIC_BYTES,
    SLICE_AXES,
    Handles,
    Samples,
    check_identities,
    check_pages,
    check_pixels,
    chosen_series,
    intensity_of,
    opened_tiff,
    samples_of,
    stated_by,
    tell_what_is_left_out,
    telling,
    turn_of,
    unknown_compression,
)
from pipeline.formats._tiff_metadata import Stated
from pipeline.formats.tiled import Factors, Plane, TiledImage
from pipeline.image.channels import COLOURS

logger = logging.getLogger(__name__)

MAX_SEGMENT_BYTES = 512 << 20
"""Maximum size of a tile or strip, which is decoded as a whole."""
SAMPLES = "S"
"""tifffile's name of the axis of colours."""


@dataclass(frozen=True)
class TiffMetadata:
    """Metadata of a TIFF file that are kept.

    Attributes:
        labels: names of the channels; empty where the file names none.
        voxel_um: size of a voxel along x, y, z; None if it is not known.
        states_z: whether the file states the distance of slices.
        byte_order: "<" or ">".
        photometric: whether 0 is black or white, or RGB.
        files: name, size in bytes and time of change (nanoseconds) of every file that the image lies in.
    """

    labels: list[str]
    voxel_um: tuple[float, float, float] | None
    states_z: bool
    byte_order: Literal["<", ">"]
    photometric: str
    files: tuple[tuple[str, int, int], ...] = ()

    def only(self, axis: str, index: int) -> TiffMetadata:
        """Return the metadata of the image at one index along an axis."""
        if axis != "c":
            return self
        photometric = GREY if self.photometric == COLOUR else self.photometric
        return replace(self, labels=self.labels[index : index + 1], photometric=photometric)

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> TiffMetadata:
        """Return the metadata with another voxel size."""
        return replace(self, voxel_um=voxel_um, states_z=True)


@contextmanager
def open_tiled(path: Path, series: str | None = None) -> Iterator[TiledImage]:
    """Open one image of a file, or of a set of files; see pipeline.formats.tiled.

    Raises:
        UserError: the file is missing or damaged, contains several images, or its pixels are not intensities.
    """
    with opened_tiff(path) as file, closing(Handles()) as handles:
        with telling(path):
            image = _image(path, file, chosen_series(path, file, series), handles)
        yield image


def shape_of(path: Path, series: str | None) -> tuple[int, ...]:
    """Return the sizes along all axes of the largest image of a file, if none of several is chosen.

    The image need not be readable.

    Raises:
        UserError: the file is missing or damaged, or has no such image.
    """
    with opened_tiff(path) as file, telling(path):
        found = file.series if series is None else [chosen_series(path, file, series)]
        largest = max(found, key=lambda one: math.prod(one.shape))
        page = largest.keyframe
        others = [size for axis, size in zip(largest.axes, largest.shape, strict=True) if axis not in "YX"]
        return (*others, page.imagelength, page.imagewidth)


def check_output(path: Path) -> None:
    """Check that a result may replace `path`.

    Raises:
        UserError: a folder is there.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: a folder has this name.")


def deliver(levels: Path, image: TiledImage, factors: Factors, processing: Mapping[str, Any], output: Path) -> None:
    """Write a restored pyramid as OME-TIFF, tile by tile; arguments: `pipeline.formats.tiled.ome_zarr.deliver`."""
    group = zarr.open_group(levels, mode="r")
    pyramid = [cast(zarr.Array, group[name]) for name in sorted(group.array_keys(), key=int)]
    finest = pyramid[0]
    known = cast(TiffMetadata, image.metadata)
    inverted_floats = known.photometric == GREY_INVERTED and finest.dtype.kind == "f"
    options: dict[str, Any] = {
        "dtype": finest.dtype,
        "tile": (CHUNK, CHUNK),
        "compression": "zlib",
        # Uncertainty maps are floats in which zero means "none".
        "photometric": GREY if inverted_floats else known.photometric,
        "software": False,
        "maxworkers": 1,
    }
    axes = f"{image.leading.upper()}YX"
    if image.coloured:
        options["planarconfig"] = "separate"  # in planes of one colour, as they were restored
        axes = axes.replace("C", SAMPLES)
    described = _described(image, known, factors, processing, np.asarray(pyramid[-1][...]))
    described["axes"] = axes
    is_large = finest.nbytes > LARGEST_CLASSIC_BYTES / 2  # the coarser levels come on top
    with (
        replacing(output) as partial,
        tifffile.TiffWriter(partial, ome=True, bigtiff=is_large, byteorder=cast(Any, known.byte_order)) as file,
    ):
        file.write(_tiles(finest), shape=finest.shape, metadata=described, subifds=len(pyramid) - 1, **options)
        for level in pyramid[1:]:
            file.write(_tiles(level), shape=level.shape, metadata=None, subfiletype=1, **options)


def _described(
    image: TiledImage, known: TiffMetadata, factors: Factors, processing: Mapping[str, Any], coarsest: NDArray
) -> dict[str, Any]:
    """Return the metadata of OME."""
    text = json.dumps({"brainsr": processing}, sort_keys=True)
    digest = hashlib.sha256(text.encode() + coarsest.tobytes()).digest()
    described: dict[str, Any] = {
        "UUID": str(uuid.UUID(bytes=digest[:16])),
        "Creator": "BrainSR",
        "Description": text,
    }
    if known.labels and not image.coloured:
        described["Channel"] = {"Name": known.labels}
    if known.voxel_um is not None:
        sizes = {axis: size / one for axis, size, one in zip("XYZ", known.voxel_um, factors[::-1], strict=True)}
        if not known.states_z:
            del sizes["Z"]
        described |= {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
        described |= {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in sizes}
    return described


def _tiles(level: zarr.Array) -> Iterator[NDArray]:
    """Yield the tiles of all planes; tiles at the edges are padded with zeros."""
    for plane in planes_of(level.shape[:-2]):
        for rows, columns in blocks_of(level.shape[-2:]):
            tile = np.zeros((CHUNK, CHUNK), dtype=level.dtype)
            tile[: rows.stop - rows.start, : columns.stop - columns.start] = level[(*plane, rows, columns)]
            yield tile


def _image(path: Path, file: Any, series: Any, handles: Handles) -> TiledImage:
    check_pixels(path, series)
    tell_what_is_left_out(path, file, series)
    page, samples = series.keyframe, samples_of(path, series.keyframe)
    leading, sizes = _leading(path, series, samples)
    pages = _Pages(path, series, handles)
    pages.check(file)
    turn = turn_of(path, page)
    stated, fault = Stated(), ""
    try:
        stated = stated_by(file, series)
    except ValueError as error:
        fault = f"{error}; give the size of a voxel with voxel_um, or correct the file"
    if stated.lost:
        logger.warning("%s: not kept in a result: %s", path, ", ".join(stated.lost))
    if not stated.is_sound:
        fault = f"states pixels of {stated.sizes_um} um; give their true size with voxel_um"
    stated = replace(stated, sizes_um=turn.sizes(stated.sizes_um))
    shown = turn.shape(page.imagelength, page.imagewidth)
    has_samples = len(samples.kept) > 1
    names = COLOURS if samples.coloured else stated.channels
    intensity = intensity_of(page, series.dtype)

    def region_of(plane: Plane, sample: int, rows: slice, columns: slice) -> NDArray:
        number = int(np.ravel_multi_index(plane[: len(sizes)], sizes)) if sizes else 0
        return turn.turned(pages.read(number, sample, *turn.stored(rows, columns, shown)))

    def read_region(plane: Plane, rows: slice, columns: slice) -> NDArray:
        region = region_of(plane, samples.kept[plane[-1] if has_samples else 0], rows, columns)
        # Half floats become those that they are written as.
        return region.astype(intensity.dtype, copy=False)

    def read_opacity(plane: Plane, rows: slice, columns: slice) -> NDArray:
        region = region_of(plane, cast(int, samples.opacity), rows, columns)
        return region / (1.0 if region.dtype.kind == "f" else (1 << page.bitspersample) - 1)

    return TiledImage(
        path=path,
        leading=leading + "c" * has_samples,
        shape=(*sizes, *[len(samples.kept)] * has_samples, *shown),
        intensity=intensity,
        voxel_um=stated.voxel_um if stated.is_sound else None,
        metadata=TiffMetadata(
            labels=list(names) if not has_samples or len(names) == len(samples.kept) else [],
            voxel_um=stated.voxel_um if stated.is_sound else None,
            states_z=stated.sizes_um[2] is not None,
            byte_order=file.byteorder,
            photometric=COLOUR if samples.coloured else GREY_INVERTED if intensity.slope < 0 else GREY,
            files=pages.files(),
        ),
        coloured=samples.coloured,
        read_region=read_region,
        opacity=None if samples.opacity is None else read_opacity,
        is_premultiplied=samples.is_premultiplied,
        warnings=stated.warnings,
        fault=fault,
    )


def _leading(path: Path, series: Any, samples: Samples) -> tuple[str, list[int]]:
    """Return the axes before rows and columns in our names (t, c and z) with their sizes, without those of colours."""
    found = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if axis not in f"YX{SAMPLES}"]
    ours = [("z" if axis in SLICE_AXES else axis.lower(), size) for axis, size in found]
    names = [name for name, _ in ours]
    kept = [(name, size) for name, size in ours if size > 1 or (name in "tcz" and names.count(name) == 1)]
    if len(samples.kept) > 1:
        kept = [(name, size) for name, size in kept if name != "c" or size > 1]
    names = [name for name, _ in kept]
    is_known = set(names) <= set("tcz") and len(set(names)) == len(names)
    if not is_known or (len(samples.kept) > 1 and "c" in names):
        raise UserError(f"{path}: has the axes {series.axes} of sizes {series.shape}; save one stack of grey slices.")
    return "".join(names), [size for _, size in kept]


class _Pages:
    """Planes of a series, read region by region without decoding the whole."""

    def __init__(self, path: Path, series: Any, handles: Handles) -> None:
        self._path = path
        self._series = series
        self._handles = handles
        page = series.keyframe
        count = math.prod(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS")
        self._count = count
        self._has_all_pages = len(series.pages) == count
        self._plane_bytes = math.prod(page.shape) * series.dtype.itemsize

    def check(self, file: Any) -> None:
        """Check that all pages exist and can be read in bounded memory.

        Raises:
            UserError: tiles are too large, or pages are missing or differ.
            ValueError: pixels are missing.
        """
        page = self._series.keyframe
        if not self._has_all_pages:
            # ImageJ keeps large stacks in one piece behind the first page.
            end = page.parent.filehandle.size
            if not page.is_memmappable or page.dataoffsets[0] + self._count * self._plane_bytes > end:
                raise ValueError("it ends before its pixels do")
            return
        check_pages(self._path, self._series, self._handles)
        check_identities(self._path, file, self._series)
        layouts = {id(one.keyframe): one.keyframe for one in self._series.pages}
        for layout in layouts.values():
            rows, columns = _piece(layout)
            samples = layout.samplesperpixel if layout.planarconfig == tifffile.PLANARCONFIG.CONTIG else 1
            if not layout.is_memmappable and rows * columns * samples * layout.dtype.itemsize > MAX_SEGMENT_BYTES:
                raise UserError(
                    f"{self._path}: is packed in pieces of {rows} x {columns} pixels, more than "
                    f"{MAX_SEGMENT_BYTES >> 20} MiB each; save it with tiles, such as 512 x 512."
                )

    def files(self) -> tuple[tuple[str, int, int], ...]:
        """Return name, size and modification time of every file of the image."""
        paths = sorted({Path(page.parent.filehandle.path) for page in self._series.pages})
        stamps = [(path.name, path.stat()) for path in paths]
        return tuple((name, stamp.st_size, stamp.st_mtime_ns) for name, stamp in stamps)

    def read(self, number: int, sample: int, rows: slice, columns: slice) -> NDArray:
        """Return a region of a page as it is stored, in the byte order of the machine."""
        with telling(self._path):
            page = self._series.pages[number] if self._has_all_pages else self._series.keyframe
            if page.keyframe.is_memmappable:
                start = 0 if self._has_all_pages else number * self._plane_bytes
                region = _mapped(page, start, sample)[rows, columns]
            else:
                region = self._assembled(page, sample, rows, columns)
            return region.astype(region.dtype.newbyteorder("="))

    def _assembled(self, page: Any, sample: int, rows: slice, columns: slice) -> NDArray:
        """Decode the tiles or strips that a region overlaps."""
        common = page.keyframe
        height, width = _piece(common)
        region = np.full((rows.stop - rows.start, columns.stop - columns.start), common.nodata, dtype=common.dtype)
        is_planar = common.samplesperpixel > 1 and common.planarconfig != tifffile.PLANARCONFIG.CONTIG
        across, down = -(-common.imagewidth // width), -(-common.imagelength // height)
        for row in range(rows.start // height, -(-rows.stop // height)):
            for column in range(columns.start // width, -(-columns.stop // width)):
                index = (sample * down + row if is_planar else row) * across + column
                segment = self._segment(page, index)
                if segment is not None:
                    corner = (row * height - rows.start, column * width - columns.start)
                    _paste(region, segment[0, :, :, 0 if is_planar else sample], corner)
        return region

    def _segment(self, page: Any, index: int) -> NDArray | None:
        """Decode one tile or strip, shape (1, rows, columns, samples); None for an empty one."""
        if page.databytecounts[index] == 0:
            return None
        handle = self._handles.of(page)
        handle.seek(page.dataoffsets[index])
        data = handle.read(page.databytecounts[index])
        try:
            return page.keyframe.decode(data, index, jpegtables=page.jpegtables)[0]
        except ImportError as error:
            raise unknown_compression(self._path, page.keyframe) from error
        except (ValueError, NotImplementedError) as error:
            if "imagecodecs" not in str(error) and not isinstance(error, NotImplementedError):
                raise
            raise unknown_compression(self._path, page.keyframe) from error


def _piece(page: Any) -> tuple[int, int]:
    """Return rows and columns of the tiles or strips of a page."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _mapped(page: Any, start: int, sample: int) -> NDArray:
    """Memory-map a sample of an uncompressed page, anew each time, so that pages already read are released."""
    common = page.keyframe
    dtype = np.dtype(common.parent.byteorder + common.dtype.char)
    offset = page.dataoffsets[0] + start
    pixels = np.memmap(common.parent.filehandle.path, dtype, "r", offset=offset, shape=tuple(common.shape))
    places = {"YXS": np.s_[:, :, sample], "SYX": np.s_[sample]}
    return pixels[places.get(common.axes, np.s_[:])]


def _paste(region: NDArray, segment: NDArray, corner: tuple[int, int]) -> None:
    """Copy the overlap of a segment and a region; `corner` is the offset of the segment and may lie outside."""
    inside = tuple(slice(max(0, start), start + size) for start, size in zip(corner, segment.shape, strict=True))
    target = region[inside]
    offset = tuple(max(0, -start) for start in corner)
    target[...] = segment[offset[0] :, offset[1] :][: target.shape[0], : target.shape[1]]
