"""Interface of the feature network for metrics, implemented by `pipeline.models.features` with PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Features(Protocol):
    """A feature network that is divided into blocks between poolings, see `pipeline.models.features.VggBlocks`."""

    @property
    def calibration(self) -> tuple[NDArray[np.float32], ...]:
        """LPIPS weights of the features, one array per block; empty for networks without a calibration."""
        ...

    def blocks(self, picture: NDArray[np.floating]) -> Iterator[NDArray[np.float32]]:
        """Yield the features of every block for a greyscale picture with values from 0 to 1."""
        ...
