"""A model observer: how well a structure of known shape can be told from its absence, at places that are known.

The observer is the non-prewhitening matched filter with the local background subtracted (Barrett and Myers, Foundations
of Image Science, chapters 13 and 14, Wiley 2004; Burgess, Journal of the Optical Society of America A 16:633-646,
1999). It weighs the window around a place with the structure's shape in the reference, after the plane that fits the
window best was taken from it. It is the same for every method, and knows nothing of what a method would make of the
place without the structure: what else stands there, anatomy and noise, is its background, which it meets at other
places.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.fidelity.insertion.structure import Structure

Floats = NDArray[np.float64]


def weights(structure: Structure) -> Floats:
    """Return the weights by which a window is summed up, of the structure's shape.

    They see no plane (a constant and two slopes), and their sum over a window is the contrast of the structure where
    there is nothing else.
    """
    template = structure.template
    places = np.indices(template.shape).reshape(2, -1).T
    planes = np.column_stack([np.ones(len(places)), places - places.mean(axis=0)])
    flat = template.ravel()
    left = flat - planes @ np.linalg.lstsq(planes, flat, rcond=None)[0]
    return (left / (left @ structure.signal.ravel())).reshape(template.shape)


def responses(images: NDArray[np.floating], places: NDArray[np.intp], chosen: Sequence[Floats]) -> Floats:
    """Return what the observer answers at places: the contrast that it sees there, in units of the image.

    Args:
        images: slices, shape (slices, rows, columns).
        places: index of the slice, row and column of each place, shape (places, 3); windows lie inside the images.
        chosen: the weights for each place, all of one odd size.

    Returns:
        One value a place, float64.
    """
    if not len(places):
        return np.zeros(0)
    radius = chosen[0].shape[0] // 2
    around = np.arange(-radius, radius + 1)
    slices, rows, columns = places.T[:, :, None, None]
    windows = images[slices, rows + around[:, None], columns + around]
    return np.einsum("nij,nij->n", windows, np.asarray(chosen), dtype=np.float64)


def threshold(absent: Floats, false_alarm_rate: float) -> float:
    """Return the response that is exceeded where nothing is with the given probability."""
    return float(np.quantile(absent, 1 - false_alarm_rate))


def detectability(present: Floats, absent: Floats) -> float:
    """Return d': the distance of the mean responses in units of their mean standard deviation; NaN for too few."""
    if min(len(present), len(absent)) <= 1:
        return float("nan")
    spread = np.sqrt((np.var(present, ddof=1) + np.var(absent, ddof=1)) / 2)
    return float((np.mean(present) - np.mean(absent)) / spread) if spread else float("nan")


def area_under_curve(present: Floats, absent: Floats) -> float:
    """Return how often a place with the structure gets the higher response of two; ties count half.

    It is the share of right answers in a two-alternative forced choice, and the area under the ROC curve (Barrett and
    Myers, section 13.2; by the statistic of Mann and Whitney).
    """
    return float(stats.mannwhitneyu(present, absent).statistic / (len(present) * len(absent)))
