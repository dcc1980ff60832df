"""Measured gains of a network that ships, written by its developer and shown by `brainsr networks` and `apply`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import CiHigh, CiLow
from pipeline.tables.table import Column, Table

ANY_CONTRAST = "any"


@dataclass(frozen=True)
class NetworkGain:
    """Gain of a network over the best tuned baseline, for one kind of image, over persons that nobody trained on."""

    contrast: Annotated[str, Column(f"contrast as a BIDS suffix, such as T1w, or {ANY_CONTRAST}")]
    factor_min: Annotated[float, Column("lowest enlargement of such images")]
    factor_max: Annotated[float, Column("highest enlargement of such images")]
    voxel_min: Annotated[float, Column("smallest voxel of such images along the enlarged axes", "mm")]
    voxel_max: Annotated[float, Column("largest voxel of such images along the enlarged axes", "mm")]
    sigma_min: Annotated[float, Column("lowest noise level of such images, as a fraction of the intensity range")]
    sigma_max: Annotated[float, Column("highest noise level of such images, as a fraction of the intensity range")]
    persons: Annotated[int, Column("number of validation persons")]
    baseline: Annotated[str, Column("the best tuned baseline, a module of pipeline.baselines")]
    psnr_gain: Annotated[float, Column("mean difference of PSNR to the baseline over the persons", "dB")]
    ci_low: CiLow
    ci_high: CiHigh
    ssim_gain: Annotated[float, Column("mean difference of SSIM to the baseline over the persons")]

    @property
    def is_shown(self) -> bool:
        """Whether a gain was shown: the confidence interval of the PSNR lies above 0."""
        return self.ci_low > 0


NETWORK_GAINS = Table("measured gains of a network", NetworkGain, advice="See docs/networks.md.")
