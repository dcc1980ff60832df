"""How 2-D pictures of several sizes lie as the slices of one array, so that the report draws them upright."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLANE = "picture"
"""What stands in the facts where a volume has the name of its plane: nobody knows how a picture lay in the head."""
SLICE_AXIS = 2
UNIT = "pixel"
FORMAT = "tiff_stack"


def is_collection(facts: Mapping[str, Any]) -> bool:
    """Return whether an image is a stack of a collection's pictures: one has nothing to do with the next.

    Args:
        facts: of the image, or what the record of a run says about it.
    """
    return bool(facts.get("collection"))


def lay(picture: NDArray) -> NDArray:
    """Turn a picture (rows, columns) into a slice (x, y) that the report draws as the picture was."""
    return picture[::-1, ::-1].T


def upright(one_slice: NDArray) -> NDArray:
    """Undo `lay`: returns rows and columns from x and y."""
    return one_slice.T[::-1, ::-1]


def stacked(pictures: Sequence[NDArray]) -> NDArray:
    """Lay pictures into one array (x, y, slice), filled up with zeros at the high ends of x and y.

    Args:
        pictures: of one dtype, shape (rows, columns) each.
    """
    rows, columns = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    result = np.zeros((columns, rows, len(pictures)), dtype=pictures[0].dtype)
    for index, picture in enumerate(pictures):
        result[: picture.shape[1], : picture.shape[0], index] = lay(picture)
    return result


def one_slice(data: NDArray, index: int, size: Sequence[int]) -> NDArray:
    """Return a picture (rows, columns) out of a stack; `size` is its columns and rows."""
    return upright(data[: size[0], : size[1], index])


def stack_origin(names: Sequence[str], sizes: Sequence[Sequence[int]], samples: Sequence[int]) -> dict[str, Any]:
    """Return the record by which a stack is written like its pictures.

    Args:
        names: of the pictures.
        sizes: columns and rows of each.
        samples: slices that each takes: one where it is grey, three where it is coloured.
    """
    record = {"names": list(names), "sizes": [list(size) for size in sizes], "samples": list(samples)}
    return {"format": FORMAT, **record, "orientation_code": None}
