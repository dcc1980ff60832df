"""Masks and regions of label volumes, in which every voxel holds the number of its structure, or 0 for none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.image.image import Image

PREFIX = "label-"
"""Prefix of the names of label masks and label regions."""


def label_masks(labels: NDArray[np.integer]) -> dict[str, NDArray[np.bool_]]:
    """Return a mask for every label except 0, by its name in an image, such as "label-17"."""
    return {f"{PREFIX}{label}": labels == label for label in np.unique(labels) if label != 0}


def label_regions(image: Image, names: Mapping[int, str]) -> dict[str, NDArray[np.bool_]]:
    """Return the regions of an extracted volume's labels.

    Args:
        image: extracted volume; one without a segmentation has no such regions.
        names: names of labels, by number. Labels with the same name form one region, and labels without a name are left
            out. If `names` is empty, every label is a region named by its number.

    Returns:
        Masks by name, such as "label-hippocampus". Labels outside the block of slices have none.

    Raises:
        UserError: a named label does not occur in the segmentation.
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
