"""Label volumes: a whole number at every voxel says which structure it belongs to, 0 none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.image.alignment import check_same_grid
from pipeline.image.channels import apart, together
from pipeline.image.image import Image

PREFIX = "label-"
"""Begins the names of the masks and regions of labels."""
MAX_LABELS = 1000
"""A file with more is an image and no segmentation; the finest atlases of the brain have some hundred."""

LARGEST_LABEL = int(np.iinfo(np.int32).max)


def read_segmentation(path: Path, image: Image, name: str) -> NDArray[np.int32]:
    """Read the labels of a whole volume.

    Args:
        path: a label volume, in any format of images.
        image: the volume as its file holds it, before it is cut.
        name: of the volume, for messages.

    Returns:
        Labels, of the shape of the image; where it has several channels, the same for all of them. NaN is background.

    Raises:
        UserError: the file cannot be read, does not lie on the grid of the image, or holds something else than labels.
    """
    read = format_of(path).read(path, Part())
    channels = apart(image.data, image.stack.channel_count)
    check_same_grid(path, read, image.with_data(channels[0]), name, "segmentation")
    values = np.nan_to_num(read.data, nan=0.0)
    labels = np.rint(values)
    if not np.array_equal(labels, values) or labels.min() < 0 or labels.max() > LARGEST_LABEL:
        raise UserError(
            f"{path}: a segmentation holds whole numbers from 0 to {LARGEST_LABEL}; this holds others. Is it an image?"
        )
    count = len(np.unique(labels))
    if count > MAX_LABELS:
        raise UserError(f"{path}: holds {count} different values, too many for a segmentation. Is it an image?")
    return together([labels.astype(np.int32)] * len(channels))


def label_masks(labels: NDArray[np.integer]) -> dict[str, NDArray[np.bool_]]:
    """Return a mask for every label but 0, by its name in an image: label-17."""
    return {f"{PREFIX}{label}": labels == label for label in np.unique(labels) if label != 0}


def label_regions(image: Image, names: Mapping[int, str]) -> dict[str, NDArray[np.bool_]]:
    """Return the regions of an extracted volume's labels.

    Args:
        image: extracted volume; without a segmentation, it has no such region.
        names: what labels are called, by number. Labels of one name are one region, and those without a name are left
            out; where there are no names at all, every label is a region called by its number.

    Returns:
        Masks by name: label-hippocampus. A label that the block of slices does not reach has none.

    Raises:
        UserError: a label that has a name is not in the segmentation.
    """
    known = image.block.labels
    if known is None:
        return {}
    absent = [label for label in names if label not in known]
    if absent:
        there = ", ".join(map(str, known)) or "none"
        raise UserError(
            f"volume {image.id!r}: its segmentation has no label {absent[0]} ({names[absent[0]]!r}, "
            f"evaluate.labels); it has {there}."
        )
    called = names or {label: str(label) for label in known}
    regions: dict[str, NDArray[np.bool_]] = {}
    for label, name in called.items():
        mask = image.masks.get(f"{PREFIX}{label}")
        if mask is not None:
            region = f"{PREFIX}{name}"
            regions[region] = regions[region] | mask if region in regions else mask
    return regions
