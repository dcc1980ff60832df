"""The linear part of a forward model as a differentiable PyTorch module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class LinearOperator(nn.Module):
    """A linear operator as a sum of separable terms, without trainable parameters.

    Args:
        terms: for each term, one matrix per trailing axis of the image, of shape (size out, size in), or
            (batch, 1, size out, size in) if every image of a batch has its own; None leaves its axis unchanged.
        device: device of the matrices.
        dtype: dtype of the matrices and the result.
    """

    def __init__(
        self,
        terms: Iterable[Sequence[NDArray | None]],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self._names: list[list[str | None]] = []
        for count, term in enumerate(terms):
            names = [None if matrix is None else f"term{count}_axis{axis}" for axis, matrix in enumerate(term)]
            self._names.append(names)
            for name, matrix in zip(names, term, strict=True):
                if name is not None and matrix is not None:
                    tensor = torch.from_numpy(np.ascontiguousarray(matrix)).to(device, dtype)
                    self.register_buffer(name, tensor, persistent=False)
        self._dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """Apply the operator to images.

        Args:
            image: shape (batch, channels, y, x), or with as many trailing axes as the terms have matrices.
        """
        # Half precision is too coarse for sums over whole rows.
        with torch.autocast(image.device.type, enabled=False):
            terms = [[None if name is None else self.get_buffer(name) for name in names] for names in self._names]
            first, *others = (_applied(term, image.to(self._dtype)) for term in terms)
            return sum(others, first)


def as_torch(
    terms: Iterable[Sequence[NDArray | None]],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LinearOperator:
    """Return terms, such as `ForwardModel.terms`, as a `LinearOperator`."""
    return LinearOperator(terms, device, dtype)


def _applied(term: Sequence[Tensor | None], image: Tensor) -> Tensor:
    """Multiply the trailing axes of images by the matrices of a term."""
    for axis, matrix in zip(range(-len(term), 0), term, strict=True):
        if matrix is not None and axis == -1:
            image = image @ matrix.mT
        elif matrix is not None:
            image = (matrix @ image.movedim(axis, -2)).movedim(-2, axis)
    return image
