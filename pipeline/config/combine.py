"""Settings of the combination of several scans."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Section

Method = Literal["total_variation", "least_squares"]


MIN_VOXEL_MM, MAX_VOXEL_MM = 0.2, 10.0
"""Smallest and largest side of the voxels, in mm."""


class Combine(Section):
    """Combination of several scans of one head into one isotropic volume, for volumes that list `sources`."""

    method: Method = "total_variation"
    """penalty of the reconstruction: total_variation (sharper) or least_squares (linear)"""
    voxel_mm: Annotated[float, Field(ge=MIN_VOXEL_MM, le=MAX_VOXEL_MM)] | None = None
    """side of the isotropic voxels in mm, 0.2 to 10; null uses the finest voxel size of all scans"""
    motion: bool = True
    """register the scans, since the head moves between them; false trusts the positions in the files"""
    force: bool = False
    """write the result even if it disagrees with a scan by more than 35 % of the intensity range beyond the noise"""
