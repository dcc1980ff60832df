"""The plane of the slices: chosen from voxel sizes and orientations, and followed by what comes after."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipeline.config.sections import Degrade, Extract
from pipeline.formats import format_of
from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.image.plane import slicing_of
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.noise import none
from pipeline.provenance.record import Provenance, VolumeRecord
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.methods_text import describe_degradations, describe_extraction
from pipeline.training.patches import PatchSampler, TrainingVolume
from tests.helpers import described, extract, ras_affine, synthetic_head, write_nifti
from tests.image_files import write_series
from tests.provenance import provenance, volume_record
from tests.small_training import tiny_recipe

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
THICK = (20, 64, 64)
"""Sagittal slices, 5 mm thick."""


def oriented(data: np.ndarray, spacing: tuple[float, ...], code: str) -> tuple[np.ndarray, np.ndarray]:
    """Store a RAS array with voxels of some size as a file does whose axes run to R, A, S, L, P or I."""
    image = nib.Nifti1Image(data, ras_affine(spacing))
    turn: Any = nib.orientations.ornt_transform(*map(nib.orientations.axcodes2ornt, ("RAS", code)))
    turned: Any = image.as_reoriented(turn)
    return np.asarray(turned.dataobj), turned.affine


@pytest.mark.parametrize("code", ["RAS", "LIA", "PSR", "ILP"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
@pytest.mark.parametrize(
    ("spacing", "plane"),
    [
        ((5.0, 1.0, 1.0), "sagittal"),
        ((1.0, 6.0, 0.9), "coronal"),
        ((0.5, 0.5, 3.0), "axial"),
        ((1.5, 1.0, 1.0), "sagittal"),
        ((1.4, 1.0, 1.0), "axial"),
        ((1.0, 1.0, 1.0), "axial"),
        ((2.0, 2.0, 1.0), "axial"),  # two axes are coarse: neither of them holds the slices
        ((0.4, 0.55, 0.9), "axial"),
        ((0.9, 0.4, 0.55), "sagittal"),
        ((0.9, 0.4, 0.7), "axial"),
    ],
)
def test_the_slices_of_a_file_lie_across_its_coarse_axis(tmp_path, spacing, plane, code, suffix):
    data, affine = oriented(np.ones((4, 5, 6), dtype=np.float32), spacing, code)
    path = tmp_path / f"a{suffix}"
    kind: Any = nib.Nifti1Image if suffix == ".nii.gz" else nib.MGHImage
    nib.save(kind(data, affine), path)
    found = slicing_of(format_of(path).read(path))
    assert (found.plane, found.axis) == (plane, AXES[plane])


@pytest.mark.parametrize(
    ("acquired", "spacing", "plane"),
    [
        ("sagittal", [2.0, 2.0], "sagittal"),  # slices are 2.5 mm apart: the voxels do not tell
        ("coronal", [2.0, 2.0], "coronal"),
        ("axial", [2.0, 2.0], "axial"),
        ("upside down", [2.0, 2.0], "axial"),
        ("oblique", [2.0, 2.0], "axial"),
        ("sagittal", [0.75, 0.5], "sagittal"),
        ("axial", [4.0, 1.0], "coronal"),  # the voxels come before the stack
    ],
)
def test_a_dicom_series_has_the_slices_that_were_stacked(tmp_path, acquired, spacing, plane):
    data = np.arange(5 * 6 * 4, dtype=np.uint16).reshape(5, 6, 4)
    folder = write_series(tmp_path / "scan", data, acquired, PixelSpacing=spacing)
    found = slicing_of(format_of(folder).read(folder))
    assert (found.plane, found.axis) == (plane, AXES[plane])


@pytest.mark.parametrize(("plane", "axis"), AXES.items())
def test_one_slice_is_the_plane_it_shows(plane, axis):
    shape = np.full(3, 8)
    shape[axis] = 1
    found = slicing_of(Image(np.ones(shape), ras_affine((1.0, 1.0, 3.0))))
    assert (found.plane, found.axis) == (plane, axis)


def test_one_dicom_slice_is_the_plane_it_shows(tmp_path):
    data = np.arange(30, dtype=np.uint16).reshape(5, 6, 1)
    folder = write_series(tmp_path / "scan", data, "coronal", PixelSpacing=[2.0, 2.0])
    assert slicing_of(format_of(folder).read(folder)).plane == "coronal"


def test_what_is_asked_for_is_done_but_for_volumes_of_a_run(tmp_path, caplog):
    path = write_nifti(tmp_path / "a.nii.gz", synthetic_head(THICK), ras_affine((5.0, 1.0, 1.0)))
    caplog.set_level("INFO")
    image = format_of(path).read(path)
    block = normalise(image, Extract(plane="coronal"))
    block = described(block, id="a")
    assert (block.plane, block.slice_axis) == ("coronal", 1)
    # The slicing of a low-resolution volume is that of its reference, whatever its voxels and the settings say.
    low = degrade(block, forward_model(block, Degrade(), 0))
    caplog.clear()
    assert slicing_of(low) == slicing_of(low, "axial") == block.slicing


def test_the_choice_is_logged_once_and_recorded(tmp_path, caplog):
    path = write_nifti(tmp_path / "a.nii.gz", synthetic_head(THICK), ras_affine((5.0, 1.0, 1.0)))
    caplog.set_level("INFO")
    extract(path, tmp_path / "a.safetensors", slices=[4, 12])
    told = [record.getMessage() for record in caplog.records if "slices: sagittal, since" in record.getMessage()]
    assert len(told) == 1 and "5 x 1 x 1 mm" in told[0]
    slicing = read_image(tmp_path / "a.safetensors").slicing
    assert slicing and slicing.reason == "voxels are at least 1.5 times longer across these slices"


@pytest.mark.parametrize(("direction", "factors"), [("in_plane", (1, 2, 2)), ("through_plane", (2, 1, 1))])
def test_blocks_and_degradation_follow_the_plane(tmp_path, direction, factors):
    head = synthetic_head(THICK)
    path = write_nifti(tmp_path / "a.nii.gz", head, ras_affine((5.0, 1.0, 1.0)))
    extract(path, tmp_path / "a.safetensors", slices=[4, 12])
    image = read_image(tmp_path / "a.safetensors")
    assert image.data.shape == (8, 64, 64)
    assert np.corrcoef(image.data.ravel(), head[4:12].ravel())[0, 1] == pytest.approx(1)
    np.testing.assert_allclose(image.affine[:3, 3], ras_affine((5.0, 1.0, 1.0))[:3, 3] + [20, 0, 0])
    model = forward_model(image, Degrade(direction=direction, factor=2), 0)
    assert model.factors == factors
    assert degrade(image, model).data.shape == tuple(np.array([8, 64, 64]) // factors)


def test_one_training_takes_volumes_of_different_planes(tmp_path):
    """Each patch is a slice of its own volume, and agrees with the operator that stands beside it."""
    volumes = []
    for shape, spacing in ((THICK, (5.0, 1.0, 1.0)), ((64, 64, 20), (1.0, 1.0, 5.0))):
        path = write_nifti(tmp_path / "a.nii.gz", synthetic_head(shape), ras_affine(spacing))
        extract(path, tmp_path / "a.safetensors")
        image = read_image(tmp_path / "a.safetensors")
        model = forward_model(image, Degrade(noise="none"), 0)
        mask, slices = image.masks["foreground"], tuple(image.block.foreground_slices)
        volumes.append(TrainingVolume(image.data, mask, image.slice_axis, slices, model))
    assert [volume.slice_axis for volume in volumes] == [0, 2]
    assert volumes[0].model.noise_settings == none.Parameters()
    plain = {"noise_sigma_range": (0.0, 0.0), "contrast_augmentation": 0.0}
    batch = PatchSampler(volumes, tiny_recipe(**plain, batch_size=12), seed=3).batch(0)
    (rows, columns) = batch.operator[0]
    again = rows @ batch.reference @ np.swapaxes(columns, -1, -2)
    inside = (..., slice(2, -2), slice(2, -2))  # at the rim, the volume is seen by the patch alone
    assert np.abs(again - batch.measured)[inside].mean() < 0.05 * batch.measured.std()


def record_of(*volumes: VolumeRecord) -> Provenance:
    return provenance({"extract": {"plane": "auto"}}, volumes=volumes)


def test_pages_say_which_planes_there_are_and_why():
    thick = volume_record(id="a", plane="sagittal", plane_reason="voxels are longer")
    even = volume_record(id="b", plane="axial", plane_reason="none is")
    one = record_of(thick)
    assert "Slices are sagittal, since voxels are longer." in describe_extraction(one, Bibliography()).text
    assert "Sagittal slices with at least" in describe_extraction(one, Bibliography()).text
    assert "both axes of the sagittal plane" in describe_degradations(one, Bibliography()).text
    both = record_of(thick, even)
    text = describe_extraction(both, Bibliography()).text
    assert "Slices are sagittal in a, since voxels are longer; axial in b, since none is." in text
    assert "both in-plane axes of each volume" in describe_degradations(both, Bibliography()).text
    assert "auto" not in (text + describe_degradations(both, Bibliography()).text).lower()
