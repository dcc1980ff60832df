"""One scan with thick slices, restored by a baseline: grid, gain over interpolation, and mistakes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.__main__ import main
from pipeline.image.rigid import Rigid
from tests.helpers import load_nifti, write_nifti
from tests.unit.test_combine import FWHM_PER_SIGMA, folded_head
from tests.unit.test_registration import head_at

SHAPE, SPACING = (60, 60, 18), (0.9, 0.9, 4.1)
THICKNESS_MM = 4.1
FINE = (60, 60, 82)
"""18 slices of 4.1 mm are 82 voxels of 0.9 mm."""


def scan_affine() -> NDArray[np.float64]:
    """Return the affine of an oblique scan of the middle of the head."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -(np.array(SHAPE) - 1) / 2 * SPACING
    return Rigid((12, -8, 5)).matrix() @ affine


def values_at(affine: NDArray, index: NDArray) -> NDArray:
    """Return the intensities of the head at voxel indices, shape (x, y, z, 3)."""
    return folded_head(index @ affine[:3, :3].T + affine[:3, 3])


def thick_scan(path: Path) -> Path:
    """Write a scan with 1 % noise whose slices have a Gaussian profile."""
    affine, index = scan_affine(), np.moveaxis(np.indices(SHAPE), 0, -1).astype(float)
    offsets = np.linspace(-2.5, 2.5, 11)
    weights = np.exp(-(offsets**2) / 2)
    data = np.zeros(SHAPE)
    for offset, weight in zip(offsets * THICKNESS_MM / FWHM_PER_SIGMA / SPACING[2], weights, strict=True):
        data += weight / weights.sum() * values_at(affine, index + np.array([0, 0, offset]))
    noise = 10 * np.random.default_rng(0).standard_normal((2, *SHAPE))
    return write_nifti(path, np.hypot(data + noise[0], noise[1]).astype(np.float32), affine)


def smooth_scan(path: Path, difference: float) -> Path:
    """Write a scan that is smooth across its slices, with even slices that are brighter than odd ones."""
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    affine = scan_affine()
    clean = ndimage.gaussian_filter1d(700 * head_at(index @ affine[:3, :3].T + affine[:3, 3], 0), 1, axis=2)
    gains = 1 + difference / 2 * np.where(np.arange(SHAPE[2]) % 2, -1, 1)
    noise = 10 * np.random.default_rng(0).standard_normal((2, *SHAPE))
    return write_nifti(path, np.hypot(clean * gains + noise[0], noise[1]).astype(np.float32), affine)


def corners(image: Any) -> NDArray[np.float64]:
    """Return the outer corners of the field of view in mm."""
    ends = itertools.product(*([-0.5, size - 0.5] for size in image.shape))
    return np.array([(image.affine @ [*end, 1])[:3] for end in ends])


def test_a_factor_that_is_no_integer_keeps_the_field_of_view_and_is_better_than_interpolation(tmp_path):
    scan, output = thick_scan(tmp_path / "scan.nii.gz"), tmp_path / "sr.nii.gz"
    arguments = ["apply", str(scan), "--model", "total_variation", "--thickness-mm", str(THICKNESS_MM)]
    assert main([*arguments, "--output", str(output)]) == 0
    given, found = load_nifti(scan), load_nifti(output)
    assert found.shape == FINE
    assert found.header.get_zooms() == pytest.approx((0.9, 0.9, 0.9), abs=1e-5)
    assert corners(found) == pytest.approx(corners(given), abs=1e-3)
    reference = values_at(found.affine, np.moveaxis(np.indices(FINE), 0, -1).astype(float))
    zoom = np.array(SHAPE) / FINE
    data = given.get_fdata()
    spline = ndimage.affine_transform(data, zoom, (zoom - 1) / 2, FINE, order=3, mode="nearest")  # pyright: ignore[reportArgumentType]
    inner = tuple(slice(6, -6) for _ in FINE)
    errors = [np.sqrt(np.mean((one - reference)[inner] ** 2)) for one in (found.get_fdata(), spline)]
    assert errors[0] < 0.85 * errors[1], errors


def test_interleaved_slices_are_matched_before_they_become_stripes(tmp_path, caplog):
    results = []
    for name, difference in (("even", 0.0), ("striped", 0.06)):
        path, output = smooth_scan(tmp_path / f"{name}.nii.gz", difference), tmp_path / f"sr-{name}.nii.gz"
        arguments = ["apply", str(path), "--model", "total_variation", "--thickness-mm", str(THICKNESS_MM)]
        assert main([*arguments, "--output", str(output)]) == 0
        results.append(load_nifti(output).get_fdata())
    warnings = [record.getMessage() for record in caplog.records if "even and odd slices" in record.getMessage()]
    (size,) = re.findall(r"^striped.nii.gz: even and odd slices differ by ([\d.]+) %", "\n".join(warnings))
    assert float(size) == pytest.approx(6, abs=0.5)
    inside = results[0] > 300
    relative = (results[1] - results[0])[inside] / results[0][inside]
    assert np.sqrt(np.mean(relative**2)) < 0.01


@pytest.mark.parametrize(
    ("model", "spacing", "words"),
    [
        (
            "total_variation",
            (1.0, 1.0, 1.0),
            "scan.nii.gz: thick slices are restored to isotropic voxels, but its voxels of 1 x 1 x 1",
        ),
        ("total_variations", SPACING, "total_variations"),
    ],
)
def test_mistakes_are_one_message_and_nothing_is_written(tmp_path, capsys, model, spacing, words):
    data = values_at(np.diag([2.0, 2, 2, 1]), np.moveaxis(np.indices((24, 24, 24)), 0, -1) - 12.0)
    scan = write_nifti(tmp_path / "scan.nii.gz", data.astype(np.float32), np.diag([*spacing, 1.0]))
    assert main(["apply", str(scan), "--model", model, "--output", str(tmp_path / "sr.nii.gz")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert sorted(tmp_path.iterdir()) == [scan]
