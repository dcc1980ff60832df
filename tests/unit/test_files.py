"""Files are whole or absent."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from pipeline.errors import UserError
from pipeline.files import folder_beside, read_json, replacing, sha256_of, write_json, write_text
from pipeline.formats.io.container import map_array, map_image, read_image, write_image
from pipeline.formats.mgh import MghHeader
from pipeline.image.geometry import Orientation
from pipeline.image.image import Block, Identity, Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.slice_profile import SliceProfile
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from tests.helpers import CHECKOUT


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_what_was_there_and_no_partial_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), replacing(target) as partial:
        partial.write_text(f"half {1 / 0}" if partial.write_text("half") else "")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_new_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.nii.gz"
    with replacing(target) as partial:
        assert partial.parent == target.parent
        assert partial.name.endswith(".nii.gz")
        partial.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names(target.parent) == ["a.nii.gz"]


HOLDING = """
import sys, time
from pathlib import Path
from pipeline.files import folder_beside, replacing
with {"file": replacing, "folder": folder_beside}[sys.argv[1]](Path(sys.argv[2])) as partial:
    (partial / "a" if partial.is_dir() else partial).write_text("half")
    print(flush=True)
    time.sleep(60)
"""


def started_writing(kind: str, target: Path) -> subprocess.Popen[bytes]:
    """A process that has written half of a target and goes on for a minute."""
    process = subprocess.Popen([sys.executable, "-c", HOLDING, kind, target], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"\n"
    return process


@pytest.mark.parametrize(("kind", "write"), [("file", replacing), ("folder", folder_beside)])
def test_what_a_killed_process_left_is_removed_by_the_next_write_of_its_target(kind, write, tmp_path: Path) -> None:
    processes = [started_writing(kind, tmp_path / name) for name in ("a", "b")]
    partials = names(tmp_path)
    assert len(partials) == 2
    with write(tmp_path / "a"):
        assert len(names(tmp_path)) == 3, "what a living process writes is left alone"
    for process in processes:
        process.kill()
        process.communicate()
    assert set(partials) <= set(names(tmp_path))
    with write(tmp_path / "a"):
        pass
    left = [name for name in names(tmp_path) if name.startswith(".partial-")]
    assert len(left) == 1, "what belongs to b stays"
    with write(tmp_path / "b"):
        pass
    assert [name for name in names(tmp_path) if name.startswith(".partial-")] == []


def test_on_a_disk_without_locks_nothing_of_others_is_removed(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with replacing(tmp_path / "a"):
        write_text(tmp_path / "a", "whole")
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == ["a"]


def test_an_exception_about_another_file_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a") as partial:
        partial.write_text((tmp_path / "missing").read_text())
    assert names(tmp_path) == []


def test_a_written_file_has_the_permissions_that_the_umask_grants(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_json_is_written_with_sorted_keys_and_never_with_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [2.5, None]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    2.5,\n    null\n  ],\n  "b": 1\n}\n'
    assert read_json(tmp_path / "a.json") == {"a": [2.5, None], "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "a.json") == {"a": [2.5, None], "b": 1}


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_the_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the first example of FIPS 180-4
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def an_image() -> Image:
    random = np.random.default_rng(3)
    return Image(
        data=random.random((5, 6, 7), dtype=np.float32),
        affine=np.array([[0.1, 0, 0, 1 / 3], [0, 2, 0, -5], [0, 0, 3, 7], [0, 0, 0, 1]]),
        intensity=IntensityMap(1234.5, 0.1, -1024.0, "int16"),
        header=MghHeader(orientation=Orientation((2, 0, 1), (-1, 1, 1)), measurement_parameters={"tr": 2.5}),
        masks={"foreground": random.random((5, 6, 7)) > 0.5, "other": np.zeros((5, 6, 7), bool)},
        identity=Identity("head"),
        block=Block(foreground_slices=(1, 2, 3), foreground_fraction=0.1 + 0.2),
        slice_profile=SliceProfile(3.6, "windowed_sinc", "dicom", 2),
    )


def test_an_image_comes_back_from_its_container_unchanged(tmp_path: Path) -> None:
    image, path = an_image(), tmp_path / "a.safetensors"
    write_image(path, image)
    again = read_image(path)
    np.testing.assert_array_equal(again.data, image.data)
    assert again.data.dtype == image.data.dtype
    np.testing.assert_array_equal(again.affine, image.affine)
    assert (again.intensity, again.header, again.block) == (image.intensity, image.header, image.block)
    assert again.slice_profile == image.slice_profile
    assert (again.unit, again.masks.keys()) == (image.unit, image.masks.keys())
    np.testing.assert_array_equal(again.masks["foreground"], image.masks["foreground"])
    assert map_image(path).identity == image.identity
    np.testing.assert_array_equal(map_array(path, "data"), image.data)
    np.testing.assert_array_equal(map_array(path, "mask.foreground"), image.masks["foreground"])


def test_a_measurement_comes_back_with_its_forward_model_and_nothing_else_passes_for_one(tmp_path: Path) -> None:
    image, path = an_image(), tmp_path / "a.safetensors"
    low = LowResolutionImage.of(image, ForwardModel((2, 2, 1), (10, 12, 7), "rician", 0.02, seed=3))
    write_image(path, low)
    assert read_image(path, LowResolutionImage).forward_model == low.forward_model
    write_image(path, image)
    with pytest.raises(UserError, match="contains an image, expected was a low-resolution image"):
        read_image(path, LowResolutionImage)


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records.update(facts={"id": "head"}),
        lambda records: records["block"].update(noise=0.1),
        lambda records: records["block"].pop("labels"),
        lambda records: records["header"].update(format="jpeg2000"),
        lambda records: records["identity"].update(id=3),
    ],
)
def test_records_of_another_version_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = tmp_path / "a.safetensors"
    write_image(path, an_image())
    with safe_open(path, framework="numpy") as stream:
        metadata = json.loads(stream.metadata()["image"])
        arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    change(metadata["records"])
    save_file(arrays, path, metadata={"image": json.dumps(metadata)})
    with pytest.raises(UserError, match="was written by another version of BrainSR"):
        read_image(path)


def test_a_scan_in_place_of_a_volume_of_a_run_is_not_to_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(b"a scan")
    with pytest.raises(UserError, match=r"scan\.nii\.gz: is no volume of a run; name a file \.safetensors"):
        read_image(path)


def test_a_view_that_is_not_contiguous_is_stored_in_its_own_order(tmp_path: Path) -> None:
    image = an_image()
    turned = image.with_data(image.data.transpose(2, 0, 1)[::-1], masks={})
    write_image(tmp_path / "a.safetensors", turned)
    np.testing.assert_array_equal(read_image(tmp_path / "a.safetensors").data, turned.data)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / name, an_image())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
