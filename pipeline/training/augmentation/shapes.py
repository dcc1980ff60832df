"""Random shapes of small structures: irregular blobs, curved lines, discs and rings, with soft edges.

Lengths are in voxels. A shape is an array of the fraction of every voxel that it covers, with the centre of the shape
near that of the array; edges are at least a voxel wide, as after partial-volume averaging.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float32]
"""Fraction of each voxel that a shape covers, 0 to 1, shape (side, side) with an odd side."""

BLOB_DIAMETER = (1.5, 12.0)
"""Range of the geometric mean of the two diameters of a blob."""
RING_DIAMETER = (5.0, 12.0)
LINE_LENGTH = (6.0, 30.0)
LINE_WIDTH = (1.0, 2.0)
MAX_ELONGATION = 3.0
"""Maximum ratio of the two diameters of a blob."""
IRREGULARITY = 0.25
"""Maximum relative amplitude of the first harmonic of the outline of a blob."""
EDGE = (1.0, 3.0)
"""Range of the width over which the coverage falls from 1 to 0."""
CURVE_POINTS = 64


def draw_blob(generator: np.random.Generator) -> Coverage:
    """Return an elongated blob with an irregular outline, of random size and orientation."""
    diameter = _log_uniform(BLOB_DIAMETER, generator)
    stretch = np.sqrt(generator.uniform(1, MAX_ELONGATION))
    radii = diameter / 2 * stretch, diameter / 2 / stretch
    harmonics = np.arange(2, 5)
    amplitudes = generator.uniform(-IRREGULARITY, IRREGULARITY, harmonics.size) / (harmonics - 1)
    phases = generator.uniform(0, 2 * np.pi, harmonics.size)
    along, across = _turned(radii[0] * (1 + np.abs(amplitudes).sum()), generator)
    angles = np.arctan2(across / radii[1], along / radii[0])
    outline = 1 + np.cos(harmonics * angles[..., None] + phases) @ amplitudes
    distance = (np.hypot(along / radii[0], across / radii[1]) - outline) * radii[1]
    return _covered(distance, generator)


def draw_ring(generator: np.random.Generator) -> Coverage:
    """Return an elliptic ring, or a disc if its wall is as thick as its radius."""
    radius = _log_uniform(RING_DIAMETER, generator) / 2
    ratio = generator.uniform(0.6, 1)
    wall = generator.uniform(1, 1.5 * radius)
    along, across = _turned(radius, generator)
    distance = (np.hypot(along / radius, across / (ratio * radius)) - 1) * ratio * radius
    return _covered(np.maximum(distance, -wall - distance), generator)


def draw_line(generator: np.random.Generator) -> Coverage:
    """Return a curved line, a quadratic Bezier curve of constant width, like a vessel in the plane."""
    length, width = _log_uniform(LINE_LENGTH, generator), generator.uniform(*LINE_WIDTH)
    bend = generator.uniform(-0.7, 0.7) * length
    along, across = _turned(length / 2 + abs(bend) / 2, generator)
    place = np.linspace(0, 1, CURVE_POINTS)
    points = length * (place - 0.5), 2 * place * (1 - place) * bend - bend / 4
    distance = np.sqrt(np.min((along[..., None] - points[0]) ** 2 + (across[..., None] - points[1]) ** 2, axis=-1))
    return np.clip(0.5 + width / 2 - distance, 0, 1).astype(np.float32)


def _log_uniform(limits: tuple[float, float], generator: np.random.Generator) -> float:
    return float(np.exp(generator.uniform(*np.log(limits))))


def _turned(reach: float, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates along and across a random direction, with an origin within half a voxel of the centre."""
    half = int(np.ceil(reach + EDGE[1] / 2)) + 1
    shift, angle = generator.uniform(-0.5, 0.5, 2), generator.uniform(0, 2 * np.pi)
    rows, columns = np.arange(-half, half + 1)[:, None] - shift[0], np.arange(-half, half + 1) - shift[1]
    return rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)


def _covered(distance: NDArray[np.float64], generator: np.random.Generator) -> Coverage:
    """Return the coverage for signed distances from an outline, which are negative inside."""
    return np.clip(0.5 - distance / generator.uniform(*EDGE), 0, 1).astype(np.float32)
