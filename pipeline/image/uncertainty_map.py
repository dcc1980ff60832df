"""The uncertainty map of a restored volume."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.image.image import Image


@dataclass(frozen=True)
class UncertaintyMap(Image):
    """Standard deviation over test-time augmentation (TTA) of one method, and its calibration.

    Attributes:
        data: standard deviation, normalised intensities.
        method: the method that restored the volume.
        error_factor: factor found on the validation volumes; times the standard deviation it is the expected absolute
            error.
    """

    method: str = field(kw_only=True)
    error_factor: float = field(kw_only=True)

    @property
    def expected_error(self) -> Image:
        """Image of the expected absolute error."""
        return self.with_data(self.data * self.error_factor)
