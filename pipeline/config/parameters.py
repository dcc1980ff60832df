"""Parameters of operators and noise models: numbers in physical units, or ranges from which a number is drawn.

This module imports nothing heavy, so that configurations can be checked without numpy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Discriminator, Tag

from pipeline.config.base import Section

if TYPE_CHECKING:
    import numpy as np

Number = TypeVar("Number")

Direction = Literal["in_plane", "through_plane", "isotropic"]
"""Axes of a volume: the two in-plane axes, the through-plane axis, or all three."""

FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""
RANGE = "range"
"""Tag that discriminates a range from a number."""


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the range must be ascending")
    return limits


def _tag(value: Any) -> str:
    return RANGE if isinstance(value, list | tuple) else "number"


Ranged = Annotated[
    Annotated[Number, Tag("number")] | Annotated[tuple[Number, Number], AfterValidator(_ascending), Tag(RANGE)],
    Discriminator(_tag),
]
"""A number, or a range [low, high] from which one is drawn uniformly for every patch and volume."""


class PhysicalParameters(Section):
    """Base class of the parameters of an operator or noise model, which each plug-in defines as `Parameters`."""

    name: Any = ""
    """name of the module of the plug-in"""

    @property
    def has_ranges(self) -> bool:
        """Whether any parameter is a range."""
        return any(isinstance(value, tuple) for _, value in self)

    def drawn(self, generator: np.random.Generator) -> Self:
        """Return the same parameters with a number, evenly drawn, in the place of every range."""
        ranges = {name: value for name, value in self if isinstance(value, tuple)}
        return self.model_copy(update={name: float(generator.uniform(*limits)) for name, limits in ranges.items()})

    def describe(self) -> str:
        """Return what the plug-in does with these parameters, as a part of a sentence."""
        return self.name.replace("_", " ")


def plain(value: float) -> float:
    """Return a number as int if it is whole, as it is written in files."""
    return int(value) if value == int(value) else float(value)


def number(value: float | tuple[float, float]) -> float:
    """Return a parameter that is no range any more.

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
