"""Tune baselines on validation volumes, by PSNR over the foreground.

Methods that denoise slices are tuned on evenly spaced slices, methods that process a volume as a whole on neighbouring
slices. The scores of all candidates are stored with the best settings.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.metrics import psnr
from pipeline.physics.excerpts import Excerpt, contiguous_excerpt, excerpt
from pipeline.physics.grid import cuts, is_isotropic
from pipeline.physics.low_resolution import LowResolutionImage

logger = logging.getLogger(__name__)

MAX_SLICES = 8
"""Maximum number of slices per volume; the best settings depend on the noise, which is the same in all slices."""
NEIGHBOURS = (4, 6)
"""Minimum and maximum number of neighbouring slices per volume."""
MAX_VOXELS = 4_000_000
"""Approximate maximum number of high-resolution voxels in neighbouring slices of all volumes."""
MAX_BLOCKS = 8
"""Maximum number of volumes from which a block is used, if all axes were coarsened."""


def tuned_methods() -> dict[str, ModuleType]:
    """Return the baselines that are tuned, by name."""
    modules = {name: plugins.load(BASELINES, name) for name in plugins.names(BASELINES)}
    return {name: module for name, module in modules.items() if hasattr(module, "candidates")}


def score(method: ModuleType, excerpts: Sequence[Excerpt], settings: Mapping) -> float:
    """Return the mean PSNR of a candidate over excerpts of volumes, in dB."""
    values = [
        one.mean_over_slices(method.upsample(one.lr, one.model, settings), {"psnr": psnr.per_slice}) for one in excerpts
    ]
    return float(np.mean([value["psnr"] for value in values]))


def tune(references: Sequence[Image], lrs: Sequence[LowResolutionImage]) -> dict[str, Any]:
    """Evaluate all candidates of all tuned baselines on validation volumes.

    Args:
        references: extracted volumes.
        lrs: their low-resolution images, in the same order, all with the same forward model.

    Returns:
        For each method the best settings, the volumes, and the scores of all candidates, as JSON-compatible values.

    Raises:
        UserError: see `check_pairs`.
    """
    check_pairs(references, lrs)
    pairs = list(zip(references, lrs, strict=True))
    spaced = [excerpt(reference, lr, MAX_SLICES) for reference, lr in pairs]
    neighbours = _neighbouring_slices(pairs)
    methods = {
        name: _tuned(name, method, neighbours if getattr(method, "NEEDS_NEIGHBOURS", False) else spaced)
        for name, method in tuned_methods().items()
    }
    return {"criterion": "mean PSNR over the foreground, in dB", "methods": methods}


def _neighbouring_slices(pairs: Sequence[tuple[Image, LowResolutionImage]]) -> list[Excerpt]:
    """Extract neighbouring slices of evenly spaced volumes, of which there are fewer the larger their slices."""
    model, shape = pairs[0][1].forward_model, pairs[0][0].data.shape
    if is_isotropic(model.factors):
        count, volumes = MAX_SLICES, MAX_BLOCKS
    else:
        axis = cuts(model.factors, pairs[0][0].slice_axis)[0].normal
        area = math.prod(shape) // shape[axis]
        count = int(np.clip(MAX_VOXELS // area, *NEIGHBOURS))
        volumes = max(1, MAX_VOXELS // (area * count))
    return [contiguous_excerpt(*pairs[index], count) for index in evenly_spaced(range(len(pairs)), volumes)]


def _tuned(name: str, method: ModuleType, excerpts: Sequence[Excerpt]) -> dict[str, Any]:
    """Return the best settings of a method, as in `tune`."""
    candidates = method.candidates(excerpts[0].model.noise_sigma)
    scores = [score(method, excerpts, one) for one in tqdm(candidates, name, disable=None)]
    best = candidates[int(np.argmax(scores))]
    logger.info("%s: chose %s of %d candidates", name, best, len(candidates))
    for key in best:
        tried = sorted({one[key] for one in candidates})
        if len(tried) > 2 and best[key] in (tried[0], tried[-1]):  # noqa: PLR2004
            logger.info("%s: the best %s, %g, is at an end of the range of candidates", name, key, best[key])
    return {
        "settings": best,
        "volumes": [one.reference.id for one in excerpts],
        "tried": [
            # JSON cannot represent infinity.
            {**one, "psnr": value if math.isfinite(value) else None}
            for one, value in zip(candidates, scores, strict=True)
        ],
    }


def check_pairs(references: Sequence[Image], lrs: Sequence[LowResolutionImage]) -> None:
    """Check that references and low-resolution images match and were degraded identically.

    Raises:
        UserError: the volumes differ, or they have different forward models.
    """
    ids, lr_ids = ([image.id for image in images] for images in (references, lrs))
    if ids != lr_ids:
        raise UserError(
            f"--hr contains the volumes {ids}, --lr contains {lr_ids}; pass the same volumes in the same order."
        )
    models = [image.forward_model for image in lrs]
    for name in ("factors", "noise", "noise_sigma"):
        found = [getattr(model, name) for model in models]
        if any(value != found[0] for value in found):
            raise UserError(f"the volumes {ids} were degraded differently: {name} is {found}. Degrade them alike.")
