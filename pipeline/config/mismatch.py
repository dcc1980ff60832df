"""Default degradations and recipes of the target `mismatch`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.parameters import Direction
from pipeline.config.recipe import DISTILLATION, Recipe
from pipeline.config.sections import Degrade

OPERATORS: Mapping[str, list[dict[str, Any]]] = {
    "kspace": [{"name": "kspace_truncation"}],
    "bicubic": [{"name": "antialiased_bicubic"}],
    "gaussian": [{"name": "gaussian_psf", "fwhm_voxels": 4.0}, {"name": "decimation"}],
}
BLURS = ("gaussian_psf",)
"""Operators with a parameter for their direction, which is set to the downsampled axes."""
NOISE: Mapping[str, dict[str, Any]] = {
    "": {"noise": "none", "noise_sigma": 0.0},
    "-noise": {"noise_sigma": 0.02},
}


def degradations(configured: Mapping[str, Degrade], usual: Degrade) -> dict[str, Degrade]:
    """Return the degradations by name.

    Args:
        configured: degradations of the section `mismatch`. If empty, the defaults are k-space truncation, bicubic and
            Gaussian, each with and without noise.
        usual: section `degrade`, from which the defaults take their factor and direction.
    """
    if configured:
        return dict(configured)
    base = usual.model_dump(mode="json", exclude={"operators", "noise", "noise_sigma", "noise_parameters"})
    kind = usual.noise if usual.noise != "none" else "gaussian"
    return {
        f"{name}{suffix}": Degrade.model_validate_json(
            json.dumps({**base, "noise": kind, "operators": _along(operators, usual.direction), **noise})
        )
        for name, operators in OPERATORS.items()
        for suffix, noise in NOISE.items()
    }


def _along(operators: Sequence[Mapping[str, Any]], direction: Direction) -> list[dict[str, Any]]:
    return [{**step, **({"along": direction} if step["name"] in BLURS else {})} for step in operators]


def without_noise_map(recipe: Recipe) -> Recipe:
    """Return a recipe for a single degradation: one forward model, one noise level, no noise map and no teacher."""
    changes: dict[str, Any] = {"degradations": (), "noise_sigma_range": None, "noise_map": False}
    if recipe.teacher is not None:
        others = {name: weight for name, weight in recipe.losses.items() if name != DISTILLATION}
        changes |= {"teacher": None, "losses": others or {"l1": 1.0}}
    return recipe.model_copy(update=changes)
