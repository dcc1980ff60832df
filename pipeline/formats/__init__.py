"""File formats: one module per format, named like the format.

A module offers

- `SUFFIXES`: file suffixes that it reads; empty if the format is recognised by content alone.
- `WRITTEN`: file suffixes that it writes, that of the workflow first; optional if the same as `SUFFIXES`.
- `HEADER`: class of the headers of its images, a subclass of `pipeline.image.header.FileHeader`.
- `read(path, part) -> Image`: `header.format` of the image names the module that writes it.
- `write(path, image) -> int`: returns the number of voxels that were clipped to the range of the dtype.
- `as_quantity(image) -> Image`, if it cannot store 32-bit floats as they are: converts an image of non-negative values
  that are not intensities, such as uncertainty maps, to the nearest representation.
- `accepts(path) -> bool`, if the suffix does not always identify it: whether a file or folder is of this format.

`SUFFIXES` and `WRITTEN` are tuples of plain text, since the workflow reads them without importing the module.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType

from pipeline import plugins
from pipeline.config.families import format_by_name, read_suffixes, written_suffixes
from pipeline.errors import UserError

AXES = 3

ROOM = "pipeline.formats"
"""Also named in the configuration; here, so that an edit of a format reruns the steps that read or write images."""

__all__ = ["ROOM", "Part", "format_by_name", "format_of", "read_suffixes", "written_suffixes"]


@dataclass(frozen=True)
class Part:
    """The image of a file that is read, and its voxel size if the file does not state it.

    Attributes:
        frame: volume of a 4-D image, or time point, counted from 0.
        channel: number of a channel, counted from 0, or its name; None reads all channels.
        series: name or identifier of one of several images in a file or folder.
        voxel_um: size of a voxel along x (columns), y (rows) and z (slices), in micrometres.
        coloured: True reads RGB as three channels even if all are equal, as in a prediction of a coloured picture.
    """

    frame: int | None = None
    channel: int | str | None = None
    series: str | None = None
    voxel_um: tuple[float, float, float] | None = None
    coloured: bool | None = None

    def check(self, path: Path, title: str, known: tuple[str, ...]) -> None:
        """Check that a format supports the keys that are set, and that the voxel size is plausible.

        Args:
            path: for the message.
            title: the format's name in words.
            known: keys that the format knows.

        Raises:
            UserError: another key is set, or a size is not above zero.
        """
        self.check_voxel_um(path)
        for one in fields(self):
            if getattr(self, one.name) is not None and one.name not in known:
                offered = f"the keys that it has are {', '.join(known)}" if known else "it has no such keys"
                raise UserError(f"{path}: {title} has no {one.name}; {offered}. Leave {one.name} out.")

    def check_voxel_um(self, path: Path) -> None:
        """Check the voxel size.

        Raises:
            UserError: there are not three sizes, or one is zero, negative, NaN or infinite.
        """
        sizes = self.voxel_um
        if sizes is not None and (len(sizes) != AXES or not all(math.isfinite(size) and size > 0 for size in sizes)):
            listed = ", ".join(f"{size:g}" for size in sizes)
            raise UserError(f"{path}: voxel_um is {listed}; it needs three finite sizes above zero, in micrometres.")


def format_of(path: Path) -> ModuleType:
    """Return the module that reads a file or folder, by its suffix or else by its content.

    Raises:
        UserError: no format fits, or there is nothing at `path`.
    """
    name = format_by_name(path.name)
    if name is not None:
        return plugins.load(ROOM, name)
    if not path.exists():
        raise UserError(f"{path}: there is no such file.")
    for module in (plugins.load(ROOM, name) for name in plugins.names(ROOM)):
        if hasattr(module, "accepts") and module.accepts(path):
            return module
    inside = [name for name in _names_inside(path) if format_by_name(name) == "tiff"]
    if inside:
        raise UserError(
            f"{path}: contains {len(inside)} TIFF files; save them as one stack, or name one, such as {inside[0]}."
        )
    if path.is_dir() and not any(path.iterdir()):
        raise UserError(f"{path}: this folder is empty.")
    known = ", ".join(suffix for name in plugins.names(ROOM) for suffix in read_suffixes(name))
    raise UserError(
        f"{path}: this format is unknown; known are {known}, and folders and zip archives of DICOM files, of "
        "pictures or of an OME-Zarr."
    )


def _names_inside(path: Path) -> list[str]:
    """Return the names of the files in a folder or zip archive; an empty list for other files."""
    if not path.is_dir() and not zipfile.is_zipfile(path):
        return []
    from pipeline.sources.bundle import is_hidden, opened  # the workflow imports this module where tqdm is absent

    with opened(path) as bundle:
        return [name for name in bundle.sizes if not is_hidden(name)]
