"""Format numbers for a reader. No other module of the pages formats one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.image.lengths import voxels_in_words

MISSING = "n/a"
MINUS = "\N{MINUS SIGN}"
MIB_PER_GIB = 1024


def as_float(value: Any) -> float:
    """Return a value of a table as a float; NaN where it is missing."""
    return math.nan if value is None else float(value)


def format_number(value: Any, decimals: int | None = None, *, sign: bool = False, unit: str = "") -> str:
    """Format a number with a true minus sign.

    Args:
        value: the number; NaN and None give "n/a", infinity "inf".
        decimals: digits after the point; None gives four significant digits.
        sign: whether positive numbers get a plus sign.
        unit: appended after a space.
    """
    number = as_float(value)
    if math.isnan(number):
        return MISSING
    form = f"{'+' if sign else ''}{'.4g' if decimals is None else f'.{decimals}f'}"
    return f"{number:{form}}{f' {unit}' if unit else ''}".replace("-", MINUS)


def format_interval(low: Any, high: Any, decimals: int | None = None, *, sign: bool = True) -> str:
    """Format an interval as "[low, high]"; empty where one of its ends is missing."""
    ends = [format_number(end, decimals, sign=sign) for end in (low, high)]
    return "" if MISSING in ends else f"[{', '.join(ends)}]"


def format_share(share: Any, decimals: int = 0) -> str:
    """Format a share from 0 to 1 in percent."""
    text = format_number(100 * as_float(share), decimals)
    return text if text == MISSING else f"{text} %"


def format_lengths(lengths: Sequence[float], digits: int = 4) -> str:
    """Format the edges of a voxel, with multiplication signs between them."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{length:.{digits}g}" for length in lengths)


def format_voxels(spacing: Sequence[float], unit: str) -> str:
    """Format a voxel size in the unit of its scale, in nm or µm for micrographs; `unit` as in `Image`."""
    return voxels_in_words(spacing, unit, " \N{MULTIPLICATION SIGN} ")


def format_duration(seconds: float) -> str:
    """Format a time as "1 h 3 min", "2 min 5 s" or "3.4 s"."""
    if math.isnan(seconds):
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def format_memory(mebibytes: float) -> str:
    """Format an amount of memory given in MiB."""
    if mebibytes >= MIB_PER_GIB:
        return format_number(mebibytes / MIB_PER_GIB, 1, unit="GiB")
    return format_number(mebibytes, 0, unit="MiB")
