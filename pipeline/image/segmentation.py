"""Label volumes: a whole number at every voxel says which structure it belongs to, 0 none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.image import Image

PREFIX = "label-"
"""Begins the names of the masks and regions of labels."""


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
