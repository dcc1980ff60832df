"""Bootstrap of means over slices: neighbours resemble each other, so that whole blocks of them are drawn.

Within a volume: circular blocks (Politis and Romano, in LePage and Billard, Exploring the Limits of Bootstrap,
263-270, 1992). Over several subjects, these are drawn first, with all of their volumes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def circular_block_means(values: Floats, block: int, samples: int, generator: np.random.Generator) -> Floats:
    """Return means of resampled series.

    The series is closed to a ring, blocks of neighbours are drawn from it, and the last block is cut so that every
    resample is as long as the series. A block is at most half the series: a block of its full length would always
    give the same mean, and an interval of no width.

    Args:
        values: the series, shape (n,).
        block: neighbours that are drawn together.
        samples: number of resamples.
        generator: source of the random numbers.

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
    """Sum of `length` neighbours on the ring, one for every start."""
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
    """Return resampled means over volumes, of the volumes' means over slices.

    The random numbers hang on the seed and on the names of the volumes and of nothing else: two methods measured on
    the same slices are resampled alike.

    Args:
        series: values of the slices by volume, in the order of the slices.
        subjects: the subject of every volume.
        block: neighbouring slices that are drawn together.
        samples: number of resamples.
        seed: root of the random numbers.
        stacks: volumes whose slices are pictures that have nothing to do with their neighbours: drawn one by one.

    Returns:
        Means, shape (samples,).
    """
    blocks = {volume: 1 if volume in stacks else block for volume in series}
    names = sorted({subjects[volume] for volume in series})
    volumes = {name: [volume for volume in sorted(series) if subjects[volume] == name] for name in names}
    sums = np.stack([_summed_means(series, volumes[name], blocks, samples, seed) for name in names])
    counts = np.array([len(volumes[name]) for name in names])
    if len(names) == 1:
        return sums[0] / counts[0]
    generator = _generator(seed, "subjects")
    drawn = generator.integers(len(names), size=(len(names), samples))
    # A subject that is drawn twice shall not bring the same slices twice.
    resample = generator.integers(samples, size=drawn.shape)
    return sums[drawn, resample].sum(axis=0) / counts[drawn].sum(axis=0)


def _summed_means(
    series: Mapping[str, Floats], volumes: Sequence[str], blocks: Mapping[str, int], samples: int, seed: int
) -> Floats:
    means = [circular_block_means(series[one], blocks[one], samples, _generator(seed, one)) for one in volumes]
    return np.sum(means, axis=0)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])


def percentile_interval(resampled: Floats, confidence: float) -> tuple[float, float]:
    """Return the central interval that holds the share `confidence` of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)
