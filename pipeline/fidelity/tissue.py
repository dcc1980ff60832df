"""Volumes of three classes of voxels, as a user would get them from a restored image and from the reference.

Every image is segmented by itself, since a user has no reference to take thresholds from: Otsu's method with two
thresholds (IEEE Transactions on Systems, Man, and Cybernetics 9:62-66, 1979) splits the intensities of the foreground
into the three classes that differ least within. The foreground is that of the reference, the same for all methods.

What is found hangs on this model of the classes: a mixture of Gaussians draws its limits elsewhere, and so finds other
volumes and other biases. On the demo's atlas, Otsu's classes are the nearer to the maps of grey and white matter that
others made of it (`tests/unit/test_tissue.py`).

Only where an image is known to show nothing but brain do the classes have the names of tissues. Of a whole head they
are what they are: dark, medium and bright voxels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu

from pipeline.config.volumes import TISSUE_ORDERS
from pipeline.image.image import MILLIMETRES, Image
from pipeline.image.intensity import robust_ends

logger = logging.getLogger(__name__)

UNNAMED = ("dark", "medium", "bright")
CLASSES = len(UNNAMED)
BINS = 1024
"""Of the histogram in which the thresholds are looked for."""
MICROLITRES = 1000
"""Cubic millimetres in a millilitre."""


@dataclass(frozen=True)
class TissueVolume:
    """One class of one image: its volume in the reference and in the estimate, in ml, and how far they overlap."""

    tissue: str
    reference_ml: float
    method_ml: float
    dice: float


def class_names(tissues: str | None) -> tuple[str, ...]:
    """Return the names of the classes from dark to bright; `tissues` as in the configuration of a volume."""
    return TISSUE_ORDERS[tissues] if tissues else UNNAMED


def measurable(image: Image) -> bool:
    """Return whether volumes of tissue can be measured: in a head or brain whose voxels have a known size."""
    return image.is_anatomical and image.unit in MILLIMETRES


def segment(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the class of every voxel, 0 (dark) to 2 (bright).

    Args:
        values: intensities of the foreground, shape (n,).

    Returns:
        Shape (n,); all are 0 where there are fewer than three different intensities.
    """
    try:
        thresholds = class_thresholds(values)
    except ValueError:
        logger.warning("fewer than three different intensities: all voxels are of one class")
        return np.zeros(values.shape, dtype=np.intp)
    return np.digitize(values, thresholds)


def class_thresholds(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the two thresholds between the classes; arguments as in `segment`.

    Values beyond the range of the intensities are limited to it, since single ones would stretch the histogram.

    Raises:
        ValueError: there are fewer than three different intensities.
    """
    return threshold_multiotsu(np.clip(values, *robust_ends(values)), CLASSES, nbins=BINS)


def tissue_volumes(
    reference: Image, estimate: NDArray[np.floating], reference_classes: NDArray[np.intp], names: tuple[str, ...]
) -> list[TissueVolume]:
    """Compare the classes of an estimate with those of the reference.

    Args:
        reference: extracted volume; its mask "foreground" is where both are segmented.
        estimate: normalised intensities of the same shape.
        reference_classes: what `segment` gives for the foreground of the reference.
        names: of the classes, from dark to bright.

    Returns:
        One row a class. Dice (Ecology 26:297-302, 1945) is NaN where both are empty.
    """
    voxel_ml = math.prod(MILLIMETRES[reference.unit] * length for length in reference.spacing) / MICROLITRES
    found = segment(estimate[reference.masks["foreground"]])
    return [
        TissueVolume(
            name,
            voxel_ml * float(np.count_nonzero(reference_classes == kind)),
            voxel_ml * float(np.count_nonzero(found == kind)),
            dice(reference_classes == kind, found == kind),
        )
        for kind, name in enumerate(names)
    ]


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return twice the common voxels over the voxels of both, from 0 to 1; NaN where both are empty."""
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / total if total else math.nan


def foreground_classes(reference: Image) -> NDArray[np.intp]:
    """Return the classes of the reference's own foreground."""
    return segment(reference.data[reference.masks["foreground"]])


def identity(reference: Image) -> Mapping[str, str]:
    """Return what names a volume in the tables."""
    return {"volume": reference.id, "subject": reference.identity.subject, "split": reference.identity.split}
