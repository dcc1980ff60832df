"""What is known about a restored image file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RestoredFile:
    """What is known about a restored image file.

    Attributes:
        method: name of the network that ships or of the baseline, or the file of the network.
        factors: enlargement along each axis of the canonical image.
        sha256: SHA-256 of the weights; None for baselines.
        noise_sigma: noise level as a fraction of the intensity range, the largest of all channels; None for images that
            were restored tile by tile.
        beyond_noise: root mean square difference between the result, degraded to the grid of its input, and that input,
            beyond the noise, as a fraction of the intensity range; None for images that were restored tile by tile.
    """

    method: str
    factors: tuple[float, ...]
    sha256: str | None = None
    noise_sigma: float | None = None
    beyond_noise: float | None = None
