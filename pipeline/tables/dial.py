"""models/<method>/dial.csv: settings of the fidelity dial, evaluated on validation slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class DialSetting:
    """One setting of the dial."""

    alpha: Annotated[float, Column("weight of the trained network; that of the initial one is 1 - alpha")]
    psnr: Annotated[float, Column("mean PSNR", "dB")]
    ssim: Annotated[float, Column("mean SSIM")]
    perceptual: Annotated[float, Column("mean perceptual distance")]
    lr_residual: Annotated[float, Column("RMS difference from the LR input after degradation", "normalised range")]
    noise_level: Annotated[float, Column("the same of the reference", "normalised range")]
    allowed: Annotated[bool, Column("whether the rule allows the setting")]
    chosen: Annotated[bool, Column("whether the setting is the chosen one")]


DIAL = Table("settings of the fidelity dial", DialSetting, advice="Delete the folder and train again.")
