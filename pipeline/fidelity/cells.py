"""Cells in fluorescence micrographs: which of them are found in a restored volume.

A fixed, simple detector, as a user would apply it: bright round spots of the size of a cell, found slice by slice as
maxima of the Laplacian of a Gaussian over scales (Lindeberg, International Journal of Computer Vision 30:79-116, 1998;
scikit-image's `blob_log`). It is applied with the same threshold to the reference and to every restored volume, and is
part of no loss. Cells are matched one to one, so that their distances have the smallest sum (Hungarian method), and
count as the same if these are at most the radius of a cell.

Where the forward model drops slices, only those that contribute nothing to the low-resolution image are compared: the
others are in the input. The cells of the reference are what the detector finds, not what people marked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.feature import blob_log

from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.statistics.best_baseline import compare_with_best_baseline
from pipeline.statistics.bland_altman import bland_altman
from pipeline.tables.cell_agreement import CellAgreement
from pipeline.tables.cells import CELLS, DetectedCells

CONTRAST = 0.2
"""Minimum contrast of a cell with its surroundings, as a fraction of the normalised range."""
SIZES = (0.7, 1.4)
"""Range of the diameters of cells, relative to the given one."""
SCALES = 4
"""Number of diameters that are tried in this range."""
MIN_PIXELS = 3
"""Minimum diameter of cells, in pixels."""

Floats = NDArray[np.float64]


def compared_slices(lr: LowResolutionImage) -> list[int]:
    """Return the slices of the reference in which cells are compared.

    They are the slices that do not contribute to the low-resolution volume; if all contribute, all of them.

    Args:
        lr: low-resolution volume with its forward model.
    """
    model = lr.forward_model
    return model.unseen_slices or list(range(model.hr_shape[model.slice_axis]))


def cell_positions(plane: NDArray[np.floating], pixel_um: Sequence[float], diameter_um: float) -> Floats:
    """Detect the cells in a slice.

    Args:
        plane: normalised intensities, shape (rows, columns).
        pixel_um: pixel size along both axes, in micrometres.
        diameter_um: diameter of a cell, in micrometres.

    Returns:
        Positions in micrometres, shape (cells, 2).

    Raises:
        UserError: cells are smaller than three pixels.
    """
    if diameter_um < MIN_PIXELS * max(pixel_um):
        raise UserError(
            f"cell_um: cells of {diameter_um:g} µm are smaller than {MIN_PIXELS} pixels of {max(pixel_um):g} µm."
        )
    # A disk is found at the scale of its radius divided by the square root of 2, a Gaussian blob of equal contrast with
    # half the contrast as response.
    sigmas = [diameter_um / (2 * math.sqrt(2)) / size for size in pixel_um]
    low, high = ([share * sigma for sigma in sigmas] for share in SIZES)
    # Its annotations allow a single integer, its documentation a number for every axis.
    limits: dict[str, Any] = {"min_sigma": low, "max_sigma": high}
    blobs = blob_log(np.asarray(plane, dtype=np.float64), **limits, num_sigma=SCALES, threshold=CONTRAST / 2)
    return np.asarray(blobs, dtype=np.float64)[:, :2] * np.asarray(pixel_um)


def count_matches(one: Floats, other: Floats, max_distance: float) -> int:
    """Return the number of pairs of an optimal one-to-one assignment that are at most `max_distance` apart.

    Args:
        one: positions, shape (n, 2).
        other: positions, shape (m, 2).
        max_distance: in the unit of the positions.
    """
    if not len(one) or not len(other):
        return 0
    # Distances beyond the maximum cost the same, so that they do not displace pairs that match.
    distances = cdist(one, other)
    beyond = 1e3 * max_distance
    rows, columns = linear_sum_assignment(np.where(distances <= max_distance, distances, beyond))
    return int(np.count_nonzero(distances[rows, columns] <= max_distance))


def cells_by_slice(image: Image, data: NDArray[np.floating], slices: Sequence[int], diameter_um: float) -> list[Floats]:
    """Detect the cells in slices of a volume.

    Args:
        image: extracted volume, for its grid.
        data: its intensities or those of a restoration, same shape.
        slices: indices of the slices.
        diameter_um: diameter of a cell, in micrometres.

    Raises:
        UserError: the voxel size is unknown, there are several channels, or cells are too small.
    """
    if image.spacing_mm is None:
        raise UserError("cell_um: the file does not contain the voxel size; set voxel_um.")
    if image.stack.channel_count > 1:
        raise UserError("cell_um: cells are detected in a single channel; select it with the key channel.")
    axis = image.slice_axis
    pixel_um = [1e3 * length for other, length in enumerate(image.spacing_mm) if other != axis]
    return [cell_positions(np.take(data, index, axis), pixel_um, diameter_um) for index in slices]


def cell_rows(
    reference: Image,
    method: str,
    slices: Sequence[int],
    expected: Sequence[Floats],
    found: Sequence[Floats],
    diameter_um: float,
) -> list[DetectedCells]:
    """Compare the cells of a restored volume with those of its reference; slices without a cell in it have no row.

    Args:
        reference: extracted volume.
        method: name of the method.
        slices: indices of the slices.
        expected: positions of the cells in the reference, by slice.
        found: positions of the cells in the restored volume, by slice.
        diameter_um: diameter of a cell, in micrometres.
    """
    whose = (reference.id, reference.identity.subject, reference.identity.split, method)
    rows = []
    for index, one, other in zip(slices, expected, found, strict=True):
        if len(one):
            matched = count_matches(one, other, diameter_um / 2)
            score = 2 * matched / (len(one) + len(other))
            rows.append(DetectedCells(*whose, index, len(one), len(other), matched, score))
    return rows


def cell_agreement(rows: Sequence[DetectedCells], baselines: Sequence[str], confidence: float) -> list[CellAgreement]:
    """Compute scores, intervals over slices, and paired differences from the best baseline, of every split and method.

    Neighbouring slices show the same cells, so that intervals over the slices of one volume are too narrow.

    Args:
        rows: see `cell_rows`.
        baselines: names of the baselines; the one with the highest mean F1 score on the same slices is compared.
        confidence: coverage of the intervals.
    """
    result = []
    table = CELLS.frame(rows)
    for one in compare_with_best_baseline(table, "slice", "f1", baselines, confidence, higher_is_better=True):
        score = bland_altman(one.values["f1"].to_numpy(), confidence)
        cells, found, matched = (int(one.values[column].sum()) for column in ("cells", "found", "matched"))
        precision = matched / found if found else math.nan
        result.append(
            CellAgreement(
                *(one.split, one.method, score.n, cells, found, precision, matched / cells),
                *(score.bias, score.bias_low, score.bias_high, one.baseline, *one.difference),
            )
        )
    return result
