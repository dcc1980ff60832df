"""The low-resolution image: a measurement together with the forward model that it came about by."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel


@dataclass(frozen=True)
class LowResolutionImage(Image):
    """A measured, low-resolution image.

    Attributes:
        forward_model: operators, noise and grid that lead from the high-resolution image to this one. An image whose
            history is unknown has the factors of the network that restores it.
    """

    forward_model: ForwardModel = field(kw_only=True)

    @classmethod
    def of(cls, image: Image, forward_model: ForwardModel) -> LowResolutionImage:
        """Take an image as the measurement of a forward model."""
        return cls(**_shared_fields(image), forward_model=forward_model)

    def plain(self, **changes: Any) -> Image:
        """Return the image without its forward model, with fields replaced."""
        return Image(**{**_shared_fields(self), **changes})


def _shared_fields(image: Image) -> dict[str, Any]:
    return {one.name: getattr(image, one.name) for one in fields(Image)}
