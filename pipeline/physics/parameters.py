"""Parameters of operators and noises: numbers in physical units, or ranges that a number is drawn from.

This module and the plug-ins that use it import nothing heavy when they are loaded: the configuration is checked with
them where numpy is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Discriminator, Tag

from pipeline.config.base import Section
from pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np

Number = TypeVar("Number")

Direction = Literal["in_plane", "through_plane", "isotropic"]
"""Along which axes of a volume something happens: both of a slice, the one across the slices, or all three."""

RANGE = "range"
"""Tag of ranges, as opposed to numbers."""

OUTSIDE = 0.25
"""Relative tolerance beyond either end of the range that a network was trained on."""


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the range must rise")
    return limits


def _tag(value: Any) -> str:
    return RANGE if isinstance(value, list | tuple) else "number"


Ranged = Annotated[
    Annotated[Number, Tag("number")] | Annotated[tuple[Number, Number], AfterValidator(_rising), Tag(RANGE)],
    Discriminator(_tag),
]
"""A number, or [low, high]: a number is drawn uniformly from the range for every patch and every volume."""


class PhysicalParameters(Section):
    """The parameters of one operator or noise. Each plug-in has a class `Parameters` of this kind."""

    name: Any = ""
    """name of the plug-in's module: every plug-in allows its own and no other"""

    @property
    def has_ranges(self) -> bool:
        """Whether a parameter is a range."""
        return any(isinstance(value, tuple) for _, value in self)

    def drawn(self, generator: np.random.Generator) -> Self:
        """Return the parameters with every range replaced by a uniformly drawn number."""
        ranges = {name: value for name, value in self if isinstance(value, tuple)}
        return self.model_copy(update={name: float(generator.uniform(*limits)) for name, limits in ranges.items()})

    def words(self) -> str:
        """Return what the plug-in does with these parameters, as a part of a sentence."""
        return self.name.replace("_", " ")


def number(value: float | tuple[float, float]) -> float:
    """Return a parameter that is a number.

    Raises:
        TypeError: it is one; `PhysicalParameters.drawn` comes first.
    """
    if isinstance(value, tuple):
        raise TypeError(f"{value} is a range: a number must be drawn from it first")
    return value


def shown(value: float | tuple[float, float], unit: str = "") -> str:
    """Return a parameter as it is written in a sentence, such as "4 mm" or "3 to 5 mm"."""
    limits = value if isinstance(value, tuple) else (value,)
    return " to ".join(f"{limit:.3g}" for limit in limits) + (f" {unit}" if unit else "")


def in_voxels(length_mm: float, spacing_mm: float | None, what: str) -> float:
    """Return a length in voxels.

    Args:
        length_mm: in millimetres.
        spacing_mm: distance between neighbouring voxels; None if unknown.
        what: the parameter, for the message.

    Raises:
        UserError: the image has no voxel size.
    """
    if spacing_mm is None:
        raise UserError(
            f"degrade.operators: {what} is a length, but the voxel size of this image is unknown. Set voxel_um of the "
            "volume, or a parameter in voxels."
        )
    return length_mm / spacing_mm


def axes_along(direction: Direction, slice_axis: int, dimensions: int = 3) -> Sequence[int]:
    """Return the axes of an array along which something happens."""
    plane = [axis for axis in range(dimensions) if axis != slice_axis]
    return {"in_plane": plane, "through_plane": [slice_axis], "isotropic": list(range(dimensions))}[direction]


def is_outside(values: Sequence[float], limits: Sequence[float]) -> bool:
    """Return whether values lie beyond a range, from its low to its high end, by more than `OUTSIDE` of that end."""
    low, high = limits
    return min(values) < low * (1 - OUTSIDE) or max(values) > high * (1 + OUTSIDE)
