"""Planes of slices that can be chosen; without heavy imports, for the help of commands."""

from __future__ import annotations

from typing import Literal

PlaneChoice = Literal["auto", "axial", "coronal", "sagittal"]
