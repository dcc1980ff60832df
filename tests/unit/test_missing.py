"""NaN marks the background, as SPM and FSL write it: it stays NaN, and is refused inside the head."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.sections import Degrade, Extract, Infer
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import map_image, read_image, write_image
from pipeline.formats.io.extraction import read_block
from pipeline.formats.io.predictions import read_prediction, write_prediction
from pipeline.image.missing_values import coarse_missing, fine_missing
from pipeline.image.normalisation import normalise
from pipeline.inference.restore_file import restore_file
from pipeline.models.weights import save_generator
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.low_resolution import LowResolutionImage
from tests.helpers import described, synthetic_head, write_nifti
from tests.small_training import tiny_generator

SHAPE = (32, 36, 6)
SETTINGS = Infer(force=True, noise_sigma=0.01, threads=1, backend="torch")


@pytest.fixture(scope="module")
def brain() -> NDArray[np.float32]:
    """A brain with NaN around it."""
    head = synthetic_head(SHAPE)
    return np.where(head > 100, head, np.nan).astype(np.float32)


@pytest.mark.parametrize("foreground", ["head", "all"])
def test_apply_writes_nan_where_the_image_is_nan(tmp_path: Path, brain: NDArray, foreground: str) -> None:
    save_generator(tmp_path / "generator.safetensors", tiny_generator(factor=2))
    source, output = write_nifti(tmp_path / "in.nii.gz", brain), tmp_path / "out.nii.gz"
    extraction = Extract.model_validate({"foreground": foreground})
    restore_file(
        tmp_path / "generator.safetensors", source, output, Part(), extraction, SETTINGS, "cpu", uncertainty=True
    )
    result = np.asarray(nib.load(output).dataobj)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    expected = np.isnan(brain).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(np.isnan(result), expected)
    errors = np.asarray(nib.load(tmp_path / "out.uncertainty.nii.gz").dataobj)  # pyright: ignore
    np.testing.assert_array_equal(np.isnan(errors), expected)


def test_nan_background_changes_nothing_but_itself(tmp_path: Path, brain: NDArray) -> None:
    """The same brain on a background of its lowest value gives the same result."""
    lowest = np.where(np.isnan(brain), np.nanmin(brain), brain)
    results = []
    for name, data in (("nan", brain), ("lowest", lowest)):
        image = normalise(
            format_of(write_nifti(tmp_path / f"{name}.nii", data)).read(tmp_path / f"{name}.nii"), Extract()
        )
        results.append(image)
    np.testing.assert_array_equal(results[0].data, results[1].data)
    assert results[0].intensity == results[1].intensity
    np.testing.assert_array_equal(results[0].masks["missing"], np.isnan(brain))
    assert not (results[0].masks["foreground"] & results[0].masks["missing"]).any()


def test_a_run_keeps_nan(tmp_path: Path, brain: NDArray) -> None:
    volume = Volume(id="one", subject="one", split="test", source="x")
    reference = read_block(write_nifti(tmp_path / "in.nii.gz", brain), volume, Extract())
    reference = described(reference, id="one")
    write_image(tmp_path / "hr.safetensors", reference)
    mapped = map_image(tmp_path / "hr.safetensors")
    low = degrade(mapped, forward_model(mapped, Degrade(factor=2, noise="gaussian", noise_sigma=0.01), 1))
    write_image(tmp_path / "lr.safetensors", low)
    low = read_image(tmp_path / "lr.safetensors", LowResolutionImage)
    assert np.isfinite(low.data).all()
    write_prediction(tmp_path / "sr.nii.gz", low, low.data.repeat(2, 0).repeat(2, 1))
    result = np.asarray(nib.load(tmp_path / "sr.nii.gz").dataobj)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    missing = np.isnan(brain)
    assert np.isnan(result).any() and not (np.isnan(result) & ~missing).any()
    again = read_prediction(tmp_path / "sr.nii.gz", reference)
    assert np.isfinite(again).all()


@pytest.mark.parametrize(
    "where", [(slice(15, 17), slice(15, 17), slice(2, 4)), (slice(15, 17), slice(15, 17), slice(None))]
)
def test_nan_inside_the_head_is_refused(tmp_path: Path, where: tuple[slice, ...]) -> None:
    head = synthetic_head(SHAPE).astype(np.float32)
    head[where] = np.nan
    image = format_of(write_nifti(tmp_path / "in.nii", head)).read(tmp_path / "in.nii")
    with pytest.raises(UserError, match=r"voxels inside the foreground are NaN, one of them at"):
        normalise(image, Extract())


def test_an_image_of_nan_alone_is_refused(tmp_path: Path) -> None:
    image = format_of(write_nifti(tmp_path / "in.nii", np.full(SHAPE, np.nan, np.float32))).read(tmp_path / "in.nii")
    with pytest.raises(UserError, match="every voxel is NaN"):
        normalise(image, Extract())


def test_cells_are_missing_where_all_their_voxels_are() -> None:
    missing = np.zeros((5, 4), dtype=bool)
    missing[:3, :2] = missing[4, 2:] = True
    coarse = coarse_missing(missing, (2, 2), (3, 2))
    np.testing.assert_array_equal(coarse, [[True, False], [False, False], [False, True]])
    np.testing.assert_array_equal(fine_missing(coarse, (2, 2), (5, 4))[[0, 1, 2, 4]], missing[[0, 1, 3, 4]])


def test_cells_of_real_factors_are_missing_where_all_voxels_that_they_cover_in_part_are() -> None:
    """With every voxel cut into two parts, a cell of factor 2.5 is five of them."""
    missing = np.random.default_rng(0).random((60, 3)) < 0.85
    padded = np.repeat(np.concatenate([missing, missing[-1:]]), 2, axis=0)
    coarse = coarse_missing(missing, (2.5, 1), (24, 3))
    np.testing.assert_array_equal(coarse, padded[:120].reshape(24, 5, 3).all(axis=1))
    fine = np.repeat(coarse, 5, axis=0).reshape(60, 2, 3).all(axis=1)
    np.testing.assert_array_equal(fine_missing(coarse, (2.5, 1), (60, 3)), fine)
    assert fine.any() and not (fine & ~missing).any()
