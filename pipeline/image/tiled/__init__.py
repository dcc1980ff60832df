"""Images whose planes need not fit into memory, read region by region. One module a format.

Each module offers

- SUFFIXES: the ends of its files' names,
- `open_tiled(path, series)`: a context that gives a TiledImage,
- `shape_of(path, series)`: sizes along all axes, rows and columns last,
- `check_output(path)`: raises UserError where a result cannot be written to `path`,
- `deliver(levels, image, factor, facts, output)`: writes a restored pyramid like the image that it was made of,
  whole or not at all.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.image.formats import Part
from pipeline.image.formats._checks import chosen_frame
from pipeline.image.formats._colours import chosen_channel
from pipeline.image.intensity import IntensityMap
from pipeline.image.pyramid import planes_of

logger = logging.getLogger(__name__)

ROOM = "pipeline.image.tiled"
LONGEST_WHOLE_SIDE, MOST_WHOLE_PIXELS = 1024, 2**23
"""Rows or columns, and pixels of all planes, up to which an image is read at once; it takes some 150 bytes a pixel."""
Plane = tuple[int, ...]
"""Indices along the axes before rows and columns."""
ReadRegion = Callable[[Plane, slice, slice], NDArray]


class Metadata(Protocol):
    """What a format knows about an image beyond its pixels."""

    @property
    def labels(self) -> list[str]:
        """Names of the channels; none where the file names none."""
        ...

    def only(self, axis: str, index: int) -> Any:
        """Returns what remains when an axis has nothing but the given index."""
        ...

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> Any:
        """Returns the same with another size of a voxel along x, y, z."""
        ...


@dataclass(frozen=True)
class TiledImage:
    """An open image of one or more planes.

    Attributes:
        path: its file or folder.
        leading: axes before rows and columns, some of "tcz" in any order.
        shape: sizes along all axes; the last two are rows and columns.
        intensity: between stored and physical values, and the dtype of the stored ones.
        voxel_um: size of a voxel along x, y, z in micrometres; None where the file does not tell.
        metadata: for the format's own use.
        read_region: see `read`.
        zarr_format: version of zarr in which results are kept until they are delivered.
        wanted: axes of which one index was chosen, with that index.
        coloured: whether the channels are red, green and blue, which share one range.
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

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[-2], self.shape[-1]

    @property
    def planes(self) -> list[Plane]:
        """Indices of all planes."""
        return list(planes_of(self.shape[:-2]))

    def channel_of(self, plane: Plane) -> int:
        """Returns the channel of a plane; 0 where there is but one."""
        return plane[self.leading.index("c")] if "c" in self.leading else 0

    def read(self, plane: Plane, rows: slice, columns: slice) -> NDArray:
        """Returns stored pixels of a region, shape (rows, columns); slices lie inside the plane.

        Raises:
            UserError: that part of the file is damaged.
        """
        return self.read_region(plane, rows, columns)

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> TiledImage:
        """Returns the image with another size of a voxel along x, y, z, and says so where the file says otherwise."""
        if self.voxel_um not in (None, voxel_um):
            logger.warning("%s: states voxels of %s um; voxel_um says otherwise and is taken", self.path, self.voxel_um)
        return replace(self, voxel_um=voxel_um, metadata=self.metadata.with_voxel_um(voxel_um))

    def only(self, axis: str, index: int) -> TiledImage:
        """Returns the image with nothing but one index along an axis; an axis that is not there has index 0."""
        if axis not in self.leading:
            return self
        place = self.leading.index(axis)
        shape = (*self.shape[:place], 1, *self.shape[place + 1 :])

        def read_region(plane: Plane, rows: slice, columns: slice) -> NDArray:
            return self.read_region((*plane[:place], index, *plane[place + 1 :]), rows, columns)

        return replace(
            self,
            shape=shape,
            metadata=self.metadata.only(axis, index),
            read_region=read_region,
            wanted=(*self.wanted, (axis, index)),
            coloured=self.coloured and axis != "c",
        )


def chosen(image: TiledImage, part: Part) -> TiledImage:
    """Returns the wanted time points and channels of an image: all of them where none is named.

    Args:
        image: the whole image.
        part: frame and channel; `voxel_um` takes the place of what the file says.

    Raises:
        UserError: there is no such frame or channel; the message names those that there are.
    """
    sizes = dict(zip(image.leading, image.shape, strict=False))
    labels = image.metadata.labels
    if part.frame is not None:
        image = image.only("t", chosen_frame(image.path, sizes.get("t", 1), part.frame))
    if part.channel is not None:
        image = image.only("c", chosen_channel(image.path, sizes.get("c", 1), labels, part.channel))
    return image if part.voxel_um is None else image.with_voxel_um(part.voxel_um)


def tiled_format_of(path: Path) -> ModuleType | None:
    """Returns the module whose SUFFIXES fit a file's name, or None."""
    modules = (plugins.load(ROOM, name) for name in plugins.names(ROOM))
    return next((module for module in modules if path.name.lower().endswith(module.SUFFIXES)), None)


def open_tiled(path: Path, series: str | None = None) -> AbstractContextManager[TiledImage]:
    """Opens an image for as long as the context lasts.

    Args:
        path: file or folder of one of the formats of this room.
        series: which of several images in it.

    Raises:
        UserError: no format fits, or the file is missing, damaged or no image that can be restored.
    """
    return _fitting(path).open_tiled(path, series)


def is_large(path: Path, series: str | None = None) -> bool:
    """Tells whether an image is to be read and written part by part; of other formats, none is."""
    module = tiled_format_of(path)
    if module is None:
        return False
    shape = module.shape_of(path, series)
    return max(shape[-2:]) > LONGEST_WHOLE_SIDE or math.prod(shape) > MOST_WHOLE_PIXELS


def fitting_format(source: Path, output: Path) -> ModuleType:
    """Returns the module that writes the result of `source` to `output`.

    Raises:
        UserError: the two are of different formats, or nothing can be written there.
    """
    module = _fitting(source)
    if tiled_format_of(output) is not module:
        raise UserError(f"{output}: the result of {source.name} ends in {' or '.join(module.SUFFIXES)}, as it does.")
    module.check_output(output)
    return module


def _fitting(path: Path) -> ModuleType:
    module = tiled_format_of(path)
    if module is None:
        known = [suffix for name in plugins.names(ROOM) for suffix in plugins.load(ROOM, name).SUFFIXES]
        raise UserError(f"{path}: only {', '.join(known)} can be read part by part.")
    return module
