"""Metadata of TIFF files: the pixel size in micrometres and the names of the channels.

OME-TIFF stores them as XML (Goldberg et al., Genome Biology 6:R47, 2005), ImageJ as lines of text. The resolution of
other TIFF files is meant for printers, and is not used as pixel size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from pipeline.config.length_units import NO_LENGTHS, micrometres_in

PLANE_PLACES = ("PositionX", "PositionY", "PositionZ", "DeltaT")
"""Attributes of OME for position and time of a plane."""
IMAGEJ_PLACES = ("xorigin", "yorigin", "zorigin", "finterval")
"""ImageJ's keys for the origin and the frame interval."""
ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
"""Escapes of ImageJ for characters such as micro and angstrom."""


@dataclass(frozen=True)
class Stated:
    """Metadata that a file states about an image.

    Attributes:
        sizes_um: sizes of a pixel along x, y and z in micrometres; None if nothing is stated.
        channels: names of the channels; none where the file names none.
        warnings: statements about sizes that cannot be used.
        lost: names of metadata that the result does not contain.
    """

    sizes_um: tuple[float | None, float | None, float | None] = (None, None, None)
    channels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether every stated size is finite and positive."""
        return all(size is None or (math.isfinite(size) and size > 0) for size in self.sizes_um)

    @property
    def voxel_um(self) -> tuple[float, float, float] | None:
        """Voxel size, if known in the plane; an unknown slice distance is taken to be that of the columns."""
        x, y, z = self.sizes_um
        return None if x is None or y is None else (x, y, x if z is None else z)


def unknown_unit(unit: str, name: str) -> str:
    """Return the warning about an unknown unit."""
    return f"the unit {unit!r} of {name} is unknown; the size of a pixel counts as unknown: give it with voxel_um"


def ome_root(text: str) -> ElementTree.Element:
    """Parse the XML of an OME-TIFF.

    Raises:
        ValueError: it is not XML, or declares entities.
    """
    if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        raise ValueError("its XML declares entities")
    try:
        return ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from error


def tag_of(element: ElementTree.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rsplit("}", 1)[-1]


def elements(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Return all elements of a name, in any namespace."""
    return [element for element in root.iter() if tag_of(element) == name]


def stated_by_ome(image: ElementTree.Element) -> Stated:
    """Read what OME-XML states about an image.

    Args:
        image: the element Image.

    Raises:
        ValueError: a size is not a number.
    """
    found = elements(image, "Pixels")
    if not found:
        return Stated()
    pixels = found[0]
    names = [element.get("Name", "") for element in pixels if tag_of(element) == "Channel"]
    sizes, warnings = _sizes({axis: _ome_size(pixels, axis) for axis in "XYZ"})
    return Stated(
        sizes, tuple(names) if any(names) else (), warnings + _half_stated(sizes, "PhysicalSize"), _lost(pixels)
    )


def _lost(pixels: ElementTree.Element) -> tuple[str, ...]:
    """Return the names of the attributes about places and times of the planes."""
    of_planes = {name for element in pixels if tag_of(element) == "Plane" for name in element.keys()}  # noqa: SIM118
    return (
        *(name for name in PLANE_PLACES if name in of_planes),
        *(("TimeIncrement",) if "TimeIncrement" in pixels.attrib else ()),
    )


def _ome_size(pixels: ElementTree.Element, axis: str) -> tuple[float | None, str, str]:
    """Return a size, its unit, and the name of the attribute."""
    name = f"PhysicalSize{axis}"
    text = pixels.get(name)
    return None if text is None else _number(text, name), pixels.get(f"{name}Unit", "\N{MICRO SIGN}m"), name


def _number(text: Any, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, which is not a number") from error


def _half_stated(sizes: Sequence[float | None], name: str) -> tuple[str, ...]:
    """Return the warning about a pixel size that is stated along some axes only."""
    stated = [f"{name}{axis}" for axis, size in zip("XYZ", sizes, strict=True) if size is not None]
    missing = [f"{name}{axis}" for axis, size in zip("XY", sizes, strict=False) if size is None]
    if not stated or not missing:
        return ()
    return (
        f"states {' and '.join(stated)} but not {' and '.join(missing)}; the size of a pixel counts as unknown: give "
        "it with voxel_um",
    )


def stated_by_imagej(metadata: Mapping[str, Any], tags: Any) -> Stated:
    """Read ImageJ's metadata, and the resolution, which is in pixels per ImageJ's unit.

    Raises:
        ValueError: a number is none.
    """
    units = {axis: _imagej_unit(metadata, axis) for axis in "XYZ"}
    spacing = metadata.get("spacing")
    stated = {
        "X": (_imagej_size(tags, "XResolution"), units["X"], "pixels along x"),
        "Y": (_imagej_size(tags, "YResolution"), units["Y"], "pixels along y"),
        "Z": (None if spacing is None else abs(_number(spacing, "spacing")), units["Z"], "the distance of slices"),
    }
    sizes, warnings = _sizes(stated)
    lost = tuple(name for name in IMAGEJ_PLACES if float(metadata.get(name, 0) or 0) != 0)
    return Stated(sizes, (), warnings + _half_stated(sizes, "the size along "), lost)


def _imagej_unit(metadata: Mapping[str, Any], axis: str) -> str:
    """Return the unit along an axis; ImageJ writes that of y and z only if it differs from that of x."""
    unit = metadata.get(f"{axis.lower()}unit", metadata.get("unit", ""))
    return ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(unit))


def _imagej_size(tags: Any, name: str) -> float | None:
    tag = tags.get(name)
    if tag is None:
        return None
    pixels, units = (float(number) for number in tag.value)
    return math.inf if pixels == 0 else units / pixels


def _sizes(
    stated: Mapping[str, tuple[float | None, str, str]],
) -> tuple[tuple[float | None, float | None, float | None], tuple[str, ...]]:
    """Convert sizes along x, y and z to micrometres, with warnings about unknown units."""
    sizes, warnings = [], []
    for value, unit, name in stated.values():
        factor = micrometres_in(unit)
        sizes.append(None if value is None or factor is None else float(f"{value * factor:.15g}"))
        if value is not None and factor is None and unit not in NO_LENGTHS:
            warnings.append(unknown_unit(unit, name))
    return (sizes[0], sizes[1], sizes[2]), tuple(warnings)
