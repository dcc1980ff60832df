"""Volumes of three tissue classes, as a user would measure them in a restored image and in the reference.

Each image is segmented separately, since a user has no reference to take thresholds from: Otsu's method with two
thresholds (IEEE Transactions on Systems, Man, and Cybernetics 9:62-66, 1979) divides the foreground intensities into
the three classes with the least variance within classes. The foreground is that of the reference for all methods.

The volumes depend on this model of the classes: a mixture of Gaussians has other thresholds, and therefore other
volumes and biases. On the demo's atlas, Otsu's classes are closer to published maps of grey and white matter
(`tests/unit/test_tissue.py`).

The classes are named after tissues only if the image contains nothing but brain. In a whole head they are dark, medium
and bright voxels.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu

from pipeline.config.volumes import TISSUE_ORDERS
from pipeline.image.image import Image
from pipeline.image.intensity import robust_ends
from pipeline.image.lengths import MILLIMETRES
from pipeline.statistics.bland_altman import bland_altman
from pipeline.tables.tissue import TISSUE, TissueVolume
from pipeline.tables.tissue_agreement import TissueAgreement

logger = logging.getLogger(__name__)

UNNAMED = ("dark", "medium", "bright")
CLASSES = len(UNNAMED)
BINS = 1024
"""Number of bins of the histogram."""
MICROLITRES = 1000
"""Cubic millimetres in a millilitre."""


def class_names(tissues: str | None) -> tuple[str, ...]:
    """Return the names of the classes from dark to bright; `tissues` is the key of a volume's configuration."""
    return TISSUE_ORDERS[tissues] if tissues else UNNAMED


def measurable(image: Image) -> bool:
    """Return whether tissue volumes are defined: for heads and brains with a known voxel size."""
    return image.is_anatomical and image.unit in MILLIMETRES


def segment(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the class of every voxel, 0 (dark) to 2 (bright).

    Args:
        values: intensities of the foreground, shape (n,).

    Returns:
        Shape (n,); all 0 if there are fewer than three different intensities.
    """
    try:
        thresholds = class_thresholds(values)
    except ValueError:
        logger.warning("fewer than three different intensities: all voxels are in one class")
        return np.zeros(values.shape, dtype=np.intp)
    return np.digitize(values, thresholds)


def class_thresholds(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the two thresholds between the classes; arguments as in `segment`.

    Outliers are clipped, since single voxels would stretch the histogram.

    Raises:
        ValueError: there are fewer than three different intensities.
    """
    return threshold_multiotsu(np.clip(values, *robust_ends(values)), CLASSES, nbins=BINS)


def reference_classes(reference: Image) -> NDArray[np.intp]:
    """Return the classes of the foreground voxels of the reference."""
    return segment(reference.data[reference.masks["foreground"]])


def tissue_volumes(
    reference: Image, method: str, estimate: NDArray[np.floating], classes: NDArray[np.intp], names: tuple[str, ...]
) -> list[TissueVolume]:
    """Compare the tissue classes of a restored volume with those of the reference.

    Args:
        reference: extracted volume; both are segmented within its mask "foreground".
        method: name of the method.
        estimate: restored volume, normalised, of the same shape.
        classes: see `reference_classes`.
        names: names of the classes, from dark to bright.

    Returns:
        One row per class. Dice (Ecology 26:297-302, 1945) is NaN where both are empty.
    """
    voxel_ml = math.prod(MILLIMETRES[reference.unit] * length for length in reference.spacing) / MICROLITRES
    found = segment(estimate[reference.masks["foreground"]])
    volume = (reference.id, reference.identity.subject, reference.identity.split)
    rows = []
    for kind, name in enumerate(names):
        expected, segmented = classes == kind, found == kind
        expected_ml, segmented_ml = (voxel_ml * float(np.count_nonzero(mask)) for mask in (expected, segmented))
        overlap = dice(expected, segmented)
        rows.append(TissueVolume(*volume, method, name, expected_ml, segmented_ml, overlap))
    return rows


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks, from 0 to 1; NaN where both are empty."""
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / total if total else math.nan


def read_tissue(paths: Sequence[Path]) -> pd.DataFrame:
    """Read tissue volumes of several files, sorted by volume and method; errors as `Table.read`."""
    keys = ["volume", "subject", "split", "method"]
    return TISSUE.read_all(paths).sort_values(keys, kind="stable", ignore_index=True)


def tissue_agreement(tissue: pd.DataFrame, confidence: float) -> list[TissueAgreement]:
    """Compute bias and limits of agreement of every split, method and class.

    Volumes of one subject are not independent: they enter by the mean of their differences.

    Args:
        tissue: see `read_tissue`.
        confidence: coverage of the confidence interval of the bias.
    """
    keys = ["split", "method", "tissue"]
    differences = tissue.assign(difference=tissue["method_ml"] - tissue["reference_ml"])
    by_subject: Any = differences.groupby([*keys, "subject"], sort=True)["difference"].mean()
    rows = []
    for key, values in by_subject.groupby(level=keys, sort=True):
        found = bland_altman(values.to_numpy(), confidence)
        split, method, name = key
        bias = (found.bias, found.bias_low, found.bias_high)
        rows.append(TissueAgreement(split, method, name, found.n, *bias, found.limit_low, found.limit_high))
    return rows
