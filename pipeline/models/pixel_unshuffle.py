"""Pixel-unshuffle of images of any size."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def unshuffled(image: Tensor, factor: int) -> Tensor:
    """Move the pixels of every square of `factor` x `factor` pixels to channels.

    Sizes that are not multiples of the factor are padded at the high end with the values of the edge.

    Args:
        image: shape (batch, channels, y, x).
        factor: side of the squares; 1 returns the image unchanged.

    Returns:
        Shape (batch, channels * factor ** 2, ceil(y / factor), ceil(x / factor)); the pixels of each channel are
        contiguous.
    """
    if factor == 1:
        return image
    bottom, right = (-size % factor for size in image.shape[-2:])
    padded = functional.pad(image, (0, right, 0, bottom), mode="replicate")
    return functional.pixel_unshuffle(padded, factor)
