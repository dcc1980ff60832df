"""Features of a VGG for metrics that compare them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.device import use_threads
from pipeline.models.normalisations import LPIPS
from pipeline.models.vgg import VggFeatures, read_vgg
from pipeline.models.weights import read_safetensors


@dataclass(frozen=True)
class VggBlocks:
    """A VGG and the calibration of LPIPS: the `Features` of `pipeline.metrics`.

    Attributes:
        vgg: the network, on the CPU.
        calibration: LPIPS's weight of each feature, shape (features,), for each block; empty for networks without one.
    """

    vgg: VggFeatures
    calibration: tuple[NDArray[np.float32], ...] = ()

    def blocks(self, picture: NDArray[np.floating]) -> Iterator[NDArray[np.float32]]:
        """Yield the rectified output of the last convolution of every block.

        Args:
            picture: grey, shape (rows, columns), with the range 0 to 1; used as red, green and blue alike.

        Yields:
            Shape (features, rows / 2^n, columns / 2^n), rounded down, where n is the number of the block from 0.
        """
        last = [[*block][-1] for _, block in groupby(self.vgg.layers, key=lambda layer: layer.split("_")[0])]
        image = torch.from_numpy(np.array(picture, dtype=np.float32))[None, None]
        with torch.inference_mode():
            found = self.vgg(image, last, before_activation=False)
        yield from (found[name][0].numpy() for name in last)


def read_features(path: Path) -> VggBlocks:
    """Read the file of the step features, and set the number of threads to one, so that values are reproducible.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    use_threads(1)
    vgg = read_vgg(path)
    tensors = read_safetensors(path)
    return VggBlocks(vgg, tuple(tensors[name].numpy() for name in sorted(tensors) if name.startswith(LPIPS)))
