"""TIFF (OME, ImageJ's, plain; tiles or strips), read region by region; written as tiled OME-TIFF with a pyramid.

What a file's metadata mean is read as for smaller files: see pipeline.image.formats.tiff. The colours of a coloured
image are channels here, each restored by itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.image.formats._checks import check_is_file, first_line
from pipeline.image.formats._colours import COLOURS
from pipeline.image.formats.tiff import (
    COLOUR,
    DAMAGE,
    DTYPES,
    GREY,
    GREY_INVERTED,
    LARGEST_CLASSIC_BYTES,
    SLICE_AXES,
    chosen_series,
    intensity_of,
    stated_by,
)
from pipeline.image.pyramid import CHUNK, blocks_of, planes_of
from pipeline.image.tiled import TiledImage
from pipeline.image.tiled._by_pillow import unpacked

SUFFIXES = (".tiff", ".tif")
MOST_SEGMENT_BYTES = 512 << 20
"""A tile or strip is unpacked whole, so it must fit into memory."""
SAMPLES = "S"
"""Axis of the colours of a pixel, by tifffile's name."""


@dataclass(frozen=True)
class TiffMetadata:
    """What is kept of a file's metadata.

    Attributes:
        labels: names of the channels; empty where the file names none.
        voxel_um: size of a voxel along x, y, z; None where it is not known.
        states_z: whether the file says how thick a voxel is.
        byte_order: "<" or ">".
        photometric: whether 0 is black or white, or RGB.
    """

    labels: list[str]
    voxel_um: tuple[float, float, float] | None
    states_z: bool
    byte_order: str
    photometric: str

    def only(self, axis: str, index: int) -> TiffMetadata:
        """Returns what remains when an axis has nothing but the given index."""
        if axis != "c":
            return self
        photometric = GREY if self.photometric == COLOUR else self.photometric
        return replace(self, labels=self.labels[index : index + 1], photometric=photometric)

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> TiffMetadata:
        """Returns the same with another size of a voxel."""
        return replace(self, voxel_um=voxel_um, states_z=True)


@contextmanager
def open_tiled(path: Path, series: str | None = None) -> Iterator[TiledImage]:
    """Opens one image of a file; see pipeline.image.tiled.

    Raises:
        UserError: the file is missing or damaged, holds several images of which none was chosen, or no intensities.
    """
    check_is_file(path)
    with _telling(path):
        file = tifffile.TiffFile(path, _multifile=False)
    with file:
        with _telling(path):
            image = _image(path, file, chosen_series(path, file, series))
        yield image


def shape_of(path: Path, series: str | None) -> tuple[int, ...]:
    """Returns the sizes along all axes of the largest image of a file, if none of several is chosen.

    It says nothing about whether the image can be read.

    Raises:
        UserError: the file is missing or damaged, or has no such image.
    """
    check_is_file(path)
    with _telling(path), tifffile.TiffFile(path, _multifile=False) as file:
        found = file.series if series is None else [chosen_series(path, file, series)]
        largest = max(found, key=lambda one: math.prod(one.shape))
        page = largest.keyframe
        others = [size for axis, size in zip(largest.axes, largest.shape, strict=True) if axis not in "YX"]
        return (*others, page.imagelength, page.imagewidth)


def check_output(path: Path) -> None:
    """Makes sure that a result may take the place of what stands at `path`.

    Raises:
        UserError: a folder stands there.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: a folder of this name stands there.")


def deliver(levels: Path, image: TiledImage, factor: int, facts: Mapping[str, Any], output: Path) -> None:
    """Writes a restored pyramid as OME-TIFF, tile by tile; arguments as in `pipeline.image.tiled.ome_zarr.deliver`."""
    group = zarr.open_group(levels, mode="r")
    pyramid = [cast(zarr.Array, group[name]) for name in sorted(group.array_keys(), key=int)]
    finest = pyramid[0]
    known = cast(TiffMetadata, image.metadata)
    options: dict[str, Any] = {
        "dtype": finest.dtype,
        "tile": (CHUNK, CHUNK),
        "compression": "zlib",
        "photometric": known.photometric,
        "software": False,
        "maxworkers": 1,
    }
    axes = f"{image.leading.upper()}YX"
    if image.coloured:
        options["planarconfig"] = "separate"  # in planes of one colour, as they were restored
        axes = axes.replace("C", SAMPLES)
    described = _described(image, known, factor, facts, np.asarray(pyramid[-1][...]))
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
    image: TiledImage, known: TiffMetadata, factor: int, facts: Mapping[str, Any], coarsest: NDArray
) -> dict[str, Any]:
    """Returns the metadata of OME."""
    text = json.dumps({"brainsr": facts}, sort_keys=True)
    digest = hashlib.sha256(text.encode() + coarsest.tobytes()).digest()
    described: dict[str, Any] = {
        "UUID": str(uuid.UUID(bytes=digest[:16])),
        "Creator": "BrainSR",
        "Description": text,
    }
    if known.labels and not image.coloured:
        described["Channel"] = {"Name": known.labels}
    if known.voxel_um is not None:
        x, y, z = known.voxel_um
        sizes = {"X": x / factor, "Y": y / factor, **({"Z": z} if known.states_z else {})}
        described |= {f"PhysicalSize{axis}": size for axis, size in sizes.items()}
        described |= {f"PhysicalSize{axis}Unit": "\N{MICRO SIGN}m" for axis in sizes}
    return described


def _tiles(level: zarr.Array) -> Iterator[NDArray]:
    """Yields the tiles of all planes, those at the edges filled up with zeros."""
    for plane in planes_of(level.shape[:-2]):
        for rows, columns in blocks_of(level.shape[-2:]):
            tile = np.zeros((CHUNK, CHUNK), dtype=level.dtype)
            tile[: rows.stop - rows.start, : columns.stop - columns.start] = level[(*plane, rows, columns)]
            yield tile


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turns whatever tifffile raises about a broken file into one message."""
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read as TIFF ({first_line(error)}). Is it whole?") from error


def _image(path: Path, file: Any, series: Any) -> TiledImage:
    page = series.keyframe
    if series.dtype is None or series.dtype.name not in DTYPES:
        raise UserError(f"{path}: pixels of type {series.dtype} are no intensities; known are {', '.join(DTYPES)}.")
    kind = page.photometric.name.lower()
    if kind not in (GREY, GREY_INVERTED, COLOUR):
        raise UserError(f"{path}: its pixels are colours ({kind}); save it as grey or RGB, without a palette.")
    leading = _leading(path, series)
    pages = _Pages(path, file, series)
    pages.check()
    stated = stated_by(file, series)
    if not stated.is_sound:
        raise UserError(f"{path}: states pixels of {stated.sizes_um} um; mend its metadata.")
    samples = min(page.samplesperpixel, len(COLOURS))
    sizes = [size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in f"YX{SAMPLES}"]
    intensity = intensity_of(page, series.dtype)
    has_samples = samples > 1
    is_coloured = kind == COLOUR and samples == len(COLOURS)
    return TiledImage(
        path=path,
        leading=leading + "c" * has_samples,
        shape=(*sizes, *[samples] * has_samples, page.imagelength, page.imagewidth),
        intensity=intensity,
        voxel_um=stated.voxel_um,
        metadata=TiffMetadata(
            labels=list(COLOURS[:samples] if has_samples else stated.channels),
            voxel_um=stated.voxel_um,
            states_z=stated.sizes_um[2] is not None,
            byte_order=file.byteorder,
            photometric=COLOUR if is_coloured else GREY_INVERTED if kind == GREY_INVERTED else GREY,
        ),
        coloured=is_coloured,
        read_region=lambda plane, rows, columns: pages.read(
            int(np.ravel_multi_index(plane[: len(sizes)], sizes)) if sizes else 0,
            plane[-1] if has_samples else 0,
            rows,
            columns,
        ),
    )


def _leading(path: Path, series: Any) -> str:
    """Returns the axes before rows and columns in our names: t, c and z."""
    found = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if axis not in f"YX{SAMPLES}"]
    ours = "".join("z" if axis in SLICE_AXES else axis.lower() for axis, _ in found)
    is_known = set(ours) <= set("tcz") and len(set(ours)) == len(ours) and "YX" in series.axes.replace(SAMPLES, "")
    if not is_known or (SAMPLES in series.axes and "c" in ours):
        raise UserError(f"{path}: has the axes {series.axes} of sizes {series.shape}; save one stack of grey slices.")
    return ours


class _Pages:
    """The planes of a series, of which any region is read without unpacking the whole."""

    def __init__(self, path: Path, file: Any, series: Any) -> None:
        self._path = path
        self._handle = file.filehandle
        self._series = series
        self._keyframe = page = series.keyframe  # what all pages have in common
        self._rows, self._columns = page.imagelength, page.imagewidth
        self._tile_rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, self._rows)
        self._tile_columns = page.tilewidth if page.is_tiled else self._columns
        self._dtype = np.dtype(file.byteorder + series.dtype.char)
        self._is_one_piece = bool(page.is_memmappable) and page.samplesperpixel == 1
        count = math.prod(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS")
        self._has_all_pages = len(series.pages) == count
        self._count = count

    def check(self) -> None:
        """Refuses pages that do not stand in the file or cannot be read in bounded memory.

        Raises:
            UserError: tiles are too large, or lie in other files.
            ValueError: pixels are missing.
        """
        end = self._path.stat().st_size
        if not self._has_all_pages:
            # ImageJ keeps large stacks in one piece behind the first page.
            size = self._count * self._rows * self._columns * self._dtype.itemsize
            if not self._is_one_piece or self._keyframe.dataoffsets[0] + size > end:
                raise ValueError("it ends before its pixels do")
            return
        if not self._is_one_piece and self._segment_bytes > MOST_SEGMENT_BYTES:
            raise UserError(
                f"{self._path}: is packed in pieces of {self._tile_rows} x {self._tile_columns} pixels, more than "
                f"{MOST_SEGMENT_BYTES >> 20} MiB each; save it with tiles, such as 512 x 512."
            )
        for page in self._series.pages:
            if page is None:
                raise UserError(f"{self._path}: parts of this OME-TIFF stand in other files; save it as one file.")
            segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
            is_there = all(start >= 0 and start + count <= end for start, count in segments)
            if (
                len(segments) != math.prod(self._keyframe.chunked)
                or not is_there
                or not any(count for _, count in segments)
            ):
                raise ValueError(f"page {page.index} ends before its pixels do")

    @property
    def _segment_bytes(self) -> int:
        samples = self._keyframe.samplesperpixel
        return self._tile_rows * self._tile_columns * samples * self._dtype.itemsize

    def read(self, number: int, sample: int, rows: slice, columns: slice) -> NDArray:
        """Returns a region of a page, in the byte order of the machine."""
        with _telling(self._path):
            if self._is_one_piece:
                region = self._mapped(number)[rows, columns]
            else:
                region = self._assembled(self._series.pages[number], sample, rows, columns)
            return region.astype(region.dtype.newbyteorder("="))

    def _mapped(self, number: int) -> NDArray:
        """Maps an uncompressed page into memory, anew each time, so that what was read is let go of."""
        if self._has_all_pages:
            start = self._series.pages[number].dataoffsets[0]
        else:
            start = self._keyframe.dataoffsets[0] + number * self._rows * self._columns * self._dtype.itemsize
        return np.memmap(self._path, self._dtype, "r", offset=start, shape=(self._rows, self._columns))

    def _assembled(self, page: Any, sample: int, rows: slice, columns: slice) -> NDArray:
        """Unpacks the tiles or strips that a region touches."""
        common = self._keyframe
        region = np.full((rows.stop - rows.start, columns.stop - columns.start), common.nodata, dtype=self._dtype)
        is_planar = common.samplesperpixel > 1 and common.planarconfig != tifffile.PLANARCONFIG.CONTIG
        across, down = -(-self._columns // self._tile_columns), -(-self._rows // self._tile_rows)
        for row in range(rows.start // self._tile_rows, -(-rows.stop // self._tile_rows)):
            for column in range(columns.start // self._tile_columns, -(-columns.stop // self._tile_columns)):
                index = (sample * down + row if is_planar else row) * across + column
                segment = self._segment(page, index)
                if segment is not None:
                    corner = (row * self._tile_rows - rows.start, column * self._tile_columns - columns.start)
                    _paste(region, segment[0, :, :, 0 if is_planar else sample], corner)
        return region

    def _segment(self, page: Any, index: int) -> NDArray | None:
        """Unpacks one tile or strip, shape (1, rows, columns, samples); None stands for one that was left out."""
        common = self._keyframe
        if page.databytecounts[index] == 0:
            return None
        self._handle.seek(page.dataoffsets[index])
        data = self._handle.read(page.databytecounts[index])
        try:
            return common.decode(data, index, jpegtables=common.jpegtables)[0]
        except ValueError as error:
            if "imagecodecs" not in str(error) or common.samplesperpixel > 1:
                raise
        rows = self._tile_rows if common.is_tiled else min(self._tile_rows, self._rows - index * self._tile_rows)
        return unpacked(common, data, rows, self._tile_columns)


def _paste(region: NDArray, segment: NDArray, corner: tuple[int, int]) -> None:
    """Copies what of a segment lies inside a region; `corner` is its place there and may lie outside."""
    inside = tuple(slice(max(0, start), start + size) for start, size in zip(corner, segment.shape, strict=True))
    target = region[inside]
    offset = tuple(max(0, -start) for start in corner)
    target[...] = segment[offset[0] :, offset[1] :][: target.shape[0], : target.shape[1]]
