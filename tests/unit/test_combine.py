"""Several scans of one head, combined into one volume."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel import affines
from PIL import Image as Picture
from scipy import ndimage

from pipeline.__main__ import main
from pipeline.config.combine import Combine
from pipeline.config.sections import Extract
from pipeline.fidelity.gate.scans import check_scans
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.image.rigid import IDENTITY, Rigid
from pipeline.image.slice_profile import SliceProfile
from pipeline.inference.combine import combine as combining
from pipeline.inference.combine.combine import Combined, combine
from pipeline.inference.combine.files import combine_files
from pipeline.inference.combine.grid import block_of, isotropic_grid
from pipeline.inference.combine.prediction import predicted
from pipeline.inference.combine.reading import Source
from pipeline.inference.combine.scan import Scan
from pipeline.models.weights import save_generator
from pipeline.physics.scan_operator import Grid, ScanOperator, slices_back, slices_first
from tests.image_files import dicom_slice, write_dicom
from tests.small_training import any_ratio_generator, tiny_generator
from tests.unit.test_registration import grid, head_at, scan

THICK = ((2.0, 2.0, 6.0), (2.0, 6.0, 2.0), (6.0, 2.0, 2.0))
"""Voxel sizes of three orthogonal stacks, in mm."""
MOTIONS = (IDENTITY, Rigid((2.0, -1.5, 1.0), (1.0, -2.0, 1.5)), Rigid((-1.0, 2.0, 2.5), (-1.5, 1.0, 2.0)))
"""Position of the head in the stacks: the world point y shows the point motion(y) of the head."""
GAINS = (1.0, 1.4, 0.7)


def load(path: Path) -> Any:
    """Return a NIfTI file."""
    return nib.load(path)


FWHM_PER_SIGMA = 2.3548


def folded_head(points: np.ndarray) -> np.ndarray:
    """Return the intensity of a synthetic head with folds every 12 to 14 mm, shape (...), at points in mm."""
    folds = np.prod(np.sin(2 * np.pi * points / (13.0, 14.0, 12.0)), axis=-1)
    return 700 * head_at(points, 0) * (1 + 0.5 * folds)


def stack(spacing: tuple[float, float, float], motion: Rigid, gain: float) -> Image:
    """Return a noisy stack whose slices average over their spacing."""
    affine, shape = grid(spacing)
    axis = int(np.argmax(spacing))
    data = np.zeros(shape)
    for part in (np.arange(6) - 2.5) / 6:
        index = np.moveaxis(np.indices(shape), 0, -1).astype(float)
        index[..., axis] += part
        data += folded_head(motion.apply(index @ affine[:3, :3].T + affine[:3, 3])) / 6
    noise = 14 * np.random.default_rng(axis).standard_normal((2, *shape))
    return Image(data=(gain * np.hypot(data + noise[0], noise[1])).astype(np.float32), affine=affine)


@cache
def stacks() -> tuple[Image, ...]:
    """Return three orthogonal stacks of one synthetic head, with slices of 6 mm."""
    return tuple(stack(*each) for each in zip(THICK, MOTIONS, GAINS, strict=True))


def as_scans(images: tuple[Image, ...], motions: tuple[Rigid, ...]) -> tuple[Scan, ...]:
    """Return stacks as scans with known motions from the first one."""
    return tuple(
        Scan(f"scan {number}", normalise(image, Extract()), SliceProfile(6.0, "rect"), 0.01, motion.inverse())
        for number, (image, motion) in enumerate(zip(images, motions, strict=True))
    )


@cache
def combined() -> Combined:
    """Return the stacks combined, starting from motions that are wrong by a degree and a millimetre."""
    wrong = Rigid((0.6, -0.5, 0.6), (0.6, 0.6, -0.5))
    scans = as_scans(stacks(), (IDENTITY, *(motion @ wrong for motion in MOTIONS[1:])))
    return combine(scans, isotropic_grid(scans[0].image, 2.0))


def reference() -> np.ndarray:
    """Return the head on the grid of the combined volume, normalised like the first stack."""
    found = combined()
    points = np.moveaxis(np.indices(found.grid.shape), 0, -1) @ found.grid.affine[:3, :3].T + found.grid.affine[:3, 3]
    return found.scans[0].image.intensity.normalise(folded_head(points).astype(np.float32))


def psnr(estimate: np.ndarray) -> float:
    inside = reference() > 0.2
    return float(-10 * np.log10(np.mean((estimate - reference())[inside] ** 2)))


@pytest.mark.parametrize("shape", ["gaussian", "rect"])
def test_the_operator_integrates_the_image_over_oblique_slices(shape):
    """Against the integral over the profile by 81 points along the normal of each slice."""
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 36, 32)), 2).astype(np.float32)
    output = Grid(image.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    turn = Rigid((12.0, -7.0, 20.0), (0.5, 1.0, -0.7), (20.0, 18.0, 16.0))
    affine = np.diag([1.0, 3.7, 1.0, 1.0])
    affine[:3, 3] = [9, 8, 7]
    thin = Grid((20, 5, 18), affine)
    operator = ScanOperator(output, thin, 1, SliceProfile(3.0, shape), turn.matrix())
    found = slices_back(operator.forward(torch.from_numpy(image)).numpy(), 1)
    offsets = np.linspace(-6, 6, 81)
    inside = np.abs(offsets) < 1.5
    weights = inside.astype(float) if shape == "rect" else np.exp(-((offsets / (3 / FWHM_PER_SIGMA)) ** 2) / 2)
    index = np.indices(thin.shape).astype(float)
    expected = np.zeros(thin.shape)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        moved = index.copy()
        moved[1] += offset / 3.7
        world = np.einsum("ij,j...->i...", thin.affine[:3, :3], moved) + thin.affine[:3, 3].reshape(3, 1, 1, 1)
        places = np.moveaxis(turn.inverse().apply(np.moveaxis(world, 0, -1)), -1, 0)
        expected += weight * ndimage.map_coordinates(image, places, order=1, mode="nearest")
    assert np.abs(found - expected).max() < 0.1 * image.std()


def test_the_adjoint_of_the_operator_and_its_constants():
    generator = torch.Generator().manual_seed(0)
    output = Grid((20, 22, 24), np.diag([1.2, 1.2, 1.2, 1.0]))
    thick = Grid((9, 10, 5), np.array([[2.0, 0, 0.5, 3], [0, 2, 0, 2], [-0.3, 0, 4, 4], [0, 0, 0, 1]]))
    operator = ScanOperator(output, thick, 2, SliceProfile(5.0), Rigid((5.0, 3.0, -4.0), (1.0, 0.0, 2.0)).matrix())
    image = torch.rand(output.shape, generator=generator)
    values = torch.rand(operator.forward(image).shape, generator=generator)
    left, right = torch.sum(operator.forward(image) * values), torch.sum(image * operator.adjoint(values))
    assert float(left) == pytest.approx(float(right), rel=1e-4)
    assert operator.forward(torch.ones(output.shape)).numpy() == pytest.approx(1, abs=1e-5)
    assert slices_first(np.zeros(thick.shape), 2).shape == tuple(values.shape)


def test_three_stacks_are_much_better_than_their_mean_and_their_motion_is_found():
    found = combined()
    assert psnr(found.volume) > psnr(found.mean) + 3
    for scan_, motion, gain in zip(found.scans, MOTIONS, GAINS, strict=True):
        error = scan_.motion @ motion
        assert error.about((0, 0, 0)).angle_degrees < 0.3
        assert error.about((0, 0, 0)).shift_mm < 0.3
        ranges = [float(np.ravel(one.image.intensity.scale)[0]) for one in (scan_, found.scans[0])]
        relative = scan_.gain * ranges[0] / ranges[1]
        assert relative == pytest.approx(gain, rel=0.02)
        assert scan_.slice_weights.min() == 1


def test_uncertainty_is_larger_where_errors_are_larger():
    found = combined()
    inside = reference() > 0.2
    error, spread = np.abs(found.volume - reference())[inside], found.spread[inside]
    low, high = np.quantile(spread, [0.25, 0.75])
    assert error[spread > high].mean() > 1.2 * error[spread < low].mean()


def test_the_gate_passes_the_result_and_finds_what_was_done_to_it():
    found = combined()
    assert not [check for scan_ in check_scans(found).all for check in scan_.failed]
    place = np.indices(found.grid.shape) - np.array([34, 28, 31]).reshape(3, 1, 1, 1)
    lesion = found.volume + 0.4 * (np.sum(place**2, axis=0) <= 4).astype(np.float32)
    cheats = {
        "local": lesion,
        "shift": ndimage.shift(found.volume, (0.5, 0, 0), order=3, mode="nearest"),
        "intensity": np.sign(found.volume) * np.abs(found.volume) ** 1.25,
    }
    for gate, volume in cheats.items():
        failed = {check.gate for scan_ in check_scans(found, volume).all for check in scan_.failed}
        assert gate in failed, gate


def test_all_scans_together_show_a_lesion_that_is_too_small_for_any_of_them():
    found = combined()
    place = np.indices(found.grid.shape) - np.array([34, 28, 31]).reshape(3, 1, 1, 1)
    gates = check_scans(found, found.volume + 0.23 * (np.sum(place**2, axis=0) <= 2).astype(np.float32))
    assert not [check for scan_ in gates.scans for check in scan_.failed]
    assert [check.gate for check in gates.together.failed] == ["local"]


def test_nothing_is_compared_near_the_faces_of_the_volume():
    found, scan_ = combined(), combined().scans[1]
    cut = block_of(found.grid, tuple(slice(size // 4, 3 * size // 4) for size in found.grid.shape))
    _, used = predicted(scan_, np.zeros(cut.shape), cut, 6.0)
    places = scan_.motion.inverse().apply(affines.apply_affine(scan_.image.affine, np.argwhere(used)))
    voxels = affines.apply_affine(np.linalg.inv(cut.affine), places)
    distances = np.minimum(voxels + 0.5, np.array(cut.shape) - 0.5 - voxels) * cut.spacing
    assert distances.min(axis=0) == pytest.approx(6, abs=1)
    assert distances.min() >= 6


def test_a_slice_that_contradicts_the_others_is_left_out():
    images = list(stacks())
    damaged = images[1].data.copy()
    damaged[:, 9] = damaged[:, 14]
    images[1] = images[1].with_data(damaged)
    scans = as_scans(tuple(images), MOTIONS)
    found = combine(scans, isotropic_grid(scans[0].image, 2.0))
    assert [np.flatnonzero(one.slice_weights == 0).tolist() for one in found.scans] == [[], [9], []]
    assert psnr(found.volume) > psnr(combined().volume) - 1


def saved(folder: Path, images: tuple[Image, ...]) -> list[Path]:
    """Write stacks as NIfTI files."""
    paths = [folder / f"{name}.nii.gz" for name in ("axial", "coronal", "sagittal")]
    for path, image in zip(paths, images, strict=False):
        data: Any = image.data.astype(np.int16)
        nib.save(nib.Nifti1Image(data, image.affine), path)
    return paths[: len(images)]


def test_the_command_writes_volume_map_and_record(tmp_path):
    paths = saved(tmp_path, stacks())
    output = tmp_path / "sr.nii.gz"
    assert main(["combine", *map(str, paths), "--output", str(output), "--thickness-mm", "6", "--no-report"]) == 0
    volume = load(output)
    assert volume.header.get_zooms() == pytest.approx((2, 2, 2))
    assert volume.get_data_dtype() == np.int16
    corners = [np.asarray(one.affine) @ [-0.5, -0.5, -0.5, 1] for one in (volume, load(paths[0]))]
    assert corners[0] == pytest.approx(corners[1], abs=1e-3)
    record = json.loads((tmp_path / "sr.json").read_text())
    assert [one["file"] for one in record["scans"]] == list(map(str, paths))
    assert [one["thickness_source"] for one in record["scans"]] == ["given"] * 3
    assert record["scans"][1]["motion"]["translation_mm"] != [0, 0, 0]
    assert all(gate["passed"] for one in record["scans"] for gate in one["gates"])
    spread = load(tmp_path / "sr.uncertainty.nii.gz")
    assert spread.shape == volume.shape
    assert not list(tmp_path.glob(".*"))


def test_a_network_as_prior_leaves_all_scans_measured(tmp_path, capsys):
    """The network has no effect, so that the prior is the mean of the scans, reconstructed line by line."""
    network = any_ratio_generator()
    for weight in network.network.conv_last.parameters():  # pyright: ignore[reportAttributeAccessIssue]
        torch.nn.init.zeros_(weight)
    save_generator(tmp_path / "any.safetensors", network)
    save_generator(tmp_path / "fixed.safetensors", tiny_generator())
    paths = saved(tmp_path, tuple(stack(spacing, IDENTITY, 1.0) for spacing in THICK))
    arguments = ["combine", *map(str, paths), "--thickness-mm", "6", "--no-report", "--no-motion", "--output"]
    assert main([*arguments, str(tmp_path / "plain.nii.gz")]) == 0
    assert main([*arguments, str(tmp_path / "sr.nii.gz"), "--model", str(tmp_path / "any.safetensors")]) == 0
    plain, volume = (load(tmp_path / name) for name in ("plain.nii.gz", "sr.nii.gz"))
    record = json.loads((tmp_path / "sr.json").read_text())
    assert record["settings"]["model"] == str(tmp_path / "any.safetensors")
    assert all(gate["passed"] for one in record["scans"] for gate in one["gates"])
    expected = folded_head(affines.apply_affine(volume.affine, np.moveaxis(np.indices(volume.shape), 0, -1)))
    inside = expected > 200
    errors = [np.sqrt(np.mean((one.get_fdata() - expected)[inside] ** 2)) for one in (plain, volume)]
    assert 0 < abs(errors[1] - errors[0]) < 0.3 * errors[0], errors
    for model, words in (("fixed.safetensors", "enlarges by a fixed factor"), ("missing", "no file or network")):
        assert main([*arguments, str(tmp_path / "no.nii.gz"), "--model", str(tmp_path / model)]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "no.nii.gz").exists()


def dicom_series(folder: Path, image: Image) -> Path:
    """Write a stack as a DICOM series whose header has a slice thickness of 6 mm."""
    axis = int(np.argmax(image.spacing))
    columns, rows = (other for other in range(3) if other != axis)
    to_lps = np.diag([-1.0, -1, 1])
    directions = to_lps @ image.affine[:3, :3] / image.spacing
    for index, pixels in enumerate(np.moveaxis(image.data, axis, 0).astype(np.int16)):
        first = np.where(np.arange(3) == axis, index, 0)
        changes = {
            "ImagePositionPatient": (to_lps @ (image.affine[:3, :3] @ first + image.affine[:3, 3])).tolist(),
            "ImageOrientationPatient": [*directions[:, columns].tolist(), *directions[:, rows].tolist()],
            "PixelSpacing": [image.spacing[rows], image.spacing[columns]],
            "SliceThickness": 6.0,
        }
        write_dicom(folder / f"{index}.dcm", dicom_slice(pixels.T, index, **changes))
    return folder


def mgh_file(folder: Path, image: Image) -> Path:
    """Write a stack as an MGH file, which states no slice thickness."""
    path = folder.with_suffix(".mgz")
    data: Any = image.data
    nib.save(nib.MGHImage(data, image.affine), path)
    return path


@pytest.mark.parametrize(
    ("write", "thickness_mm", "origin"), [(dicom_series, None, "dicom"), (mgh_file, 6.0, "given")], ids=["dicom", "mgh"]
)
def test_other_formats_are_combined_into_nifti(tmp_path, write, thickness_mm, origin):
    images = [stack(spacing, IDENTITY, 1.0) for spacing in THICK[:2]]
    sources = [Source(write(tmp_path / str(index), image), thickness_mm) for index, image in enumerate(images)]
    found = combine_files(sources, tmp_path / "sr.nii.gz", Combine(motion=False))
    assert [scan.profile for scan in found.scans] == [SliceProfile(6.0, "gaussian", origin, axis) for axis in (2, 1)]
    volume = load(tmp_path / "sr.nii.gz")
    assert volume.header.get_zooms() == pytest.approx((2, 2, 2))
    corner = np.full(3, -0.5)
    assert affines.apply_affine(volume.affine, corner) == pytest.approx(
        affines.apply_affine(images[0].affine, corner), abs=1e-3
    )
    expected = folded_head(affines.apply_affine(volume.affine, np.moveaxis(np.indices(volume.shape), 0, -1)))
    inside = expected > 200
    assert np.corrcoef(volume.get_fdata()[inside], expected[inside])[0, 1] > 0.98


def test_an_interrupted_combination_continues(tmp_path, monkeypatch):
    sources = [Source(path, 6.0) for path in saved(tmp_path, stacks()[:2])]
    whole, broken = tmp_path / "whole.nii.gz", tmp_path / "broken.nii.gz"
    settings = Combine(motion=False)
    combine_files(sources, whole, settings)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(combining, "leave_one_out_spread", interrupted)
        with pytest.raises(KeyboardInterrupt):
            combine_files(sources, broken, settings)
    assert not broken.exists()
    monkeypatch.setattr(combining, "refined", lambda *_, **__: pytest.fail("computed again"))
    combine_files(sources, broken, settings)
    assert np.array_equal(load(whole).get_fdata(), load(broken).get_fdata())


def four_dimensional(folder: Path) -> list[Path]:
    path = folder / "series.nii.gz"
    twice: Any = np.stack([stacks()[1].data] * 2, axis=-1)
    nib.save(nib.Nifti1Image(twice, stacks()[1].affine), path)
    return [*saved(folder, stacks()[:1]), path]


def far_apart(folder: Path) -> list[Path]:
    affine = stacks()[1].affine.copy()
    affine[:3, 3] += 400
    return saved(folder, (stacks()[0], replace(stacks()[1], affine=affine)))


def other_head(folder: Path) -> list[Path]:
    return saved(folder, (stacks()[0], scan(*grid(THICK[1]), seed=5)))


def without_size(folder: Path) -> list[Path]:
    path = folder / "picture.png"
    Picture.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(path)
    return [*saved(folder, stacks()[:1]), path]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: saved(folder, stacks()[:1]), "one scan cannot be combined"),
        (four_dimensional, "series.nii.gz.*2 frames"),
        (far_apart, "overlap"),
        (other_head, "different heads"),
        (without_size, "picture.png.*voxel size"),
    ],
)
def test_mistakes_are_one_message_and_nothing_is_written(tmp_path, capsys, make, words):
    paths = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["combine", *map(str, paths), "--output", str(tmp_path / "sr.nii.gz")]) == 1
    message = capsys.readouterr().err
    last = [line for line in message.splitlines() if line.startswith("error: ")]
    assert len(last) == 1
    assert re.search(words, last[0])
    assert sorted(tmp_path.iterdir()) == before


def test_the_name_of_the_output_is_checked_before_scans_are_registered(tmp_path, capsys):
    paths = far_apart(tmp_path)
    assert main(["combine", *map(str, paths), "--output", str(tmp_path / "sr.tif")]) == 1
    assert "sr.tif: the image came as nifti" in capsys.readouterr().err.splitlines()[-1]


def test_copies_and_grids_beside_the_head_are_refused(tmp_path, capsys):
    paths = saved(tmp_path, stacks()[:2])
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(paths[0].read_bytes())
    beside = tmp_path / "beside.nii.gz"
    far = np.diag([2.0, 2.0, 2.0, 1.0])
    far[:3, 3] = 700
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), far), beside)
    output = ["--output", str(tmp_path / "sr.nii.gz")]
    for arguments, words in (
        ([paths[0], copy], "a copy adds no information"),
        ([*paths, "--like", beside], "does not contain the head"),
        ([*paths, "--voxel-mm", "100"], "0.2 to 10"),
        ([paths[0], tmp_path / "absent.nii.gz"], "absent.nii.gz: there is no such file"),
    ):
        assert main(["combine", *map(str, arguments), *output, "--thickness-mm", "6"]) == 1
        assert words in capsys.readouterr().err.splitlines()[-1]


def test_positions_in_the_files_are_checked_if_they_are_trusted(tmp_path, capsys):
    paths = saved(tmp_path, (stacks()[0], scan(*grid(THICK[1]), seed=5)))
    output = tmp_path / "sr.nii.gz"
    assert main(["combine", *map(str, paths), "--output", str(output), "--no-motion"]) == 1
    assert "different heads" in capsys.readouterr().err
    assert not output.exists()
