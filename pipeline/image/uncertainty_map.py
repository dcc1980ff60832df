"""The uncertainty map of a restored volume."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from pipeline.image.image import Image


@dataclass(frozen=True)
class UncertaintyMap(Image):
    """Half-width of the prediction interval of every voxel of a restored volume.

    Attributes:
        data: half-widths, normalised intensities.
        method: the method that restored the volume.
        level: nominal coverage of the intervals, between 0 and 1.
    """

    method: str = field(kw_only=True)
    level: float = field(kw_only=True)

    @classmethod
    def of(cls, image: Image, *, method: str, level: float) -> UncertaintyMap:
        """Create an uncertainty map from an image of half-widths."""
        return cls(**{one.name: getattr(image, one.name) for one in fields(Image)}, method=method, level=level)
