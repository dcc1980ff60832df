"""Choose the settings of denoise-then-interpolate on the validation volumes, by PSNR over the foreground.

Not denoising is among the candidates. The scores of all candidates are written with the choice.
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
"""Slices per volume: the best settings depend on the noise, which is the same in all slices."""


def score(excerpts: Sequence[Excerpt], settings: Mapping) -> float:
    """Return the mean PSNR of one candidate over excerpts of volumes, in dB."""
    values = [
        one.mean_over_slices(nlm_bspline3.upsample(one.lr, one.model.factors, settings), {"psnr": psnr.per_slice})
        for one in excerpts
    ]
    return float(np.mean([value["psnr"] for value in values]))


def tune(references: Sequence[Image], lrs: Sequence[LowResolutionImage]) -> dict[str, Any]:
    """Try all candidates on validation volumes.

    Args:
        references: extracted volumes.
        lrs: their low-resolution images, in the same order and all of one forward model.

    Returns:
        The method, the settings chosen, and the table of all that were tried, as plain JSON values.

    Raises:
        UserError: the volumes do not belong together.
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
        "tried": [{**one, "psnr": _plain(value)} for one, value in zip(candidates, scores, strict=True)],
        "volumes": [reference.id for reference in references],
        "slices": [evenly_spaced(reference.block.foreground_slices, MAX_SLICES) for reference in references],
    }


def _plain(value: float) -> float | None:
    """Return the value, or None for infinity, which JSON cannot represent."""
    return value if math.isfinite(value) else None


def check_pairs(references: Sequence[Image], lrs: Sequence[LowResolutionImage]) -> None:
    """Check that the volumes belong together.

    Raises:
        UserError: naming what does not fit.
    """
    ids, lr_ids = ([image.id for image in images] for images in (references, lrs))
    if ids != lr_ids:
        raise UserError(
            f"--hr contains the volumes {ids}, --lr contains {lr_ids}; give the same volumes in the same order."
        )
    models = [image.forward_model for image in lrs]
    for name in ("factors", "noise", "noise_sigma"):
        found = [getattr(model, name) for model in models]
        if any(value != found[0] for value in found):
            raise UserError(f"the volumes {ids} were degraded differently: {name} is {found}. Degrade them alike.")
