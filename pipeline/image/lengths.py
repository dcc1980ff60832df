"""Lengths in words, in the unit of their scale: micrographs have voxels of nanometres or micrometres."""

from __future__ import annotations

import math
from collections.abc import Sequence

MILLIMETRES = {"mm": 1.0, "um": 1e-3}
"""Millimetres per unit of length of an image."""
NANOMETRES_BELOW, MICROMETRES_BELOW = 1e-3, 0.05
"""Lengths in mm: all of those below the first are given in nm; if any is below the second, all are given in µm."""
DIGITS = 3
"""Significant digits."""


def length_unit(lengths_mm: Sequence[float]) -> tuple[str, float]:
    """Return the unit in which lengths are given together, and its number per mm.

    Args:
        lengths_mm: lengths in mm, at least one.
    """
    if max(lengths_mm) < NANOMETRES_BELOW:
        return "nm", 1e6
    return ("µm", 1e3) if min(lengths_mm) < MICROMETRES_BELOW else ("mm", 1.0)


def lengths_in_words(lengths_mm: Sequence[float], between: str = " x ", like: Sequence[float] = ()) -> str:
    """Return lengths in mm as text, in nm or µm if they are those of microscopy, such as "4 x 4 x 40 nm".

    Args:
        lengths_mm: lengths in mm.
        between: text between two lengths.
        like: lengths in mm that determine the unit; without any, the lengths themselves.
    """
    unit, per_mm = length_unit(like or lengths_mm)
    return f"{between.join(_rounded(length * per_mm) for length in lengths_mm)} {unit}"


def range_in_words(low_mm: float, high_mm: float) -> str:
    """Return a range of lengths in mm as text, such as "32 to 48 nm", or the length if both ends are the same."""
    return lengths_in_words([low_mm] if low_mm == high_mm else [low_mm, high_mm], " to ")


def voxels_in_words(spacing: Sequence[float], unit: str, between: str = " x ") -> str:
    """Return a voxel size as text, such as "0.9 x 0.9 x 5 mm", or "1 x 1 x 1 pixel" where it is unknown.

    Args:
        spacing: voxel size along each axis.
        unit: its unit, see `Image.unit`.
        between: text between two lengths.
    """
    if unit not in MILLIMETRES:
        return f"{between.join(map(_rounded, spacing))} {unit}"
    return lengths_in_words([MILLIMETRES[unit] * length for length in spacing], between)


def _rounded(value: float) -> str:
    """Return a number with three significant digits, and no exponent for those above 1000."""
    if not math.isfinite(value):
        return str(value)
    return f"{float(f'{value:.{DIGITS}g}'):.10g}"
