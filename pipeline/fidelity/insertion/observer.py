"""A model observer: detectability of a structure of known shape at a known location.

The observer is the non-prewhitening matched filter with subtraction of the local background (Barrett and Myers,
Foundations of Image Science, chapters 13 and 14, Wiley 2004; Burgess, Journal of the Optical Society of America A
16:633-646, 1999). It subtracts the best-fitting plane from the window around a location and correlates the remainder
with the shape of the structure in the reference. It is the same for all methods and has no knowledge of the restored
background: its threshold is set at other locations, with their anatomy and noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.fidelity.insertion.structure import Structure

Floats = NDArray[np.float64]


def weights(structure: Structure) -> Floats:
    """Return the weights of the observer's template, of the shape of the structure.

    They are orthogonal to planes (a constant and two slopes), and their sum over a window is the contrast of the
    structure on a uniform background.
    """
    template = structure.template
    coordinates = np.indices(template.shape).reshape(2, -1).T
    planes = np.column_stack([np.ones(len(coordinates)), coordinates - coordinates.mean(axis=0)])
    flat = template.ravel()
    remainder = flat - planes @ np.linalg.lstsq(planes, flat, rcond=None)[0]
    return (remainder / (remainder @ structure.signal.ravel())).reshape(template.shape)


def responses(images: NDArray[np.floating], places: NDArray[np.intp], templates: Sequence[Floats]) -> Floats:
    """Return the responses of the observer: estimates of the contrast, in units of the image.

    Args:
        images: slices, shape (slices, rows, columns).
        places: index of the slice, row and column of each location, shape (places, 3); windows lie inside the images.
        templates: weights for each location, all of one odd size.

    Returns:
        One value per location, float64.
    """
    if not len(places):
        return np.zeros(0)
    radius = templates[0].shape[0] // 2
    offsets = np.arange(-radius, radius + 1)
    slices, rows, columns = places.T[:, :, None, None]
    windows = images[slices, rows + offsets[:, None], columns + offsets]
    return np.einsum("nij,nij->n", windows, np.asarray(templates), dtype=np.float64)


def threshold(absent: Floats, false_alarm_rate: float) -> float:
    """Return the response that is exceeded with the given probability where no structure is present."""
    return float(np.quantile(absent, 1 - false_alarm_rate))


def detectability(present: Floats, absent: Floats) -> float:
    """Return d': the difference of the mean responses over their pooled standard deviation; NaN for too few."""
    if min(len(present), len(absent)) <= 1:
        return float("nan")
    deviation = np.sqrt((np.var(present, ddof=1) + np.var(absent, ddof=1)) / 2)
    return float((np.mean(present) - np.mean(absent)) / deviation) if deviation else float("nan")


def area_under_curve(present: Floats, absent: Floats) -> float:
    """Return the area under the ROC curve, by the Mann-Whitney statistic; ties count half.

    It is the fraction of correct decisions in a two-alternative forced choice (Barrett and Myers, section 13.2).
    """
    return float(stats.mannwhitneyu(present, absent).statistic / (len(present) * len(absent)))
