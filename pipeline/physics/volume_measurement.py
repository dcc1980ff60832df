"""The measurement of a volume by its forward model, for model-based reconstruction."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import plugins
from pipeline.physics.forward import NOISES, ForwardModel
from pipeline.physics.grid import Matrices, Terms
from pipeline.physics.torch_operator import as_torch

TABLE_SIZE = 4096
"""Intensities at which the expected value of magnitudes is computed; its Bessel functions are slow."""


class VolumeMeasurement:
    """A low-resolution volume with its forward model: a `pipeline.physics.reconstruction.Measurement`.

    All voxels have the same weight.

    Args:
        lr: normalised intensities, of shape model.lr_shape.
        model: the forward model of the volume.
    """

    def __init__(self, lr: NDArray[np.floating], model: ForwardModel) -> None:
        self._lr, self._model = torch.from_numpy(np.asarray(lr, dtype=np.float32)), model
        self._operator, self._transposed = as_torch(model.terms), as_torch(_transposed(model.terms))

    def forward(self, image: Tensor) -> Tensor:
        """Apply the linear part of the forward model to an image of shape model.padded_shape."""
        return self._operator(image)

    def adjoint(self, values: Tensor) -> Tensor:
        """Apply the adjoint operator to values of shape model.lr_shape."""
        return self._transposed(values)

    def diagonal(self) -> Tensor:
        """Return the diagonal of adjoint(forward(.)), of shape model.padded_shape."""
        terms = self._model.terms
        parts = [_column_products(one, other) for one in terms for other in terms]
        return torch.from_numpy(np.sum(parts, axis=0).astype(np.float32)).expand(self._model.padded_shape)

    def values(self, image: Tensor) -> Tensor:
        """Return the measured values, minus the bias that their noise has for an image of shape model.padded_shape."""
        noiseless = self.forward(image)
        if plugins.load(NOISES, self._model.noise).MAGNITUDE:
            return self._lr - self._bias_of_magnitude(noiseless)
        return self._lr - (torch.from_numpy(self._model.expected_value(noiseless.numpy())) - noiseless).float()

    def _bias_of_magnitude(self, noiseless: Tensor) -> Tensor:
        """Interpolate the bias of magnitude noise linearly in a table.

        Below zero it is that of zero. Otherwise it would grow without limit where a measured value is below the mean
        of pure noise, which no estimate explains.
        """
        high = max(float(noiseless.max()), float(np.finfo(np.float32).tiny))
        levels = np.linspace(0, high, TABLE_SIZE)
        table = torch.from_numpy((self._model.expected_value(levels) - levels).astype(np.float32))
        places = noiseless.clamp(min=0) * ((TABLE_SIZE - 1) / high)
        lower = places.to(torch.int64).clamp_(0, TABLE_SIZE - 2)
        return torch.lerp(table[lower], table[lower + 1], places - lower)


def _transposed(terms: Terms) -> Terms:
    return tuple(tuple(None if matrix is None else matrix.T for matrix in matrices) for matrices in terms)


def _column_products(one: Matrices, other: Matrices) -> NDArray[np.float64]:
    """Return the diagonal of the transpose of one term times another; its size is 1 along unchanged axes."""
    result = np.ones([1] * len(one))
    for axis, (first, second) in enumerate(zip(one, other, strict=True)):
        # All terms of an operator have matrices along the same axes.
        if first is not None and second is not None:
            products = np.sum(first * second, axis=0)
            result = result * products.reshape([-1 if place == axis else 1 for place in range(len(one))])
    return result
