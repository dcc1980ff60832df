"""Metadata of OME-Zarr (OME-NGFF, versions 0.4 and 0.5).

Source: the specification of OME-NGFF (Moore et al., Nature Methods 18:1496-1498, 2021), https://ngff.openmicroscopy.org.
Version 0.4 lies in zarr version 2, version 0.5 in zarr version 3 and below one key, "ome". Nothing here opens a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.config.length_units import NO_LENGTHS, micrometres_in

ZARR_FORMAT: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3}
"""Version of zarr by the version of OME-NGFF."""
AXES = "tczyx"
"""Supported axes, in the order that the standard requires."""
KINDS = {"t": "time", "c": "channel"}
"""Types of axes that are not "space"."""
MIN_SIDE = 256
"""A pyramid ends with the first level whose sides are both smaller, in pixels."""


@dataclass(frozen=True)
class Axis:
    """One axis: index i lies at translation + scale * i.

    Attributes:
        name: one of t, c, z, y, x.
        unit: as in the file; None if it is not stated.
        scale: distance between neighbours, in that unit.
        translation: place of the centre of the first one, in that unit.
    """

    name: str
    unit: str | None = None
    scale: float = 1.0
    translation: float = 0.0

    @property
    def micrometres(self) -> float | None:
        """Micrometres per unit; None if the unit is unknown."""
        return micrometres_in(self.unit or "")

    def sized(self, micrometres: float) -> Axis:
        """Return the axis with another distance between neighbours; the unit is kept if the distance is unchanged."""
        if self.micrometres and math.isclose(self.scale * self.micrometres, micrometres):
            return self
        return replace(
            self, unit="micrometer", scale=float(micrometres), translation=self.translation * micrometres / self.scale
        )

    def refined(self, factor: float) -> Axis:
        """Return the axis of a grid with `factor` cells in each of its cells: see pipeline.physics.grid."""
        shift = self.scale * (1 / factor - 1) / 2
        return replace(self, scale=self.scale / factor, translation=self.translation + shift)

    def coarsened(self, factor: int) -> Axis:
        """Return the axis of a grid whose cells hold `factor` cells of this one."""
        shift = self.scale * (factor - 1) / 2
        return replace(self, scale=self.scale * factor, translation=self.translation + shift)

    def from_index(self, index: int) -> Axis:
        """Return the axis of an array that starts at the given index of this one."""
        return replace(self, translation=self.translation + self.scale * index)


@dataclass(frozen=True)
class Multiscale:
    """An image that is stored at several resolutions.

    Attributes:
        version: of OME-NGFF.
        path: of the finest resolution, inside the group.
        axes: of all its arrays; those of the finest resolution.
        name: as in the file.
        channels: entries of omero.channels, one a channel; empty where the file has none.
        display: the rest of omero.
    """

    version: str
    path: str
    axes: tuple[Axis, ...]
    name: str | None = None
    channels: tuple[dict[str, Any], ...] = ()
    display: Mapping[str, Any] = field(default_factory=dict)

    @property
    def axis_names(self) -> str:
        """Name of the axes, such as "czyx"."""
        return "".join(axis.name for axis in self.axes)

    def axis(self, name: str) -> Axis | None:
        """Return the axis of a name, or None."""
        return next((axis for axis in self.axes if axis.name == name), None)

    @property
    def labels(self) -> list[str]:
        """Names of the channels; channels without a name are numbered."""
        return [str(channel.get("label", index)) for index, channel in enumerate(self.channels)]

    @property
    def voxel_um(self) -> tuple[float, float, float] | None:
        """Voxel size along x, y, z in micrometres; None if the unit of x or y is not stated.

        Without an axis z, or without its unit, a voxel is as thick as it is wide.
        """
        sizes = {axis.name: axis.scale * axis.micrometres for axis in self.axes if axis.micrometres}
        return (sizes["x"], sizes["y"], sizes.get("z", sizes["x"])) if {"x", "y"} <= sizes.keys() else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Statements of the file about lengths that cannot be used."""
        unknown = [
            axis
            for axis in self.axes
            if axis.name in "zyx" and not axis.micrometres and axis.unit not in (None, *NO_LENGTHS)
        ]
        consequence = "the size of a voxel counts as unknown: give it with voxel_um"
        known = [axis.name for axis in self.axes if axis.name in "zyx" and axis.micrometres]
        without = [axis.name for axis in self.axes if axis.name in "yx" and axis.unit is None]
        half = [f"states a unit of {' and '.join(known)} but none of {' and '.join(without)}; {consequence}"]
        return (
            *(f"the unit {axis.unit!r} of the axis {axis.name} is unknown; {consequence}" for axis in unknown),
            *(half if known and without else ()),
        )

    def with_voxel_um(self, voxel_um: tuple[float, float, float]) -> Multiscale:
        """Return the image with another voxel size along x, y, z; its position in voxels is unchanged."""
        sizes = zip("xyz", voxel_um, strict=True)
        return self.with_axes(**{name: axis.sized(size) for name, size in sizes if (axis := self.axis(name))})

    def only(self, axis: str, index: int) -> Multiscale:
        """Return the metadata of the image at one index along an axis."""
        if axis == "c":
            return replace(self, channels=self.channels[index : index + 1])
        return self.with_axes(**{one.name: one.from_index(index) for one in self.axes if one.name == axis})

    def with_axes(self, **changes: Axis) -> Multiscale:
        """Return a copy in which the named axes are replaced."""
        return replace(self, axes=tuple(changes.get(axis.name, axis) for axis in self.axes))

    def refined(self, factors: Sequence[float]) -> Multiscale:
        """Return the metadata of an image whose voxels are smaller by factors along z, y and x."""
        smaller = dict(zip("zyx", factors, strict=True))
        return self.with_axes(
            **{axis.name: axis.refined(smaller[axis.name]) for axis in self.axes if axis.name in "zyx"}
        )


def parse(attributes: Mapping[str, Any], wanted: str | None = None) -> Multiscale:
    """Read the attributes of a group.

    Args:
        attributes: as zarr returns them.
        wanted: name or number of one of several images of the group; None if there is only one.

    Raises:
        ValueError: the image is invalid or not supported.
    """
    content = attributes.get("ome", attributes)
    if "plate" in content or "well" in content:
        raise ValueError("it is a plate of many images; name one of them, such as PLATE/A/1/0")
    if "image-label" in content:
        raise ValueError("it is a mask of labels (image-label), not an image of intensities; name the image")
    entries = content.get("multiscales")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it is not an OME-NGFF image: the attribute 'multiscales' is missing")
    entry = _chosen(entries, wanted)
    version = content.get("version") if "ome" in attributes else entry.get("version")
    if version not in ZARR_FORMAT or (version == "0.4") == ("ome" in attributes):
        raise ValueError(f"its version of OME-NGFF is {version!r}; {' and '.join(ZARR_FORMAT)} can be read")
    try:
        return _multiscale(str(version), entry, content.get("omero") or {})
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"its attribute 'multiscales' does not follow OME-NGFF {version} ({error!r})") from error


def level_paths(attributes: Mapping[str, Any], wanted: str | None = None) -> list[str]:
    """Return the paths of all resolutions of an image that `parse` accepts, in the order of the file."""
    entry = _chosen(attributes.get("ome", attributes)["multiscales"], wanted)
    return [str(dataset["path"]) for dataset in entry["datasets"]]


def _chosen(entries: Sequence[Mapping[str, Any]], wanted: str | None) -> Mapping[str, Any]:
    """Return the only entry of multiscales, or the one of the given name or number."""
    if wanted is None and len(entries) == 1:
        return entries[0]
    named = {str(entry.get("name", number)): entry for number, entry in enumerate(entries)}
    if len(named) < len(entries):
        named = {str(number): entry for number, entry in enumerate(entries)}
    if wanted not in named:
        asked = "choose one" if wanted is None else f"there is no {wanted!r}; choose one"
        raise ValueError(
            f"it contains {len(entries)} images (multiscales); {asked} by the key `series`: {', '.join(named)}"
        )
    return named[wanted]


def _multiscale(version: str, entry: Mapping[str, Any], omero: Mapping[str, Any]) -> Multiscale:
    axes = entry["axes"]
    names = "".join(axis["name"] for axis in axes)
    if list(names) != [name for name in AXES if name in names] or not names.endswith("yx"):
        raise ValueError(f"its axes are {names!r}; t, c, z, y, x are understood, in this order")
    finest = entry["datasets"][0]
    own = _affine(finest["coordinateTransformations"], len(axes))
    common = _affine(entry.get("coordinateTransformations", []), len(axes))
    return Multiscale(
        version=version,
        path=str(finest["path"]),
        axes=tuple(
            Axis(axis["name"], axis.get("unit"), outer[0] * inner[0], outer[0] * inner[1] + outer[1])
            for axis, inner, outer in zip(axes, own, common, strict=True)
        ),
        name=entry.get("name"),
        channels=tuple(dict(channel) for channel in omero.get("channels", [])),
        display={name: value for name, value in omero.items() if name not in ("channels", "version")},
    )


def _affine(transformations: Sequence[Mapping[str, Any]], count: int) -> list[tuple[float, float]]:
    """Return scale and translation of every axis, after all transformations."""
    result = [(1.0, 0.0)] * count
    for step in transformations:
        kind = step["type"]
        if kind not in ("identity", "scale", "translation") or (kind != "identity" and kind not in step):
            raise ValueError(f"its coordinate transformation {dict(step)} is not understood")
        if kind == "identity":
            continue
        values = [float(value) for value in step[kind]]
        if len(values) != count or not all(math.isfinite(value) for value in values):
            raise ValueError(f"its {kind} {values} does not fit {count} axes")
        if kind == "scale" and min(values) <= 0:
            raise ValueError(f"its scale is {values}; each must be above zero")
        pairs = zip(result, values, strict=True)
        if kind == "scale":
            result = [(scale * value, shift * value) for (scale, shift), value in pairs]
        else:
            result = [(scale, shift + value) for (scale, shift), value in pairs]
    return result


def attributes(multiscale: Multiscale, levels: int, processing: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes of a group whose arrays are named "0", "1", ..., each half as fine as the one before.

    Args:
        multiscale: the image; its axes are those of array "0".
        levels: number of arrays.
        processing: parameters of the restoration, stored in the `metadata` of the entry.
    """
    entry: dict[str, Any] = {
        "axes": [_axis_entry(axis) for axis in multiscale.axes],
        "datasets": [
            {"path": str(level), "coordinateTransformations": _transformations(multiscale, 2**level)}
            for level in range(levels)
        ],
        "type": "mean",
        "metadata": {"description": "each level contains the means of squares of 2 x 2 pixels", **(processing or {})},
    }
    if multiscale.name is not None:
        entry["name"] = multiscale.name
    content: dict[str, Any] = {"multiscales": [entry]}
    if multiscale.channels:
        content["omero"] = {**multiscale.display, "channels": list(multiscale.channels)}
    if multiscale.version == "0.4":
        entry["version"] = "0.4"
        return content
    return {"ome": {"version": multiscale.version, **content}}


def _axis_entry(axis: Axis) -> dict[str, str]:
    entry = {"name": axis.name, "type": KINDS.get(axis.name, "space")}
    return entry if axis.unit is None else {**entry, "unit": axis.unit}


def _transformations(multiscale: Multiscale, coarser: int) -> list[dict[str, Any]]:
    axes = [axis.coarsened(coarser) if axis.name in "yx" else axis for axis in multiscale.axes]
    return [
        {"type": "scale", "scale": [axis.scale for axis in axes]},
        {"type": "translation", "translation": [axis.translation for axis in axes]},
    ]


def level_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of all levels of a pyramid, the finest first; the last two axes are halved, rounding up."""
    shapes = [tuple(shape)]
    while max(shapes[-1][-2:]) >= MIN_SIDE:
        *leading, rows, columns = shapes[-1]
        shapes.append((*leading, -(-rows // 2), -(-columns // 2)))
    return shapes
