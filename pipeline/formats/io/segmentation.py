"""Read label volumes: every voxel holds the number of a structure, or 0 for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.image.alignment import check_same_grid
from pipeline.image.channels import interleave_channels, split_channels
from pipeline.image.image import Image

MAX_LABELS = 1000
"""A file with more values is an image, not a segmentation; the finest brain atlases have some hundred."""

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
    channels = split_channels(image.data, image.stack.channel_count)
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
    return interleave_channels([labels.astype(np.int32)] * len(channels))
