"""Prediction intervals of the errors of a network: a model of their half-width, and where it was calibrated.

The half-width of a voxel is exp(intercept + sum of terms) times the scale of the level. Each term is a piecewise
linear, never falling function of the logarithm of one feature of the voxel, constant beyond its outer knots. The
features are those of `pipeline.inference.error_map`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section

Feature = Literal["tta_std", "tta_std_nearby", "fine_detail", "coarse_detail", "added_detail"]


class ErrorTerm(Section):
    """Effect of one feature on the logarithm of the half-width."""

    feature: Feature
    knots: Annotated[tuple[float, ...], Field(min_length=2)]
    """natural logarithms of the feature, rising"""
    values: tuple[float, ...]
    """value of the term at each knot, never falling"""

    @model_validator(mode="after")
    def _is_monotone(self) -> Self:
        if len(self.knots) != len(self.values):
            raise ValueError(f"{self.feature}: knots and values must have the same length")
        if any(after <= before for before, after in pairwise(self.knots)):
            raise ValueError(f"{self.feature}: knots must rise")
        if any(after < before for before, after in pairwise(self.values)):
            raise ValueError(f"{self.feature}: values must not fall")
        return self


class LevelScale(NamedTuple):
    """Scale of the intervals of one level.

    Attributes:
        level: nominal coverage, between 0 and 1.
        scale: factor of the modelled half-width.
    """

    level: Annotated[float, Field(gt=0, lt=1)]
    scale: Annotated[float, Field(ge=0)]


class ErrorIntervals(Section):
    """Model of the half-width of prediction intervals; intensities are normalised."""

    intercept: float
    """logarithm of the half-width where all terms are 0"""
    terms: tuple[ErrorTerm, ...]
    """effects of the features"""
    scales: Annotated[tuple[LevelScale, ...], Field(min_length=1)]
    """scales by rising level"""
    subjects: Annotated[tuple[str, ...], Field(min_length=1)]
    """persons on whom the intervals were calibrated"""
    volumes: tuple[str, ...]
    """their volumes"""

    def scale(self, level: float) -> float:
        """Return the scale of a level.

        Raises:
            KeyError: the intervals were not calibrated for this level.
        """
        return dict(self.scales)[level]

    @model_validator(mode="after")
    def _has_the_level_of_maps(self) -> Self:
        if MAP_LEVEL not in dict(self.scales):
            raise ValueError(f"scales must contain the level {MAP_LEVEL:g}")
        return self


MAP_LEVEL = 0.9
"""Level of the intervals whose half-width is written as an uncertainty map."""
