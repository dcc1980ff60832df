"""Broken inputs: every one ends in one message that names the file, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.helpers import contents, extract, run_step, synthetic_head, the_message, volume_entry, write_nifti

PIXDIM, SFORM_CODE, SROW_X = 76, 254, 280
"""Places in the NIfTI-1 header."""


def head() -> np.ndarray:
    return synthetic_head((20, 22, 18)).astype(np.int16)


def patched(path: Path, *patches: tuple[int, str, tuple[float, ...]]) -> Path:
    """A whole NIfTI file with other numbers in its header; nibabel would refuse to write them."""
    content = bytearray(write_nifti(path, head()).read_bytes())
    for place, layout, values in patches:
        struct.pack_into(layout, content, place, *values)
    path.write_bytes(content)
    return path


def packed(path: Path, change: Callable[[bytearray], bytes | bytearray]) -> Path:
    """A gzipped NIfTI file whose compressed bytes were changed."""
    whole = gzip.compress(write_nifti(path.with_name("whole.nii"), head()).read_bytes(), mtime=0)
    path.write_bytes(change(bytearray(whole)))
    return path


def middle_changed(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 0xFF
    return content


def with_infinity() -> np.ndarray:
    data = head().astype(np.float32)
    data[5, 5, 5] = np.inf
    return data


def colours() -> np.ndarray:
    return np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def bytes_of(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def folder_at(path: Path) -> Path:
    path.mkdir()
    return path


def flat_affine() -> np.ndarray:
    return np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "cut off gzip": ("x.nii.gz", lambda path: packed(path, lambda whole: whole[:-300]), "Is it complete?"),
    "gzip whose last bytes are missing": (
        "x.nii.gz",
        lambda path: packed(path, lambda whole: whole[:-6]),
        "Is it complete?",
    ),
    "changed bytes inside gzip": ("x.nii.gz", lambda path: packed(path, middle_changed), "Is it complete?"),
    "wrong checksum of gzip": ("x.nii.gz", lambda path: packed(path, lambda whole: whole[:-8] + bytes(8)), "CRC"),
    "cut off plain file": ("x.nii", lambda path: bytes_of(path, patched(path).read_bytes()[:-9]), "Is it complete?"),
    "zero bytes": ("x.nii.gz", lambda path: bytes_of(path, b""), "Empty file"),
    "text": ("x.nii", lambda path: bytes_of(path, b"not an image\n" * 99), "cannot be read as NIfTI"),
    "text called gzip": ("x.nii.gz", lambda path: bytes_of(path, b"not an image\n" * 99), "cannot be read as NIfTI"),
    "missing": ("x.nii.gz", lambda path: path, "there is no such file"),
    "folder": ("x.nii.gz", folder_at, "is a folder"),
    "unknown suffix": ("x.xyz", lambda path: bytes_of(path, b"abc"), "format is unknown"),
    "infinity": ("x.nii.gz", lambda path: write_nifti(path, with_infinity()), "1 voxels are infinite"),
    "all one value": ("x.nii.gz", lambda path: write_nifti(path, np.full((9, 9, 9), 7, np.int16)), "every voxel is 7"),
    "one row": ("x.nii.gz", lambda path: write_nifti(path, head()[:, 5:6, 5:6]), "is not an image"),
    "4-D": ("x.nii.gz", lambda path: write_nifti(path, np.stack([head()] * 3, -1)), "choose one with frame: 0 to 2"),
    "no voxels": ("x.nii", lambda path: write_nifti(path, np.zeros((0, 4, 4), np.int16)), "is empty"),
    "complex": ("x.nii.gz", lambda path: write_nifti(path, head().astype(np.complex64)), "complex64), not intensities"),
    "colours": ("x.nii.gz", lambda path: write_nifti(path, colours()), "colours (RGB), not intensities"),
    "zero spacing": ("x.nii", lambda path: patched(path, (PIXDIM + 4, "<f", (0.0,))), "voxel size is [0.0, 1.0, 1.0]"),
    "zero spacing without sform": (
        "x.nii",
        lambda path: patched(path, (PIXDIM + 8, "<f", (0.0,)), (SFORM_CODE, "<h", (0,))),
        "voxel size is [1.0, 0.0, 1.0]",
    ),
    "affine of zeros": ("x.nii", lambda path: patched(path, (SROW_X, "<12f", (0.0,) * 12)), "voxel size is"),
    "affine with NaN": ("x.nii", lambda path: patched(path, (SROW_X, "<f", (float("nan"),))), "NaN or infinite"),
    "singular affine": (
        "x.nii",
        lambda path: patched(path, (SROW_X, "<12f", tuple(flat_affine()[:3].ravel()))),
        "affine is singular",
    ),
    "unknown type of voxels": ("x.nii", lambda path: patched(path, (70, "<h", (999,))), "(datatype 999) are not"),
    "shape beyond all memory": ("x.nii", lambda path: patched(path, (42, "<3h", (32000,) * 3)), "x.nii"),
    "NaN alone": ("x.nii.gz", lambda path: write_nifti(path, np.full((9, 9, 9), np.nan, np.float32)), "voxel is NaN"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_volume_gives_one_message_that_names_it_and_no_output(kind: str, tmp_path: Path) -> None:
    name, make, expected = BROKEN[kind]
    source = tmp_path / name
    make(source)
    output = tmp_path / "results" / "head.safetensors"
    result = run_step("extract", "--input", source, "--output", output, "--volume", json.dumps(volume_entry()))
    message = the_message(result, after_progress=True)
    assert str(source) in message
    assert expected in message
    assert "\n" not in message
    assert not output.parent.exists()


def test_slices_beyond_the_volume_are_told_with_the_volume_s_name(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "x.nii.gz", head())
    entry = json.dumps(volume_entry(id="upper", slices=[10, 30]))
    result = run_step("extract", "--input", source, "--output", tmp_path / "out" / "a.safetensors", "--volume", entry)
    message = the_message(result, after_progress=True)
    assert "'upper'" in message
    assert "only 18" in message
    assert not (tmp_path / "out").exists()


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut off": (lambda path: bytes_of(path, path.read_bytes()[:-50]), "incomplete"),
    "cut off in the header": (lambda path: bytes_of(path, path.read_bytes()[:60]), "header"),
    "zero bytes": (lambda path: bytes_of(path, b""), "header too small"),
    "text": (lambda path: bytes_of(path, b"hello " * 99), "header"),
    "weights": (lambda path: save_file({"conv.weight": np.zeros(3)}, path), "contains no BrainSR image"),
    "missing": (lambda path: path.unlink(), "there is no such file"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_between_stages_is_named_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    damage, expected = DAMAGED[kind]
    volume = tmp_path / "head.safetensors"
    extract(write_nifti(tmp_path / "x.nii.gz", head()), volume)
    damage(volume)
    outputs = tmp_path / "degraded"
    message = the_message(degrade(volume, outputs))
    assert str(volume) in message
    assert expected in message
    assert not outputs.exists()


def degrade(volume: Path, outputs: Path, **options: Any) -> Any:
    paths = ("--output", outputs / "head.safetensors", "--forward-model", outputs / "head.forward.json")
    return run_step("degrade", "--input", volume, *paths, **options)


def whole_volume(folder: Path) -> Path:
    volume = folder / "head.safetensors"
    extract(write_nifti(folder / "x.nii.gz", head()), volume)
    return volume


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    volume, outputs = whole_volume(tmp_path), tmp_path / "degraded"
    outputs.mkdir()
    outputs.chmod(0o555)
    message = the_message(degrade(volume, outputs, refusable=True))
    outputs.chmod(0o755)
    assert str(outputs / "head.safetensors") in message
    assert "Permission denied" in message
    assert contents(outputs) == {}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    volume, parent = whole_volume(tmp_path), tmp_path / "locked"
    parent.mkdir()
    parent.chmod(0o555)
    message = the_message(degrade(volume, parent / "degraded", refusable=True))
    parent.chmod(0o755)
    assert str(parent / "degraded" / "head.safetensors") in message
    assert list(parent.iterdir()) == []


def test_an_unreadable_volume_is_named(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "x.nii.gz", head())
    source.chmod(0)
    options = ("--output", tmp_path / "out" / "a.safetensors", "--volume", json.dumps(volume_entry()))
    message = the_message(run_step("extract", "--input", source, *options, refusable=True))
    assert str(source) in message
    assert "Permission denied" in message
    assert not (tmp_path / "out").exists()


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    volume, outputs = whole_volume(tmp_path), tmp_path / "degraded"
    outputs.write_text("in the way")
    message = the_message(degrade(volume, outputs))
    assert str(outputs / "head.safetensors") in message
    assert outputs.read_text() == "in the way"


def test_a_folder_where_the_output_should_be_is_named(tmp_path: Path) -> None:
    volume, outputs = whole_volume(tmp_path), tmp_path / "degraded"
    (outputs / "head.safetensors").mkdir(parents=True)
    message = the_message(degrade(volume, outputs))
    assert "a folder has this name" in message
    assert [path.name for path in outputs.iterdir()] == ["head.safetensors"]


def test_a_full_disk_leaves_the_earlier_output_as_it_was(tmp_path: Path) -> None:
    volume, outputs = whole_volume(tmp_path), tmp_path / "degraded"
    outputs.mkdir()
    (outputs / "head.safetensors").write_bytes(b"earlier")
    before = contents(outputs)
    message = the_message(degrade(volume, outputs, before=no_large_files))
    assert str(outputs / "head.safetensors") in message
    assert contents(outputs) == before


def no_large_files() -> None:
    """Let the process write 500 bytes a file, after which writing fails as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
