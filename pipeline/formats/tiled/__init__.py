"""Images that do not fit into memory, read region by region; one module per format.

Each module offers

- its name, which is that of the same format in pipeline.formats,
- `accepts(path)`, where a name does not always tell: whether an existing file or folder is of this format,
- `open_tiled(path, series)`: a context that gives a TiledImage,
- `shape_of(path, series)`: sizes along all axes, rows and columns last,
- `check_output(path)`: raises UserError where a result cannot be written to `path`,
- `deliver(levels, image, factors, processing, output)`: writes a restored pyramid, larger by factors along z, rows and
  columns, like the image that it was made of, whole or not at all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.formats import Part, format_by_name, read_suffixes, written_suffixes
from pipeline.formats._checks import MAX_VOXELS, chosen_frame
from pipeline.formats._colours import chosen_channel
from pipeline.formats._plain import MICROMETRE, PlainHeader
from pipeline.formats._pyramid import planes_of
from pipeline.image.image import Image, Slicing
from pipeline.image.intensity import IntensityMap
from pipeline.image.stack import PLANE, SLICE_AXIS, UNIT, lay_sections

logger = logging.getLogger(__name__)

ROOM = "pipeline.formats.tiled"
LONGEST_WHOLE_SIDE, MAX_WHOLE_PIXELS = 1024, 2**23
"""Rows or columns, and pixels of all planes, up to which an image is read at once; it takes some 150 bytes a pixel."""
OPACITY_LEFT_OUT = "the opacity (alpha) of pixels is left out"
PREMULTIPLIED = ", and their colours, which are stored multiplied by it (premultiplied), are read as they are"
Plane = tuple[int, ...]
"""Indices along the axes before rows and columns."""
Unit = tuple[int | slice, ...]
"""A plane, or a stack: indices along the axes before rows and columns, or all of them along z."""
Factors = tuple[float, float, float]
"""Enlargement along z, rows and columns; along rows and columns by whole numbers."""
ReadRegion = Callable[[Plane, slice, slice], NDArray]


class Metadata(Protocol):
    """Metadata of an image in its format."""

    @property
    def labels(self) -> list[str]:
        """Names of the channels; empty if the file has none."""
        ...

    def only(self, axis: str, index: int) -> Any:
        """Return the metadata of the image at one index along an axis."""
        ...

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> Any:
        """Return the metadata with another voxel size along x, y, z."""
        ...


@dataclass(frozen=True)
class TiledImage:
    """An open image of one or more planes.

    Attributes:
        path: its file or folder.
        leading: axes before rows and columns, some of "tcz" in any order.
        shape: sizes along all axes; the last two are rows and columns.
        intensity: between stored and physical values, and the dtype of the stored ones.
        voxel_um: voxel size along x, y, z in micrometres; None if the file does not state it.
        metadata: for the format's own use.
        read_region: see `read`.
        zarr_format: version of zarr in which results are kept until they are delivered.
        wanted: axes with a selected index, and that index.
        coloured: whether the channels are red, green and blue, which share one range.
        opacity: like `read_region` for the opacity (alpha) of the pixels, 0 to 1, which no channel is; None without.
        is_premultiplied: whether the channels are stored multiplied by their opacity.
        warnings: statements of the file about its pixel size that cannot be used.
        fault: why the image cannot be read unless the size of a voxel is given, in words; "" where it can.
    """

    path: Path
    leading: str
    shape: tuple[int, ...]
    intensity: IntensityMap
    voxel_um: tuple[float, float, float] | None
    metadata: Metadata
    read_region: ReadRegion
    zarr_format: Literal[2, 3] = 3
    wanted: tuple[tuple[str, int], ...] = ()
    coloured: bool = False
    opacity: ReadRegion | None = None
    is_premultiplied: bool = False
    warnings: tuple[str, ...] = ()
    fault: str = ""

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.shape[-2], self.shape[-1]

    @property
    def planes(self) -> list[Plane]:
        """Indices of all planes."""
        return list(planes_of(self.shape[:-2]))

    @property
    def stacks(self) -> list[Unit]:
        """All stacks of sections: every channel at every time point."""
        each = [
            [slice(None)] if axis == "z" else range(size) for axis, size in zip(self.leading, self.shape, strict=False)
        ]
        return list(product(*each))

    @property
    def sections(self) -> int:
        """Number of sections along z."""
        return self.shape[self.leading.index("z")] if "z" in self.leading else 1

    def planes_in(self, unit: Unit) -> list[Plane]:
        """Return the planes of a unit, in the order of z."""
        pairs = zip(unit, self.shape, strict=False)
        return list(product(*(range(size)[one] if isinstance(one, slice) else [one] for one, size in pairs)))

    def channel_of(self, unit: Unit) -> int:
        """Return the channel of a plane or stack; 0 if there is only one."""
        return cast(int, unit[self.leading.index("c")]) if "c" in self.leading else 0

    def outline(self) -> Image:
        """Return one stack as an Image without pixels: all are the same zero, which takes no memory."""
        sections = np.broadcast_to(np.float32(0), (self.sections, *self.plane_shape))
        return Image(
            lay_sections(sections),
            np.diag([*(self.voxel_um or (1.0, 1.0, 1.0)), 1.0]).astype(np.float64),
            unit=UNIT if self.voxel_um is None else MICROMETRE,
            header=PlainHeader(),
            slicing=Slicing(PLANE, SLICE_AXIS),
        )

    def read(self, plane: Plane, rows: slice, columns: slice) -> NDArray:
        """Return stored pixels of a region, shape (rows, columns); slices lie inside the plane.

        Raises:
            UserError: that part of the file is damaged.
        """
        return self.read_region(plane, rows, columns)

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> TiledImage:
        """Return the image with another voxel size along x, y, z; warn if the file states a different one."""
        if self.voxel_um not in (None, voxel_um):
            logger.warning("%s: states voxels of %s um; voxel_um differs and is used", self.path, self.voxel_um)
        return replace(self, voxel_um=voxel_um, metadata=self.metadata.with_voxel_um(voxel_um))

    def only(self, axis: str, index: int) -> TiledImage:
        """Return the image at one index along an axis; missing axes have index 0."""
        if axis not in self.leading:
            return self
        place = self.leading.index(axis)
        shape = (*self.shape[:place], 1, *self.shape[place + 1 :])

        def at_index(read: ReadRegion) -> ReadRegion:
            return lambda plane, rows, columns: read((*plane[:place], index, *plane[place + 1 :]), rows, columns)

        return replace(
            self,
            shape=shape,
            metadata=self.metadata.only(axis, index),
            read_region=at_index(self.read_region),
            opacity=None if self.opacity is None else at_index(self.opacity),
            wanted=(*self.wanted, (axis, index)),
            coloured=self.coloured and axis != "c",
        )


def chosen(image: TiledImage, part: Part) -> TiledImage:
    """Select time points and channels of an image; all of them by default.

    Args:
        image: the whole image.
        part: frame and channel; `voxel_um` overrides the file.

    Raises:
        UserError: there is no such frame or channel, the message names those that there are; or the file states a size
            of a voxel that cannot be true, and none is given.
    """
    part.check_voxel_um(image.path)
    sizes = dict(zip(image.leading, image.shape, strict=False))
    labels = image.metadata.labels
    if part.voxel_um is None:
        if image.fault:
            raise UserError(f"{image.path}: {image.fault}.")
        for warning in image.warnings:
            logger.warning("%s: %s", image.path, warning)
    if image.opacity is not None:
        logger.warning("%s: %s", image.path, OPACITY_LEFT_OUT + (PREMULTIPLIED if image.is_premultiplied else ""))
    if part.frame is not None:
        image = image.only("t", chosen_frame(image.path, sizes.get("t", 1), part.frame))
    if part.channel is not None:
        image = image.only("c", chosen_channel(image.path, sizes.get("c", 1), labels, part.channel))
    return image if part.voxel_um is None else image.with_voxel_um(part.voxel_um)


def outline_of(path: Path, part: Part) -> Image:
    """Return the outline of a stack of an image in a file, see `TiledImage.outline`.

    Raises:
        UserError: as `open_tiled`.
    """
    with open_tiled(path, part.series) as image:
        return replace(image, voxel_um=part.voxel_um or image.voxel_um).outline()


def read_whole(image: TiledImage, part: Part) -> tuple[TiledImage, NDArray]:
    """Read one time point of an image, with all channels or one, at once.

    Args:
        image: open.
        part: frame, channel and voxel_um; the frame needs not be named where there is but one.

    Returns:
        What was chosen, and its stored pixels, shape (sections, channels, rows, columns).

    Raises:
        UserError: as `chosen`, or the image is too large or damaged, or there are several time points and none is
            chosen.
    """
    sizes = dict(zip(image.leading, image.shape, strict=False))
    chosen_frame(image.path, sizes.get("t", 1), part.frame)
    single = chosen(replace(image, opacity=None), part)
    if math.prod(single.shape) > MAX_VOXELS:
        raise UserError(f"{image.path}: of shape {single.shape}, it is too large to be read at once; cut it.")
    rows, columns = (slice(0, size) for size in single.plane_shape)
    planes = np.stack([single.read(plane, rows, columns) for plane in single.planes]).reshape(single.shape)
    if image.opacity is not None:
        _tell_opacity(image, part)
    if "c" not in single.leading:
        return single, planes.reshape(-1, 1, *single.plane_shape)
    with_channels = np.moveaxis(planes, single.leading.index("c"), -3)
    return single, with_channels.reshape(-1, *with_channels.shape[-3:])


def _tell_opacity(image: TiledImage, part: Part) -> None:
    """Warn about pixels that are not opaque; opacity is left out."""
    image = image.only("c", 0) if part.frame is None else image.only("c", 0).only("t", part.frame)
    read = image.opacity
    if read is None:
        return
    rows, columns = (slice(0, size) for size in image.plane_shape)
    count = sum(int(np.count_nonzero(read(plane, rows, columns) < 1)) for plane in image.planes)
    if count:
        total = math.prod(image.shape)
        remark = OPACITY_LEFT_OUT + (PREMULTIPLIED if image.is_premultiplied else "")
        logger.warning("%s: %d of %d pixels are not opaque; %s", image.path, count, total, remark)


def tiled_format_of(path: Path) -> ModuleType | None:
    """Return the module that reads a file or folder part by part, by suffix or content; None if there is none."""
    known = plugins.names(ROOM)
    name = format_by_name(path.name)
    if name is not None:
        return plugins.load(ROOM, name) if name in known else None
    modules = (plugins.load(ROOM, one) for one in known)
    return next((one for one in modules if hasattr(one, "accepts") and path.exists() and one.accepts(path)), None)


def open_tiled(path: Path, series: str | None = None) -> AbstractContextManager[TiledImage]:
    """Open an image as a context manager.

    Args:
        path: file or folder in one of the formats of this package.
        series: which of several images in it.

    Raises:
        UserError: no format fits, or the file is missing, damaged or no image that can be restored.
    """
    return _fitting(path).open_tiled(path, series)


def is_large(path: Path, series: str | None = None) -> bool:
    """Return whether an image is read and written part by part; False for other formats."""
    module = tiled_format_of(path)
    if module is None:
        return False
    shape = module.shape_of(path, series)
    return max(shape[-2:]) > LONGEST_WHOLE_SIDE or math.prod(shape) > MAX_WHOLE_PIXELS


def fitting_format(source: Path, output: Path) -> ModuleType:
    """Return the module that writes the result of `source` to `output`.

    Raises:
        UserError: the two are of different formats, or nothing can be written there.
    """
    module = _fitting(source)
    known = written_suffixes(_name_of(module))
    if not output.name.lower().endswith(known):
        raise UserError(f"{output}: the result of {source.name} ends in {' or '.join(known)}.")
    module.check_output(output)
    return module


def _fitting(path: Path) -> ModuleType:
    module = tiled_format_of(path)
    if module is None:
        known = [suffix for name in plugins.names(ROOM) for suffix in read_suffixes(name)]
        raise UserError(f"{path}: only {', '.join(known)} can be read part by part.")
    return module


def _name_of(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[-1]
