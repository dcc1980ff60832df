"""Parts of label maps that are rotated in the plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.training.synthesis.lesions import Box
from pipeline.training.synthesis.resolution import Resolution


def rotated_part(labels: NDArray[np.int16], box: Box, resolution: Resolution) -> NDArray[np.int16]:
    """Return a copy of a part of a rotated label map, by nearest neighbours, so that no labels are mixed.

    Args:
        labels: the label map, shape (slices, rows, columns).
        box: the part, which may exceed the map: slices beyond its ends are repeated, other voxels are background.
        resolution: with centre and angle of the rotation.
    """
    slices, *window = box
    layers = np.clip(np.arange(slices.start, slices.stop), 0, len(labels) - 1)
    if not resolution.angle:
        return _padded(labels, layers, window)
    grid = np.meshgrid(*(np.arange(part.start, part.stop) for part in window), indexing="ij")
    rows, columns = (np.rint(one).astype(np.intp) for one in resolution.turned(grid[0], grid[1]))
    _, height, width = labels.shape
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    rows[outside] = columns[outside] = 0
    part = np.stack([labels[layer][rows, columns] for layer in layers])
    part[:, outside] = 0
    return part


def _padded(labels: NDArray[np.int16], layers: NDArray[np.intp], window: list[slice]) -> NDArray[np.int16]:
    inside = [slice(max(part.start, 0), max(part.stop, 0)) for part in window]
    part = np.stack([labels[(layer, *inside)] for layer in layers])
    rows, columns = (min(max(-part.start, 0), part.stop - part.start) for part in window)
    result = np.zeros((len(layers), *(part.stop - part.start for part in window)), dtype=np.int16)
    result[:, rows : rows + part.shape[1], columns : columns + part.shape[2]] = part
    return result
