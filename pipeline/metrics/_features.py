"""What metrics need of a feature network; `pipeline.models.features` has it, in an environment with torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Features(Protocol):
    """A feature network in blocks between poolings, see `pipeline.models.features.VggBlocks`."""

    @property
    def calibration(self) -> tuple[NDArray[np.float32], ...]:
        """LPIPS's weight of each feature, for each block; empty for networks without one."""
        ...

    def blocks(self, picture: NDArray[np.floating]) -> Iterator[NDArray[np.float32]]:
        """Yield the features of every block for a grey picture with the range 0 to 1."""
        ...
