"""The header of an image file: what is needed to write a result in the format, orientation and style of its source."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.image.geometry import RAS, Orientation


@dataclass(frozen=True, kw_only=True)
class FileHeader:
    """Header fields that all formats share; each module of `pipeline.formats` adds its own in a subclass.

    Attributes:
        format: module of `pipeline.formats` that writes the image; "" for an array that no file belongs to.
        orientation: orientation of the file's axes; None for micrographs and pictures, which have no anatomical one.
        coloured: whether the channels are red, green and blue.
        title: kind of source in words, where it is written in another format.
        missing_value: physical value of voxels without a value, in files that cannot store NaN.
    """

    format: str = ""
    orientation: Orientation | None = RAS
    coloured: bool = False
    title: str = ""
    missing_value: float | None = None
