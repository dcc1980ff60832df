"""Super-resolution of several scans as in NiftyMIC, written from its description.

Ebner et al., NeuroImage 206:116324, 2020: the image minimises

    1/2 sum over slices of ||A x - y||^2 + alpha/2 ||G x||^2      (first-order Tikhonov)

where A applies an oriented Gaussian point spread function at every voxel of a slice, and G are the differences of
neighbouring voxels. The variant replaces the squared gradient by its Huber function and keeps x above zero (L-BFGS-B).
The operator is a sparse matrix, computed here without the acquisition model of the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import lsmr

from pipeline.inference.combine.scan import Scan
from pipeline.physics.scan_operator import Grid

FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
IN_PLANE = 1.2
"""Full width at half maximum within the slices, in voxels (Kuklisova-Murgasova et al., Medical Image Analysis
16:1550-1564, 2012)."""
CUT = 3.0
"""Radius of the point spread function in standard deviations."""
CHUNK = 20_000
"""Voxels of a slice whose weights are computed at once."""
COMPLETE = 0.98
"""Voxels are used if at least this fraction of their point spread function lies in the grid of the image."""
ITERATIONS = 60
TIKHONOV_WEIGHT = 1.2
"""Weight of the squared differences, divided by the noise level; tuned on training persons with --tune."""
HUBER_WEIGHT, HUBER_GAMMA = 0.2, 0.05
"""Weight of the Huber function, divided by the noise level, and its threshold as a fraction of the range."""


class System(NamedTuple):
    """The linear system of all scans: one row for every measured voxel."""

    matrix: sparse.csr_matrix
    measured: NDArray[np.float32]
    shape: tuple[int, ...]


def system(scans: Sequence[Scan], grid: Grid, in_plane: float = IN_PLANE) -> System:
    """Return the system of scans with known motion, gain and slice profile.

    Args:
        scans: the scans.
        grid: grid of the image.
        in_plane: width of the point spread function within the slices, in voxels.
    """
    parts = [_rows(scan, grid, in_plane) for scan in scans]
    matrix = sparse.vstack([matrix for matrix, _ in parts], format="csr")
    return System(matrix, np.concatenate([values for _, values in parts]), grid.shape)


def tikhonov(equations: System, alpha: float, start: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the solution of first-order Tikhonov regularisation by LSMR.

    Args:
        equations: see `system`.
        alpha: weight of the squared differences.
        start: first estimate.
    """
    differences = np.sqrt(alpha) * gradient(equations.shape)
    matrix = sparse.vstack([equations.matrix, differences], format="csr").astype(np.float32)
    target = np.concatenate([equations.measured, np.zeros(differences.shape[0], np.float32)])
    with np.errstate(over="ignore"):  # estimates of the condition number, in float32
        found = lsmr(matrix, target, maxiter=ITERATIONS, atol=1e-4, btol=1e-4, x0=start.ravel())[0]
    return found.reshape(equations.shape).astype(np.float32)


def huber(equations: System, alpha: float, gamma: float, start: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the solution with the Huber function of the gradient's length as penalty, by L-BFGS-B.

    Args:
        equations: see `system`.
        alpha: weight of the penalty alpha * h(|G x|), with h(t) = t^2 / (2 gamma) below gamma and t - gamma / 2 above.
        gamma: length of the gradient from which the penalty is linear.
        start: first estimate.
    """
    matrix, differences = equations.matrix, gradient(equations.shape)
    transposed, back = matrix.T.tocsr(), differences.T.tocsr()

    def cost(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        error = matrix @ flat.astype(np.float32) - equations.measured
        slopes = (differences @ flat).reshape(3, -1)
        length = np.sqrt(np.square(slopes).sum(axis=0))
        penalty = np.where(length < gamma, length**2 / (2 * gamma), length - gamma / 2)
        flow = slopes / np.maximum(length, gamma)
        value = 0.5 * float(np.sum(np.square(error), dtype=np.float64)) + alpha * float(penalty.sum())
        return value, (transposed @ error).astype(np.float64) + alpha * (back @ flow.ravel())

    first = np.maximum(start.ravel(), 0).astype(np.float64)
    bounds = [(0, None)] * first.size
    options = {"maxiter": ITERATIONS, "maxcor": 6}
    found = minimize(cost, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x.reshape(equations.shape).astype(np.float32)


def gradient(shape: Sequence[int]) -> sparse.csr_matrix:
    """Return the differences of neighbouring voxels along every axis, zero at the far end, axis after axis."""
    parts = []
    for axis in range(len(shape)):
        line = sparse.diags([-np.ones(shape[axis]), np.ones(shape[axis] - 1)], [0, 1], format="lil")
        line[-1, -1] = 0
        before, after = (sparse.identity(int(np.prod(sizes))) for sizes in (shape[:axis], shape[axis + 1 :]))
        parts.append(sparse.kron(sparse.kron(before, line), after))
    return sparse.vstack(parts, format="csr").astype(np.float32)


def _rows(scan: Scan, grid: Grid, in_plane: float) -> tuple[sparse.csr_matrix, NDArray[np.float32]]:
    """Return the rows of one scan, and the measured intensities in units of the first scan."""
    axis = scan.image.slice_axis
    widths = np.array([in_plane * length for length in scan.image.spacing])
    widths[axis] = scan.profile.thickness_mm
    sigmas = widths / FWHM_PER_SIGMA
    directions = scan.image.affine[:3, :3] / np.array(scan.image.spacing)
    # From millimetres along the axes of the output grid to standard deviations along the axes of the scan.
    scaled = (directions.T @ scan.motion.rotation() @ grid.affine[:3, :3]) / sigmas[:, None]
    reach = np.ceil(CUT * np.linalg.norm(np.linalg.inv(scaled), axis=1)).astype(int) + 1
    box = np.stack(np.meshgrid(*(np.arange(-one, one + 1) for one in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    to_grid = np.linalg.inv(grid.affine) @ np.linalg.inv(scan.motion.matrix()) @ scan.image.affine
    indices = np.indices(scan.image.data.shape).reshape(3, -1).T
    places = indices @ to_grid[:3, :3].T + to_grid[:3, 3]
    near = np.all((places > -0.5) & (places < np.array(grid.shape) - 0.5), axis=1)  # noqa: PLR2004
    places, values = places[near], scan.matched().reshape(-1)[near]
    matrices, kept = [], []
    for start in range(0, len(places), CHUNK):
        matrix, complete = _weights(places[start : start + CHUNK], box, scaled, grid.shape)
        matrices.append(matrix[complete])
        kept.append(complete)
    return sparse.vstack(matrices, format="csr"), values[np.concatenate(kept)]


def _weights(
    places: NDArray[np.float64], box: NDArray[np.intp], scaled: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
    """Return normalised weights of the voxels around some places, and which places have all of them in the grid."""
    nearest = np.round(places).astype(int)
    steps = (box[None] + (nearest - places)[:, None]).astype(np.float32) @ scaled.T.astype(np.float32)
    squares = np.square(steps).sum(axis=-1)
    weights = np.where(squares <= CUT**2, np.exp(-squares / 2), 0)
    rows, columns = np.nonzero(weights)
    voxels = nearest[rows] + box[columns]
    inside = np.all((voxels >= 0) & (voxels < shape), axis=1)
    found = weights[rows, columns]
    share = np.bincount(rows[inside], found[inside], len(places)) / weights.sum(axis=1)
    flat = np.ravel_multi_index(tuple(voxels[inside].T), shape)
    values = found[inside] / (weights.sum(axis=1) * share)[rows[inside]]
    size = (len(places), int(np.prod(shape)))
    return sparse.csr_matrix((values.astype(np.float32), (rows[inside], flat)), size), share >= COMPLETE
