"""Read label volumes: every voxel contains the number of a structure, or 0 for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.image.alignment import check_same_grid
from pipeline.image.channels import interleave_channels, split_channels
from pipeline.image.image import Image
from pipeline.image.slices import cut_block

MAX_LABELS = 1000
"""A file with more values is an image, not a segmentation; the finest brain atlases have some hundred."""


def read_segmentation(path: Path, image: Image, name: str) -> NDArray[np.int32]:
    """Read the labels of a whole volume.

    Args:
        path: a label volume, in any format of images.
        image: the volume as its file contains it, before it is cut.
        name: of the volume, for messages.

    Returns:
        Labels, of the shape of the image; where it has several channels, the same for all of them. NaN is background.

    Raises:
        UserError: the file cannot be read, does not lie on the grid of the image, or contains more than labels.
    """
    read = format_of(path).read(path, Part())
    channels = split_channels(image.data, image.stack.channel_count)
    check_same_grid(path, read, image.with_data(channels[0]), name, "segmentation")
    labels = whole_labels(path, read.data, "segmentation", np.dtype(np.int32))
    return interleave_channels([labels] * len(channels))


def read_labels(path: Path, image: Image) -> NDArray[np.int32]:
    """Read the labels of an extracted volume, which may be a block of the whole volume.

    Args:
        path: a label volume on the grid of the whole volume, in any format of images.
        image: the extracted volume, with a single channel.

    Returns:
        Labels, of the shape of the image. NaN is background.

    Raises:
        UserError: as `read_segmentation`, or the file has fewer slices than the block needs.
    """
    if image.stack.has_channels:
        raise UserError(f"volume {image.id!r}: has several channels; choose one of them with the key channel.")
    read = cut_block(format_of(path).read(path, Part()), image.block.slices, image.slice_axis)
    check_same_grid(path, read, image, image.id, "segmentation")
    return whole_labels(path, read.data, "segmentation", np.dtype(np.int32)).astype(np.int32)


def whole_labels(path: Path, values: NDArray, title: str, dtype: np.dtype) -> NDArray[np.integer]:
    """Convert the values of a label volume to integers; NaN is background.

    Args:
        path: the file, for messages.
        values: as read.
        title: of what the file should be, for messages.
        dtype: of the labels, a signed integer.

    Raises:
        UserError: the values are no whole numbers, are negative or too large, or there are too many different ones.
    """
    values = np.nan_to_num(values, nan=0.0)
    labels = np.rint(values)
    largest = int(np.iinfo(dtype).max)
    if not np.array_equal(labels, values) or labels.min() < 0 or labels.max() > largest:
        raise UserError(
            f"{path}: a {title} contains whole numbers from 0 to {largest}; this contains others. Is it an image?"
        )
    labels = labels.astype(dtype)
    count = len(np.unique(labels))
    if count > MAX_LABELS:
        raise UserError(f"{path}: contains {count} different values, too many for a {title}. Is it an image?")
    return labels
