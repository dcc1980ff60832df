"""Volumes that stand twice under two names: found, named in the table and the record, and left in."""

from __future__ import annotations

import csv
import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.config.sources import LocalSource
from pipeline.fidelity.duplicates import PROBES, crop_to_mask, evenly_spaced
from pipeline.formats.io.container import map_image
from pipeline.provenance.record import read_provenance
from pipeline.sources.download_record import DownloadRecord
from pipeline.steps.__main__ import main
from pipeline.tables.duplicates import count_duplicates
from tests.helpers import configuration, extract, reoriented, run_step, synthetic_head, the_message, write_nifti


def head(seed: int) -> NDArray[np.float32]:
    """A head with structure of its own inside, unlike those of other seeds."""
    plain = synthetic_head((64, 68, 40), seed)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(plain.shape), 5)
    return np.where(plain > 0, plain / 3 + 700 * noise / np.abs(noise).max() + 300, 0).clip(0).astype(np.float32)


def extracted(folder: Path, data: NDArray, name: str, split: str, subject: str, slices: list[int] | None = None) -> str:
    source = write_nifti(folder / f"{name}.nii.gz", data.astype(np.int16))
    output = folder / f"{name}.safetensors"
    extract(source, output, id=name, split=split, subject=subject, slices=slices)
    return str(output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("volumes")


@pytest.fixture(scope="module")
def volumes(folder: Path) -> list[str]:
    """A head for training; the same brighter, wider and noisier under another name; a part of it; and two others."""
    first = head(1)
    noisy = 1.3 * first + np.random.default_rng(9).normal(0, 5, first.shape) * (first > 0)
    wide = np.pad(noisy, ((3, 5), (2, 2), (0, 0)))
    return [
        extracted(folder, first, "taught", "train", "A"),
        extracted(folder, first, "block", "test_within_subject", "A", [4, 36]),
        extracted(folder, wide, "renamed", "test", "B"),
        extracted(folder, first, "part", "val", "C", [10, 24]),
        extracted(folder, head(2), "other", "test", "D"),
        extracted(folder, head(3), "another", "val", "E"),
    ]


@pytest.fixture(scope="module")
def table(folder: Path, volumes: list[str]) -> Path:
    assert main(["duplicates", "--extracted", *volumes, "--output", str(folder / "duplicates.csv")]) == 0
    return folder / "duplicates.csv"


def test_a_head_under_two_names_is_named_and_others_are_not(table: Path) -> None:
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    pairs = {(row["volume"], row["split"], row["near_duplicate_volume"], row["near_duplicate_split"]) for row in rows}
    assert pairs == {
        ("renamed", "test", "taught", "train"),
        ("renamed", "test", "part", "val"),
        ("part", "val", "taught", "train"),
        ("block", "test_within_subject", "renamed", "test"),
        ("block", "test_within_subject", "part", "val"),
    }, "blocks of one subject are the configuration's business, others' are not"
    assert all(row["picture"].startswith("slice ") and int(row["distance"]) <= 4 for row in rows)


def test_slices_are_counted_in_the_whole_volume(table: Path) -> None:
    with table.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["volume"] == "part" and row["distance"] == "0"]
    assert rows
    assert all(row["picture"] == row["near_duplicate_of"] for row in rows)


def test_the_counts_are_of_slices_not_of_rows(table: Path) -> None:
    found = {(one.volume, one.near_duplicate_volume): one.pictures for one in count_duplicates(table)}
    assert found["renamed", "taught"] >= PROBES // 2 and max(found.values()) <= PROBES


def test_the_record_of_the_run_names_them(table: Path, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(configuration()))
    record = tmp_path / "mine.source.json"
    DownloadRecord.of("mine", LocalSource(kind="local", path="a.nii"), "0" * 64, 1).write(record)
    command = ["provenance", "--config", str(tmp_path / "c.json"), "--sources", str(record), "--volumes"]
    taught = str(table.with_name("taught.safetensors"))
    output = tmp_path / "provenance.json"
    assert main([*command, taught, "--duplicates", str(table), "--output", str(output)]) == 0
    assert list(read_provenance(output).near_duplicates) == count_duplicates(table) != []


def test_it_is_told_in_the_log_and_the_volume_stays(
    folder: Path, volumes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        main(["duplicates", "--extracted", *volumes[:3], "--output", str(folder / "again.csv")])
    assert "'renamed' is similar to 'taught'" in caplog.text and "not excluded" in caplog.text
    assert map_image(Path(volumes[2])).id == "renamed"


def test_the_order_of_axes_in_the_file_makes_no_difference(folder: Path, volumes: list[str]) -> None:
    data, affine = reoriented(head(1), np.eye(4), np.array([[2, -1], [0, 1], [1, -1]]))
    source = write_nifti(folder / "turned.nii", data.astype(np.int16), affine)
    output = folder / "turned.safetensors"
    extract(source, output, id="turned", split="test", subject="T")
    assert main(["duplicates", "--extracted", volumes[0], str(output), "--output", str(folder / "turned.csv")]) == 0
    assert [one.volume for one in count_duplicates(folder / "turned.csv")] == ["turned"]


def test_without_volumes_the_table_is_empty(tmp_path: Path) -> None:
    assert main(["duplicates", "--output", str(tmp_path / "d.csv")]) == 0
    assert count_duplicates(tmp_path / "d.csv") == []


def test_a_failure_names_the_volume(tmp_path: Path) -> None:
    damaged = tmp_path / "broken.safetensors"
    damaged.write_bytes(b"\x00" * 40)
    command = ["duplicates", "--extracted", damaged, "--output", tmp_path / "d.csv"]
    assert "volume 'broken': cannot read" in the_message(run_step(*command))
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("a.png", b"no picture")
    stack = {"id": "slices-0", "subject": "slices-0", "split": "val", "source": "pictures", "shard": [0, 1]}
    command = ["duplicates", "--input", tmp_path / "pictures.zip", "--sources", "pictures", "--volumes"]
    message = the_message(run_step(*command, json.dumps([stack]), "--output", tmp_path / "d.csv"))
    assert "volume 'slices-0'" in message and "a.png" in message


def test_things_are_spread_with_the_first_and_the_last() -> None:
    assert evenly_spaced(range(100), 3) == [0, 50, 99] or evenly_spaced(range(100), 3) == [0, 49, 99]
    assert evenly_spaced("abc", 8) == ["a", "b", "c"] and evenly_spaced([7], 8) == [7]


def test_a_picture_is_crop_to_mask_its_mask() -> None:
    picture = np.arange(20).reshape(4, 5)
    mask = (picture == 7) | (picture == 13)
    np.testing.assert_array_equal(crop_to_mask(picture, mask), [[7, 8], [12, 13]])
    np.testing.assert_array_equal(crop_to_mask(picture, np.zeros_like(mask)), picture)
