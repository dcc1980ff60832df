"""Where a network disagrees with itself: an error map that needs no reference.

A slice that is flipped or transposed shows the same tissue, and its restoration, turned back, should be the same. Where
it is not, the network answers by chance. The standard deviation over the eight views, over the planes that a volume can
be cut into, and over networks that were trained from other seeds, is a map of that chance (test-time augmentation: Wang
et al., Neurocomputing 338:34-45, 2019; ensembles: Lakshminarayanan et al., NeurIPS 2017). An error that all views share
is not seen: the map says where to distrust a result, and never where to trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Moments(NamedTuple):
    """What remains of a group of views.

    Attributes:
        mean: over the views.
        variance: over the views, of the same shape; divided by their number, not by one less.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]


def moments_of(views: NDArray[np.float32]) -> Moments:
    """Return mean and variance over the first axis."""
    return Moments(np.mean(views, axis=0), np.var(views, axis=0))


def spread_of(groups: Sequence[Moments]) -> NDArray[np.float32]:
    """Return the standard deviation over all views of groups of equal size, float32.

    By the law of total variance: the mean of the variances and the variance of the means.
    """
    within = np.mean([group.variance for group in groups], axis=0)
    between = np.var([group.mean for group in groups], axis=0)
    return np.sqrt(within + between).astype(np.float32)
