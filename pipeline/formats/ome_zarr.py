"""OME-Zarr (OME-NGFF 0.4 and 0.5), as a folder or a zip archive; one time point is read, with all channels.

Stores are recognised by suffix or content; the full-resolution level is read.

An image is written as a pyramid, in the version of the source, with its axes, units, and names and display settings of
the channels. Not preserved: labels (their masks have the voxel size of the source), `metadata` and attributes of other
programs, and other images of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.files import folder_beside
from pipeline.formats import Part
from pipeline.formats._checks import check_finite
from pipeline.formats._colours import names_of
from pipeline.formats._ngff import ZARR_FORMAT, Axis, Multiscale
from pipeline.formats._plain import PlainHeader, plain_image, plain_sections, section_names
from pipeline.formats._pyramid import add_coarser_levels, create_level, planes_of
from pipeline.formats.tiled import read_whole
from pipeline.formats.tiled.ome_zarr import (
    accepts,  # noqa: F401 (used by pipeline.formats)
    check_output,
    open_tiled,
    publish,
)
from pipeline.image.image import Image

SUFFIXES = (".ome.zarr", ".zarr", ".ome.zarr.zip", ".zarr.zip")
# A rule's result is more simply a file than a folder.
WRITTEN = (".ome.zarr.zip", ".ome.zarr", ".zarr", ".zarr.zip")
SPACE = "xyz"
"""Axes of an Image, as OME-NGFF names them."""


@dataclass(frozen=True, kw_only=True)
class OmeZarrHeader(PlainHeader):
    """Metadata of an OME-Zarr.

    Attributes:
        multiscale: axes, units, names and display settings of the channels.
        shape: of the image that was read, axes x, y and z.
    """

    format: str = "ome_zarr"
    multiscale: Multiscale
    shape: tuple[int, int, int]


HEADER = OmeZarrHeader


def read(path: Path, part: Part = Part()) -> Image:
    """Read one time point, with stored intensities (float64), axes x, y and z; channels are further slices.

    Args:
        path: folder, or zip of one.
        part: which channel (None for all), time point and series.

    Raises:
        UserError: the store is missing, damaged, too large to be read at once or no image of OME-NGFF, or there are
            several time points and none is chosen.
    """
    with open_tiled(path, part.series) as image:
        single, sections = read_whole(image, part)
    check_finite(path, sections)
    multiscale = cast(Multiscale, single.metadata)
    count, _, height, width = sections.shape
    plain = plain_image(
        sections,
        single.intensity,
        multiscale.voxel_um,
        section_names(count),
        names_of(range(sections.shape[1]), multiscale.labels),
        OmeZarrHeader(multiscale=multiscale, shape=(width, height, count)),
    )
    return replace(plain, affine=_affine(multiscale, (width, height, count)))


def write(path: Path, image: Image) -> int:
    """Write a normalised image as a pyramid, in the version, axes, units and dtype of its source.

    Returns:
        Number of voxels that were clipped to the range of the dtype.

    Raises:
        UserError: the image was read from another format, or something else exists at `path`.
    """
    header = image.header
    if not isinstance(header, OmeZarrHeader):
        raise UserError(f"{path}: cannot write an image read from another format as OME-Zarr; choose another suffix.")
    check_output(path)
    multiscale = _updated_multiscale(header, image)
    names = multiscale.axis_names
    sections, saturated = plain_sections(image)
    sizes = dict(zip("zcyx", sections.shape, strict=True))
    # The standard puts channels before z.
    stored = np.moveaxis(sections, 1, 0).reshape([sizes.get(name, 1) for name in names])
    with folder_beside(path) as folder:
        group = zarr.open_group(folder, mode="w", zarr_format=ZARR_FORMAT[multiscale.version])
        level = create_level(group, "0", stored.shape, stored.dtype, names)
        for plane in planes_of(stored.shape[:-2]):
            level[plane] = stored[plane]
        add_coarser_levels(group, names)
        publish(folder, multiscale, {}, path)
    return saturated


def _affine(multiscale: Multiscale, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the affine of an array (x, y, z) in the layout of `pipeline.image.stack.lay`: x and y run backward.

    In micrometres, if the file states the unit.
    """
    stated = multiscale.voxel_um
    affine = np.eye(4)
    affine[2, 2] = stated[2] if stated else 1.0
    for place, name in enumerate(SPACE):
        axis = multiscale.axis(name)
        if axis is None:
            continue
        # Slices in an unknown unit are as thick as `voxel_um` states.
        unit = (axis.micrometres or stated[place] / axis.scale) if stated else 1.0
        step, first = axis.scale * unit, axis.translation * unit
        backward = name != "z"
        affine[place, place] = -step if backward else step
        affine[place, 3] = first + step * (shape[place] - 1) if backward else first
    return affine


def _updated_multiscale(header: OmeZarrHeader, image: Image) -> Multiscale:
    """Return the metadata of the source, updated to the affine and shape of an image.

    Changes are computed in voxels of the source, so that unchanged axes are preserved exactly.
    """
    multiscale = header.multiscale
    before = _affine(multiscale, header.shape)
    changed: dict[str, Axis] = {}
    for place, name in enumerate(SPACE):
        axis = multiscale.axis(name)
        if axis is None:
            continue
        size = abs(before[place, place])
        scale = axis.scale / _tidy(size / abs(image.affine[place, place]))
        ends = [
            matrix[place, 3] + (matrix[place, place] * (count - 1) if matrix[place, place] < 0 else 0.0)
            for matrix, count in ((before, header.shape[place]), (image.affine, image.data.shape[place]))
        ]
        shift = round((ends[1] - ends[0]) / size, 9)
        changed[name] = replace(axis, scale=scale, translation=axis.translation + shift * axis.scale)
    return multiscale.with_axes(**changed)


def _tidy(value: float) -> float:
    """Round to 12 significant digits."""
    return float(f"{value:.12g}")
