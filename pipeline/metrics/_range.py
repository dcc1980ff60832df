"""The range of intensities against which errors are measured."""

from __future__ import annotations

from pipeline.image.image import Image


def data_range(reference: Image) -> float:
    """Return the intensity that counts as full range, in the normalised units of `reference`: 1.0.

    It is the scale of the ground-reference volume, from the low percentile of the image to the 99.9th percentile of its
    foreground. It is taken once a volume and from the reference alone, so that it depends on no method and no slice.
    """
    del reference
    return 1.0
