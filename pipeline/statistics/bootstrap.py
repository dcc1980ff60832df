"""Block bootstrap of means over slices, which accounts for the correlation of neighbouring slices.

Within a volume, circular blocks of slices are drawn (Politis and Romano, in LePage and Billard, Exploring the Limits of
Bootstrap, 263-270, 1992). If there are several subjects, subjects are drawn first, with all their volumes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def circular_block_means(values: Floats, block: int, samples: int, generator: np.random.Generator) -> Floats:
    """Return the means of series that are resampled by the circular block bootstrap.

    Blocks of neighbours are drawn from the series wrapped to a ring, and the last block is truncated so that every
    resample is as long as the series. A block is at most half as long as the series: blocks of full length would all
    have the same mean, and the interval would have zero width.

    Args:
        values: the series, shape (n,).
        block: block length.
        samples: number of resamples.
        generator: random number generator.

    Returns:
        Means, shape (samples,).
    """
    size = len(values)
    block = max(1, min(block, size // 2))
    whole, rest = divmod(size, block)
    starts = generator.integers(size, size=(samples, whole + 1))
    sums = _ring_sums(values, block)[starts[:, :whole]].sum(axis=1)
    return (sums + _ring_sums(values, rest)[starts[:, whole]]) / size


def _ring_sums(values: Floats, length: int) -> Floats:
    """Return the sums of `length` consecutive values on the ring for every start, shape (n,)."""
    if length == 0:
        return np.zeros(len(values))
    ring = np.concatenate([values, values[: length - 1]])
    return np.lib.stride_tricks.sliding_window_view(ring, length).sum(axis=1)


def resampled_means(
    series: Mapping[str, Floats],
    subjects: Mapping[str, str],
    block: int,
    samples: int,
    seed: int,
    stacks: Collection[str] = (),
) -> Floats:
    """Return resampled means over volumes of the means over slices.

    The random numbers depend only on the seed and the names of the volumes, so that two methods evaluated on the same
    slices are resampled identically.

    Args:
        series: values of the slices by volume, in the order of the slices.
        subjects: subject of every volume.
        block: block length in slices.
        samples: number of resamples.
        seed: random seed.
        stacks: volumes whose slices are unrelated pictures, which are drawn one by one.

    Returns:
        Means, shape (samples,).
    """
    means = {
        volume: circular_block_means(values, 1 if volume in stacks else block, samples, _generator(seed, volume))
        for volume, values in series.items()
    }
    names = sorted({subjects[volume] for volume in series})
    volumes = {name: [volume for volume in sorted(series) if subjects[volume] == name] for name in names}
    sums = np.stack([np.sum([means[volume] for volume in volumes[name]], axis=0) for name in names])
    counts = np.array([len(volumes[name]) for name in names])
    if len(names) == 1:
        return sums[0] / counts[0]
    generator = _generator(seed, "subjects")
    drawn = generator.integers(len(names), size=(len(names), samples))
    # A subject that is drawn twice gets independent resamples of its slices.
    resample = generator.integers(samples, size=drawn.shape)
    return sums[drawn, resample].sum(axis=0) / counts[drawn].sum(axis=0)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])


def percentile_interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile interval with coverage `confidence` of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)
