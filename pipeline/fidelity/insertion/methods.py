"""Methods of a lesion-insertion study: all baselines, and networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES, upsample
from pipeline.config.sections import Infer
from pipeline.inference.restoration import noise_sigma, restore
from pipeline.models.generator import Generator
from pipeline.physics.low_resolution import LowResolutionImage

Restore = Callable[[LowResolutionImage], NDArray[np.floating]]
"""Maps a low-resolution image to normalised intensities on the high-resolution grid."""


def baseline_methods(tuning: Mapping[str, Mapping[str, Any]]) -> dict[str, Restore]:
    """Return the baselines by name, with their tuned settings."""
    return {name: partial(upsample, method=name, tuning=tuning) for name in plugins.names(BASELINES)}


def network_methods(networks: Mapping[str, Generator], lr: LowResolutionImage, settings: Infer) -> dict[str, Restore]:
    """Return networks as methods, with the noise level of a volume.

    Args:
        networks: by name, on their device, in evaluation mode.
        lr: the low-resolution volume.
        settings: the section `infer`.
    """
    sigma = noise_sigma(lr, lr.forward_model.noise_settings, settings)
    fixed = settings.model_copy(update={"noise_sigma": sigma})
    return {name: partial(restore, network, settings=fixed) for name, network in networks.items()}
