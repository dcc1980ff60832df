"""Measured gains of a network that ships, written by its developer and shown by `brainsr networks` and `apply`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import AllowInfNan

from pipeline.tables.columns import CiHigh, CiLow
from pipeline.tables.table import Column, Table

ANY_CONTRAST = "any"


@dataclass(frozen=True)
class NetworkGain:
    """Gain of a network over the best tuned baseline for one kind of image, over subjects outside its training data."""

    contrast: Annotated[str, Column(f"contrast as a BIDS suffix, such as T1w, or {ANY_CONTRAST}")]
    factor_min: Annotated[float, Column("lowest enlargement of such images")]
    factor_max: Annotated[float, Column("highest enlargement of such images")]
    voxel_min: Annotated[float, Column("smallest voxel of such images along the enlarged axes", "mm")]
    voxel_max: Annotated[float, Column("largest voxel of such images along the enlarged axes", "mm")]
    sigma_min: Annotated[float, Column("lowest noise level of such images, as a fraction of the intensity range")]
    sigma_max: Annotated[float, Column("highest noise level of such images, as a fraction of the intensity range")]
    subjects: Annotated[int, Column("number of persons or specimens, in no training or validation list")]
    baseline: Annotated[str, Column("the best tuned baseline, a module of pipeline.baselines")]
    psnr_gain: Annotated[float, Column("mean difference of PSNR to the baseline over the subjects", "dB")]
    ssim_gain: Annotated[float, Column("mean difference of SSIM to the baseline over the subjects")]
    ci_low: Annotated[CiLow, AllowInfNan(True)] = math.nan
    ci_high: Annotated[CiHigh, AllowInfNan(True)] = math.nan
    """interval of `psnr_gain` over the subjects; NaN if there were too few for one"""

    @property
    def has_interval(self) -> bool:
        """Whether there were enough subjects for a confidence interval."""
        return not math.isnan(self.ci_low)

    @property
    def is_shown(self) -> bool:
        """Whether the PSNR was higher: its confidence interval, or without one its mean, lies above 0."""
        return (self.ci_low if self.has_interval else self.psnr_gain) > 0

    @property
    def gain(self) -> str:
        """The gain in dB with its interval, for messages."""
        interval = f" [{self.ci_low:+.2f}, {self.ci_high:+.2f}]" if self.has_interval else ""
        return f"{self.psnr_gain:+.2f}{interval}"

    @property
    def described(self) -> str:
        """The gain with its baseline and number of subjects, for messages."""
        subjects = "1 subject" if self.subjects == 1 else f"{self.subjects} subjects"
        return f"{self.gain} dB over {self.baseline} ({subjects})"


def span(low: float, high: float) -> str:
    """Write a range, or the number if both ends are the same."""
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


NETWORK_GAINS = Table("measured gains of a network", NetworkGain, advice="See docs/networks.md.")
