"""Three stacks of thick slices of one small synthetic head, in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.image.rigid import Rigid
from pipeline.inference.combine.combine import Combined, mean_of
from pipeline.inference.combine.grid import isotropic_grid
from pipeline.inference.combine.reading import Source, read_scans

SIDE = 48
"""Voxels of 1 mm along each axis of the head."""
THICK = 4
"""Slice distance and thickness of a stack, in mm."""
PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}


def synthetic_head(seed: int = 0) -> NDArray[np.float64]:
    """Return an ellipsoid with detail of all sizes, intensities from 0 to about 1."""
    random = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 3, indexing="ij"))
    inside = np.sum((places / np.array([0.75, 0.85, 0.8])[:, None, None, None]) ** 2, axis=0) < 1
    detail = sum(
        ndimage.gaussian_filter(random.standard_normal((SIDE,) * 3), width) * width**1.5 for width in (1.0, 2.0, 4.0)
    )
    return ndimage.gaussian_filter(np.where(inside, 0.55 + 0.22 * np.tanh(2 * detail), 0.0), 0.6)


def write_stacks(folder: Path, *, noise: float = 0.01, names: dict[str, str] | None = None) -> list[Path]:
    """Write an axial, a coronal and a sagittal stack, and return their paths.

    Args:
        folder: existing folder.
        noise: standard deviation of the Rician noise.
        names: file name by plane; by default axial.nii.gz and so on.
    """
    head, random = synthetic_head(), np.random.default_rng(1)
    paths = []
    for plane, axis in PLANES.items():
        # A Gaussian of 4 mm full width at half maximum, at the centres of the slices.
        blurred = ndimage.gaussian_filter1d(head, THICK / 2.3548, axis=axis)
        thick = blurred.reshape(
            [n for other in range(3) for n in ((SIDE // THICK, THICK) if other == axis else (SIDE,))]
        )
        middle = thick.take([THICK // 2 - 1, THICK // 2], axis=axis + 1).mean(axis=axis + 1)
        noisy = np.abs(
            middle + noise * (random.standard_normal(middle.shape) + 1j * random.standard_normal(middle.shape))
        )
        spacing = np.ones(4)
        spacing[axis] = THICK
        affine = np.diag(spacing)
        affine[axis, 3] = (THICK - 1) / 2
        path = folder / (names or {}).get(plane, f"{plane}.nii.gz")
        nibabel.Nifti1Image((1000 * noisy).astype(np.float32), affine).to_filename(path)
        paths.append(path)
    return paths


def combined_stacks(paths: Sequence[Path]) -> Combined:
    """Return three stacks with the true head as their volume, without reconstructing it.

    A slice of the second stack is left out and another one weakened; the third is moved a little.
    """
    first, second, third = read_scans([Source(path) for path in paths], move=False)
    weights = np.ones(second.slice_weights.size)
    weights[5], weights[6] = 0, 0.5
    moved = third.moved(Rigid.from_vector([0, 0.06, 0, 0, 0, 0.05]))
    scans = (first, replace(second, slice_weights=weights), moved)
    grid = isotropic_grid(first.image, 1.0)
    volume = np.asarray(first.image.intensity.normalise(1000 * synthetic_head()), dtype=np.float32)
    mean = mean_of(scans, grid)
    return Combined(grid, scans, volume, mean, np.abs(volume - mean))
