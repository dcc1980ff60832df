"""What a TIFF file says about its pixels: their size in micrometres and the names of the channels.

OME-TIFF says it in XML (Goldberg et al., Genome Biology 6:R47, 2005), ImageJ in lines of text. The resolution of other
TIFF files is meant for printers, and is not taken for the size of anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

MICROMETRES = {
    "pm": 1e-6,
    "\N{ANGSTROM SIGN}": 1e-4,
    "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": 1e-4,
    "nm": 1e-3,
    "\N{MICRO SIGN}m": 1.0,
    "\N{GREEK SMALL LETTER MU}m": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
}
"""By the units that OME and ImageJ write; any other is no length."""
ESCAPED_MICRO = "\\u00B5"
"""How ImageJ writes the micro sign."""


@dataclass(frozen=True)
class Stated:
    """What is stated: sizes of a pixel along x, y and z in micrometres (None where nothing is), and channel names."""

    sizes_um: tuple[float | None, float | None, float | None] = (None, None, None)
    channels: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether every stated size can be true."""
        return all(size is None or (math.isfinite(size) and size > 0) for size in self.sizes_um)

    @property
    def voxel_um(self) -> tuple[float, float, float] | None:
        """Size of a voxel where it is known in the plane; slices of unknown distance count as far apart as columns."""
        x, y, z = self.sizes_um
        return None if x is None or y is None else (x, y, x if z is None else z)


def stated_by_ome(text: str, index: int) -> Stated:
    """Reads the XML of an OME-TIFF.

    Args:
        text: the XML.
        index: number of the image in it.

    Raises:
        ValueError: it is no XML, declares entities, or a size is no number.
    """
    if "<!" in text.replace("<!--", ""):
        raise ValueError("the XML declares entities")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from error
    images = [element for element in root.iter() if _tag(element) == "Pixels"]
    if index >= len(images):
        return Stated()
    pixels = images[index]
    sizes = tuple(_ome_size(pixels, axis) for axis in "XYZ")
    names = [element.get("Name", "") for element in pixels if _tag(element) == "Channel"]
    return Stated((sizes[0], sizes[1], sizes[2]), tuple(names) if any(names) else ())


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _ome_size(pixels: ElementTree.Element, axis: str) -> float | None:
    text = pixels.get(f"PhysicalSize{axis}")
    unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "um"))
    return None if text is None or unit is None else float(text) * unit


def stated_by_imagej(metadata: Mapping[str, Any], tags: Any) -> Stated:
    """Reads ImageJ's lines of text, and the resolution, which for ImageJ is in pixels per its own unit.

    Raises:
        ValueError: a number is none.
    """
    unit = MICROMETRES.get(str(metadata.get("unit", "")).replace(ESCAPED_MICRO, "\N{MICRO SIGN}"))
    if unit is None:
        return Stated()
    spacing = metadata.get("spacing")
    z = None if spacing is None else abs(float(spacing)) * unit
    return Stated((_imagej_size(tags, "XResolution", unit), _imagej_size(tags, "YResolution", unit), z))


def _imagej_size(tags: Any, name: str, unit: float) -> float | None:
    tag = tags.get(name)
    if tag is None:
        return None
    pixels, units = (float(number) for number in tag.value)
    return math.inf if pixels == 0 else units / pixels * unit
