"""The low-resolution image: a measurement together with its forward model."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel


@dataclass(frozen=True)
class LowResolutionImage(Image):
    """A low-resolution image with its forward model.

    Attributes:
        forward_model: operators, noise and grid that map the high-resolution image to this one. For an image of
            unknown history, it has the factors of the network that restores it.
    """

    forward_model: ForwardModel = field(kw_only=True)

    @classmethod
    def of(cls, image: Image, forward_model: ForwardModel) -> LowResolutionImage:
        """Create a low-resolution image from an image and its forward model."""
        return cls(**_shared_fields(image), forward_model=forward_model)

    @property
    def stack_model(self) -> ForwardModel:
        """The forward model; where slices are channels or pictures, they are not neighbours (`still_axis`)."""
        model = self.forward_model
        if self.stack.are_neighbours or model.factors[model.slice_axis] != 1:
            return model
        return replace(model, still_axis=model.slice_axis)

    def plain(self, **changes: Any) -> Image:
        """Return the image without its forward model, with fields replaced."""
        return Image(**{**_shared_fields(self), **changes})


def _shared_fields(image: Image) -> dict[str, Any]:
    return {one.name: getattr(image, one.name) for one in fields(Image)}
