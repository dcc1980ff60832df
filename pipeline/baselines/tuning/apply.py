"""Application of baselines with their tuned settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.physics.low_resolution import LowResolutionImage

BASELINES = "pipeline.baselines"

Tuning = Mapping[str, Mapping[str, Any]]
"""Tuned settings by name of the baseline; baselines without tuning have no entry."""


def upsample(lr_image: LowResolutionImage, method: str, tuning: Tuning | None = None) -> NDArray[np.float32]:
    """Upsample a low-resolution volume with a baseline.

    Args:
        lr_image: low-resolution volume.
        method: name of a module of pipeline.baselines.
        tuning: tuned settings; a method without any uses its defaults for the noise level.

    Returns:
        Normalised intensities of shape lr_image.forward_model.padded_shape, on the grid of cell centres.
    """
    model = lr_image.stack_model
    settings = (tuning or {}).get(method) or default_settings(method, model.noise_sigma)
    return plugins.load(BASELINES, method).upsample(lr_image.data, model, settings)


def default_settings(method: str, sigma: float) -> dict[str, Any]:
    """Return settings of a baseline that was not tuned.

    Args:
        method: name of a module of pipeline.baselines.
        sigma: standard deviation of the noise, in normalised intensities.
    """
    module = plugins.load(BASELINES, method)
    return module.default_settings(sigma) if hasattr(module, "default_settings") else {}


def read_tuning(path: Path) -> dict[str, dict[str, Any]]:
    """Read the result of `pipeline.baselines.tuning.search.tune`.

    Returns:
        Tuned settings by name of the baseline.

    Raises:
        UserError: the file does not contain tuned settings.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("methods"), dict):
        raise UserError(f"{path}: contains no tuned settings; delete it and run the step tune again.")
    return {method: tuned["settings"] for method, tuned in content["methods"].items()}
