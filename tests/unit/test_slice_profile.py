"""The profile of acquired slices: what files, sidecars and users state about thickness and gaps, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline.__main__ import main
from pipeline.config.bids.sidecars import forget_sidecars
from pipeline.config.sections import Extract
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.formats import dicom, nifti
from pipeline.formats.io.container import read_image
from pipeline.formats.io.extraction import read_block
from pipeline.formats.io.predictions import restored_image
from pipeline.image.image import Image
from pipeline.image.slice_profile import SliceProfile
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.resolved_profile import resolved_profile, with_thickness
from pipeline.steps.combine import sources_of
from tests.helpers import ras_affine, run_step, synthetic_head, volume_entry, write_nifti
from tests.image_files import dicom_slice, write_dicom, write_series

HEAD = synthetic_head((30, 32, 12)).astype(np.int16)
STEP_MM = 2.5
"""Distance of the slices of `write_series`."""


def volume(**changes: Any) -> Volume:
    return Volume.model_validate_json(json.dumps(volume_entry(**changes)))


def nifti_with_sidecar(folder: Path, spacing: tuple[float, float, float], **values: Any) -> Path:
    (folder / "scan.json").write_text(json.dumps(values))
    return write_nifti(folder / "scan.nii.gz", HEAD, ras_affine(spacing))


# DICOM series


@pytest.mark.parametrize(
    ("plane", "axis", "thickness_mm", "words"),
    [
        ("axial", 2, 2.0, "slices of 2 mm every 2.5 mm (gap of 0.5 mm)"),
        ("sagittal", 0, 3.0, "slices of 3 mm every 2.5 mm (overlap of 0.5 mm)"),
        ("coronal", 1, 2.5, "slices of 2.5 mm every 2.5 mm (contiguous)"),
    ],
)
def test_a_dicom_series_keeps_gaps_and_overlaps_through_extraction(
    plane: str, axis: int, thickness_mm: float, words: str, tmp_path: Path, caplog: Any
) -> None:
    # SpacingBetweenSlices contradicts the positions, which count.
    changes: dict[str, Any] = {"SliceThickness": thickness_mm, "SpacingBetweenSlices": 7.0}
    folder = write_series(tmp_path / "scan", HEAD, plane, **changes)
    caplog.set_level("INFO")
    image = read_block(folder, volume(), Extract(plane="auto"))
    assert image.slice_profile == SliceProfile(thickness_mm, "gaussian", "dicom", axis)
    assert image.slice_axis == axis and image.spacing[axis] == pytest.approx(STEP_MM)
    assert f"{words}, Gaussian profile, thickness from the DICOM header" in caplog.text
    # An enlargement within the slices leaves them as thick as they were; across them there are no such slices any more.
    for factors in ((2, 2, 2), tuple(1 if other == axis else 2 for other in range(3))):
        shape = tuple(int(size) * factor for size, factor in zip(image.data.shape, factors, strict=True))
        low = LowResolutionImage.of(image, ForwardModel(factors, shape))
        kept = restored_image(low, np.zeros(shape, np.float32)).slice_profile
        assert kept == (image.slice_profile if factors[axis] == 1 else None)


@pytest.mark.parametrize(
    ("thickness", "message"),
    [(None, ""), (0, ""), (-2, "is -2 mm, which is impossible"), (400, "is 400 mm, which is impossible")],
)
def test_an_impossible_thickness_of_dicom_is_unknown(
    thickness: float | None, message: str, tmp_path: Path, caplog: Any
) -> None:
    image = dicom.read(write_series(tmp_path / "scan", HEAD, SliceThickness=thickness))
    assert image.slice_profile is None
    assert ("SliceThickness" in caplog.text) == bool(message) and message in caplog.text


def test_a_thickness_that_varies_between_slices_is_unknown(tmp_path: Path, caplog: Any) -> None:
    for index in range(4):
        one = dicom_slice(HEAD[:, :, index].T, index, SliceThickness=2 if index else 3)
        write_dicom(tmp_path / "scan" / f"{index}.dcm", one)
    assert dicom.read(tmp_path / "scan").slice_profile is None
    assert "SliceThickness lies between 2 and 3 mm; it is treated as unknown" in caplog.text


# Sidecars


@pytest.mark.parametrize(
    ("spacing", "axis", "thickness_mm"),
    [((0.8, 0.8, 4.0), 2, 3.6), ((5.0, 1.0, 1.0), 0, 6.0), ((1.0, 1.0, 1.0), 2, 1.0)],
)
def test_the_thickness_is_read_from_a_sidecar(
    spacing: tuple[float, float, float], axis: int, thickness_mm: float, tmp_path: Path, caplog: Any
) -> None:
    values = {"SliceThickness": thickness_mm, "SpacingBetweenSlices": spacing[axis], "EchoTime": 0.1}
    image = nifti.read(nifti_with_sidecar(tmp_path, spacing, **values))
    assert image.slice_profile == SliceProfile(thickness_mm, "gaussian", "sidecar", axis)
    assert not caplog.text


def test_no_sidecar_and_one_without_a_thickness_state_nothing(tmp_path: Path) -> None:
    path = nifti_with_sidecar(tmp_path, (1, 1, 4), EchoTime=0.1, SpacingBetweenSlices=4.0)
    assert nifti.read(path).slice_profile is None
    (tmp_path / "scan.json").unlink()
    assert nifti.read(path).slice_profile is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"SliceThickness": 3.6, "SpacingBetweenSlices": 5.0}, "SpacingBetweenSlices is 5 mm, but the slices of the"),
        ({"SliceThickness": 12.0}, "SliceThickness is 12 mm, but the slices of the image lie 4 mm apart"),
    ],
)
def test_a_sidecar_that_contradicts_the_header_is_named(
    values: dict[str, float], message: str, tmp_path: Path, caplog: Any
) -> None:
    image = nifti.read(nifti_with_sidecar(tmp_path, (1, 1, 4), **values))
    assert message in caplog.text
    assert image.spacing[2] == 4 and image.slice_profile is not None


@pytest.mark.parametrize("value", [-3, 0, 60, "3 mm", True, [3], float("nan")])
@pytest.mark.parametrize("key", ["SliceThickness", "SpacingBetweenSlices"])
def test_nonsense_in_a_sidecar_is_one_message(key: str, value: Any, tmp_path: Path) -> None:
    path = nifti_with_sidecar(tmp_path, (1, 1, 4), **{"SliceThickness": 3.0, key: value})
    with pytest.raises(UserError, match=rf"scan\.json: {key} is .*; it must be a number of millimetres above 0"):
        nifti.read(path)


def test_sidecars_of_a_data_set_are_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer one takes precedence, key by key; other contrasts and folders above the data set do not count."""
    anat = tmp_path / "ds/sub-01/anat"
    anat.mkdir(parents=True)
    path = write_nifti(anat / "sub-01_run-1_T1w.nii.gz", HEAD, ras_affine((1, 1, 4)))
    files = {
        "T1w.json": {"SliceThickness": 9},
        "ds/dataset_description.json": {"Name": "a"},
        "ds/T1w.json": {"SliceThickness": 3, "SpacingBetweenSlices": 4},
        "ds/T2w.json": {"SliceThickness": 7},
        "ds/sub-01/sub-01_T1w.json": {"SliceThickness": 3.5},
        "ds/sub-01/anat/sub-01_run-2_T1w.json": {"SliceThickness": 8},
        "ds/sub-01/anat/sub-01_run-1_T1w.json": {"EchoTime": 0.1},
    }
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values))
    expected = SliceProfile(3.5, "gaussian", "sidecar", 2)
    assert nifti.read(path).slice_profile == expected
    found = LocalSource(kind="local", path=str(path)).thickness_sidecars
    assert [Path(one).name for one in found] == ["T1w.json", "sub-01_T1w.json", "sub-01_run-1_T1w.json"]
    source = list(sources_of([path, *map(Path, found), path], [None, 2.0]))
    assert [one.sidecars for one in source] == [tuple(found), ()]
    monkeypatch.chdir(anat)
    assert nifti.read(Path(path.name)).slice_profile == expected
    (tmp_path / "ds/dataset_description.json").unlink()
    forget_sidecars()
    assert nifti.read(path).slice_profile is None


def test_slices_farther_apart_than_any_protocol_are_one_message(tmp_path: Path) -> None:
    image = nifti.read(write_nifti(tmp_path / "scan.nii", HEAD, ras_affine((1000, 1000, 4000))))
    with pytest.raises(UserError, match=r"slices are 4000 mm thick; at most 50 mm are plausible"):
        resolved_profile(image, None, "scan.nii")


def test_the_workflow_reads_the_sidecar_of_the_source(tmp_path: Path) -> None:
    """The step reads a copy of the image, beside which there is no sidecar."""
    path = nifti_with_sidecar(tmp_path, (1, 1, 4), SliceThickness=3.5)
    source = LocalSource(kind="local", path=str(path))
    assert source.thickness_sidecars == [str(tmp_path / "scan.json")]
    copy, output = tmp_path / "copy.nii.gz", tmp_path / "out.safetensors"
    copy.write_bytes(path.read_bytes())
    entry = json.dumps(volume_entry())
    arguments = ("--input", copy, "--output", output, "--volume", entry, "--sidecars", tmp_path / "scan.json")
    result = run_step("extract", *arguments)
    assert result.returncode == 0, result.stderr
    assert read_image(output).slice_profile == SliceProfile(3.5, "gaussian", "sidecar", 2)
    (tmp_path / "scan.json").unlink()
    assert source.thickness_sidecars == []


# Given by the user


def test_a_given_thickness_wins_and_a_difference_is_logged(tmp_path: Path, caplog: Any) -> None:
    folder = write_series(tmp_path / "scan", HEAD, SliceThickness=2.0)
    image = read_block(folder, volume(thickness_mm=2.01), Extract())
    assert image.slice_profile == SliceProfile(2.01, "gaussian", "given", 2)
    assert "the file states" not in caplog.text
    image = read_block(folder, volume(thickness_mm=2.4), Extract())
    assert image.slice_profile == SliceProfile(2.4, "gaussian", "given", 2)
    assert "the given slice thickness of 2.4 mm is used, but the file states 2 mm (dicom)" in caplog.text


def test_apply_takes_a_thickness(tmp_path: Path, caplog: Any) -> None:
    torch.manual_seed(0)
    network = tmp_path / "generator.safetensors"
    save_generator(network, Generator(Shape.from_json({"blocks": 1, "features": 8, "growth": 4})))
    folder, output = write_series(tmp_path / "scan", HEAD, SliceThickness=2.0), tmp_path / "out.dicom.zip"
    caplog.set_level("INFO")
    arguments = ("apply", folder, "--model", network, "--output", output, "--thickness-mm", 2.4, "--no-uncertainty")
    assert main([*map(str, arguments), "--device", "cpu", "--force"]) == 0
    assert "the given slice thickness of 2.4 mm is used, but the file states 2 mm" in caplog.text
    assert "slices of 2.4 mm every 2.5 mm (gap of 0.1 mm)" in caplog.text
    # The network enlarges within the slices, which are as thick as the file states.
    assert dicom.read(output).slice_profile == SliceProfile(2.0, "gaussian", "dicom", 2)


@pytest.mark.parametrize("value", [0, -1, 51, "thin"])
def test_an_impossible_thickness_is_refused_by_the_configuration(value: Any) -> None:
    with pytest.raises(ValidationError, match="thickness_mm"):
        volume(thickness_mm=value)


def test_stacks_of_pictures_and_pixels_have_no_thickness() -> None:
    with pytest.raises(ValidationError, match="thickness_mm applies to volumes, not to a stack of pictures"):
        volume(thickness_mm=3.0, shard=[0, 1])
    picture = Image(np.zeros((4, 4, 4)), np.eye(4), unit="pixel")
    with pytest.raises(UserError, match="has no voxel size in millimetres"):
        with_thickness(picture, 3.0, "a.png")
