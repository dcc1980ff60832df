"""Tune non-local means followed by B-spline interpolation on the validation volumes, by PSNR over the foreground.

The candidates include no denoising. The scores of all candidates are stored with the best settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.baselines import nlm_bspline3
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.slices import evenly_spaced
from pipeline.metrics import psnr
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.low_resolution import LowResolutionImage

METHOD = "nlm_bspline3"
MAX_SLICES = 8
"""Maximum number of slices per volume; the best settings depend on the noise, which is the same in all slices."""


def score(excerpts: Sequence[Excerpt], settings: Mapping) -> float:
    """Return the mean PSNR of a candidate over excerpts of volumes, in dB."""
    values = [
        one.mean_over_slices(nlm_bspline3.upsample(one.lr, one.model, settings), {"psnr": psnr.per_slice})
        for one in excerpts
    ]
    return float(np.mean([value["psnr"] for value in values]))


def tune(references: Sequence[Image], lrs: Sequence[LowResolutionImage]) -> dict[str, Any]:
    """Evaluate all candidates on validation volumes.

    Args:
        references: extracted volumes.
        lrs: their low-resolution images, in the same order, all with the same forward model.

    Returns:
        The method, the best settings, and the scores of all candidates, as JSON-compatible values.

    Raises:
        UserError: see `check_pairs`.
    """
    check_pairs(references, lrs)
    excerpts = [excerpt(reference, lr, MAX_SLICES) for reference, lr in zip(references, lrs, strict=True)]
    candidates = nlm_bspline3.candidates(excerpts[0].model.noise_sigma)
    scores = [score(excerpts, one) for one in tqdm(candidates, "settings", disable=None)]
    best = int(np.argmax(scores))
    return {
        "method": METHOD,
        "criterion": "mean PSNR over the foreground, in dB",
        "settings": candidates[best],
        "tried": [
            # JSON cannot represent infinity.
            {**one, "psnr": value if math.isfinite(value) else None}
            for one, value in zip(candidates, scores, strict=True)
        ],
        "volumes": [reference.id for reference in references],
        "slices": [evenly_spaced(reference.block.foreground_slices, MAX_SLICES) for reference in references],
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
