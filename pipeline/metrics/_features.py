"""A VGG's features by numpy, so that measuring needs no deep-learning library; see `pipeline.models.vgg`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pipeline.errors import UserError
from pipeline.models.normalisations import LPIPS, NORMALISATIONS

Floats = NDArray[np.float32]
METADATA = "brainsr"
"""Under this key, the facts about a network stand in its file, see `pipeline.models.weights`."""


@dataclass(frozen=True)
class Features:
    """The convolutions of a VGG.

    Attributes:
        layers: name (conv1_1 ...), weights of shape (3, 3, out, in) and biases of shape (out,), in their order.
        mean: by which red, green and blue are shifted, shape (3,).
        std: by which they are then divided, shape (3,).
        calibration: LPIPS's weight of each feature, shape (features,), for each block; nothing for networks that it was
            not made for.
    """

    layers: tuple[tuple[str, Floats, Floats], ...]
    mean: Floats
    std: Floats
    calibration: tuple[Floats, ...] = ()

    def blocks(self, picture: NDArray[np.floating]) -> Iterator[Floats]:
        """Yield the rectified result of the last convolution of every block.

        Args:
            picture: grey, shape (rows, columns), with the range 0 to 1; taken for red, green and blue alike.

        Yields:
            Shape (features, rows / 2^n, columns / 2^n), rounded down, where n is the number of the block from 0.
        """
        one = (np.asarray(picture, dtype=np.float32)[None] - self.mean[:, None, None]) / self.std[:, None, None]
        for number, (_, block) in enumerate(groupby(self.layers, key=lambda layer: layer[0].split("_")[0])):
            one = one if number == 0 else _pooled(one)
            for _, weight, bias in block:
                one = np.maximum(_convolved(one, weight, bias), 0)
            yield one


def _convolved(features: Floats, weight: Floats, bias: Floats) -> Floats:
    """Return the correlation with 3 x 3 weights, with zeros beyond the border: one matrix product a weight's place."""
    _, rows, columns = features.shape
    padded = np.pad(features, [(0, 0), (1, 1), (1, 1)])
    total = np.repeat(bias[:, None], rows * columns, axis=1)
    for y, x in np.ndindex(3, 3):
        total += weight[y, x] @ padded[:, y : y + rows, x : x + columns].reshape(len(features), -1)
    return total.reshape(-1, rows, columns)


def _pooled(features: Floats) -> Floats:
    """Return the maxima over 2 x 2 places; the last row or column of an odd size is left out."""
    count, rows, columns = features.shape
    even = features[:, : rows // 2 * 2, : columns // 2 * 2]
    return even.reshape(count, rows // 2, 2, columns // 2, 2).max(axis=(2, 4))


def read_features(path: Path) -> Features:
    """Read what the stage `features` wrote.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as stream:
            header = json.loads((stream.metadata() or {})[METADATA])
            mean, std = NORMALISATIONS[json.loads(header["vgg"])["normalisation"]]
            keys = sorted(stream.keys())
            names = sorted({key.rsplit(".", 1)[0] for key in keys if not key.startswith(LPIPS)})
            calibration = tuple(stream.get_tensor(key) for key in keys if key.startswith(LPIPS))
            arrays = [[stream.get_tensor(f"{name}.{kind}") for kind in ("weight", "bias")] for name in names]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is not a feature network of BrainSR ({error}).") from error
    # A matrix for every place of the weights, in one piece: numpy multiplies others many times slower.
    layers = tuple(
        (name, np.ascontiguousarray(weight.transpose(2, 3, 0, 1)), bias)
        for name, (weight, bias) in zip(names, arrays, strict=True)
    )
    return Features(layers, np.array(mean, dtype=np.float32), np.array(std, dtype=np.float32), calibration)
