"""Folders of 2-D pictures as stacks: from the files to the predictions and the pages."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from scipy import ndimage

from pipeline.baselines.tuning.apply import upsample
from pipeline.config.load import read_run
from pipeline.config.sections import Degrade, Evaluate, Extract
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.files import folders_of
from pipeline.formats import nifti, tiff_stack
from pipeline.formats._picture_stack import read_picture, stack_image
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.extraction import extract
from pipeline.formats.io.predictions import check_output, prediction_path, read_prediction, suffix_of, write_prediction
from pipeline.image.image import Image
from pipeline.metrics.evaluation.measure import evaluate, measure
from pipeline.metrics.evaluation.regions import region_mask
from pipeline.physics.degradation import degrade, forward_model
from pipeline.reporting.figures.slices import display_slice
from pipeline.reporting.run_record import read_run_record
from pipeline.reporting.volume_report import slices_to_show
from pipeline.sources.download_record import DownloadRecord
from pipeline.sources.packing import pack
from pipeline.sources.picture_archive import picture_names, shard_of
from pipeline.statistics.bootstrap import resampled_means
from pipeline.statistics.measurements import read_parts, volume_table
from pipeline.statistics.summary import summarise
from pipeline.steps.__main__ import main
from pipeline.tables.duplicates import excluded_pictures
from pipeline.tables.slices import SLICES
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES
from tests.helpers import configuration, described, synthetic_head, write_nifti

SHARDS = {"train": 2, "val": 1, "test": 1}


def collection(**changes: Any) -> dict[str, Any]:
    return {"id": "scans", "source": "pictures", "folder": "Training", "shards": SHARDS, **changes}


def with_collections(*collections: dict[str, Any], **changes: Any) -> dict[str, Any]:
    sources = {"pictures": {"kind": "local", "path": "data/brain-tumor/"}}
    return configuration(volumes=[], sources=sources, collections=list(collections), **changes)


def stack_entry(**changes: Any) -> Volume:
    entry = {"id": "s", "subject": "s", "split": "test", "source": "pictures", "shard": [0, 1], **changes}
    return Volume.model_validate_json(json.dumps(entry))


def scene(seed: int, rows: int = 48, columns: int = 40) -> np.ndarray:
    """An asymmetric grey picture, uint8, of a head: no two seeds are alike in their coarse structure."""
    head = synthetic_head((columns, rows, 8), seed)[:, :, 4].T
    blots = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((rows, columns)), 5)
    picture = np.where(head > 0, head / 6 + 60 * blots / np.abs(blots).max(), 0)
    picture[rows // 4 : rows // 3, columns // 2 : columns // 2 + 6] = 250
    return np.clip(picture, 0, 255).astype(np.uint8)


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """An archive with a grey PNG, a JPEG stored as RGB though grey, a coloured and a black picture."""
    grey, wide, coloured = scene(1), scene(2, 30, 60), np.stack([scene(3)] * 3, axis=2)
    coloured[20:24, 20:24] = (250, 20, 20)
    files = {
        "T/a/grey.png": encoded(grey),
        "T/b/wide.jpg": encoded(np.stack([wide] * 3, axis=2), "JPEG"),
        "T/b/coloured.png": encoded(coloured),
        "T/b/black.png": encoded(np.zeros((20, 20), np.uint8)),
        "T/notes.txt": b"no picture",
        "__MACOSX/T/a/._grey.png": b"no picture either",
    }
    return zip_of(tmp_path / "mixed.zip", files)


# configuration


def test_a_collection_becomes_its_stacks() -> None:
    run = read_run(with_collections(collection(), collection(id="more", folder=None, source="own")) | {"sources": {
        "pictures": {"kind": "local", "path": "p/"}, "own": {"kind": "local", "path": "q.zip"}}})  # fmt: skip
    stacks = {volume.id: volume for volume in run.volumes}
    assert list(stacks) == [f"{name}-{index}" for name in ("scans", "more") for index in range(4)]
    assert [volume.split for volume in run.volumes[:4]] == ["train", "train", "val", "test"]
    assert stacks["scans-2"].shard == (2, 4) and stacks["scans-2"].folder == "Training"
    assert all(volume.subject == volume.id and volume.is_stack for volume in run.volumes)
    assert run.sources["pictures"].file_name == "p"


def test_reading_what_was_written_brings_no_stack_twice() -> None:
    run = read_run(with_collections(collection()))
    again = read_run(json.loads(run.model_dump_json()))
    assert again.volumes == run.volumes and again == run


@pytest.mark.parametrize(
    ("collections", "volumes", "words"),
    [
        ([collection(source="picture")], [], ["'picture' is unknown", "did you mean 'pictures'"]),
        ([collection(), collection(id="all", folder=None)], [], ["the same source"]),
        ([collection(), collection(id="part", folder="Training/glioma")], [], ["the same source"]),
        ([collection(), collection()], [], ["the id 'scans-0' is used by 2 volumes"]),
        ([collection(folder="../other")], [], ["collections[0].folder", "not a folder inside"]),
        ([collection(shards={"train": 1, "test": 1})], [], ["none is in split 'val'"]),
        ([collection(shards={"train": 0, "val": 1, "test": 1})], [], ["collections[0].shards.train", ">= 1"]),
        ([collection()], [{"folder": "x"}], ["volume 'one'", "requires a shard"]),
        ([collection()], [{"shard": [3, 3]}], ["volume 'one'", "index < count"]),
        ([collection()], [{"shard": [0, 1], "slices": [1, 2]}], ["volume 'one'", "give one of them"]),
    ],
)
def test_mistakes_are_told(collections: list[Any], volumes: list[dict[str, Any]], words: list[str]) -> None:
    values = with_collections(*collections)
    values["volumes"] = [{"id": "one", "subject": "1", "split": "test", "source": "mni152-2009a"} | v for v in volumes]
    with pytest.raises(UserError) as error:
        read_run(values)
    assert all(word in str(error.value) for word in words), error.value


def test_two_folders_of_one_source_may_go_to_different_splits() -> None:
    training = collection(id="training", shards={"train": 2, "val": 1})
    run = read_run(with_collections(training, collection(id="testing", folder="Testing", shards={"test": 1})))
    assert len(run.volumes) == 4


# which pictures belong to a stack


def test_a_picture_keeps_its_part_when_others_come(tmp_path: Path) -> None:
    names = [f"{kind}/{number}.png" for kind in "ab" for number in range(40)]
    small = zip_of(tmp_path / "small.zip", {f"T/{name}": b"" for name in names[::2]})
    large = zip_of(tmp_path / "large.zip", {f"T/{name}": b"" for name in names})
    parts = [picture_names(large, "T", (index, 5)) for index in range(5)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(len(part) > 5 for part in parts)
    for index, part in enumerate(parts):
        assert set(picture_names(small, "T", (index, 5))) == set(part) & set(names[::2])
    digest = hashlib.sha256(b"a/3.png").digest()
    assert shard_of("a/3.png", 5) == int.from_bytes(digest, "big") % 5


def test_a_missing_folder_is_told_with_the_nearest(mixed: Path) -> None:
    with pytest.raises(UserError, match=r"no pictures in a folder 'T/c'.*T/"):
        picture_names(mixed, "T/c")


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match="is not a zip archive of pictures"):
        picture_names(tmp_path / "x.zip", None)


# sources


def pictures_folder(folder: Path) -> Path:
    for seed, name in enumerate(("a/1.png", "a/2.JPG", "b/c/3.jpeg", ".hidden/4.png", "a/readme.txt")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(seed), "PNG" if name.endswith("png") else "JPEG"))
    return folder


def test_a_folder_is_packed_into_the_same_archive_every_time(tmp_path: Path) -> None:
    folder = pictures_folder(tmp_path / "pictures")
    pack(folder, tmp_path / "one.zip")
    (folder / "a/1.png").touch()
    pack(folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert picture_names(tmp_path / "one.zip", None) == ["a/1.png", "a/2.JPG", "b/c/3.jpeg"]
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.read("b/c/3.jpeg") == (folder / "b/c/3.jpeg").read_bytes()


def download(folder: Path, source: dict[str, Any]) -> int:
    command = ["download", "--name", "pictures", "--source", json.dumps(source), "--output", str(folder / "out")]
    return main([*command, "--archives", str(folder / "archives"), "--attempts", "1"])


def test_a_local_folder_is_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures_folder(tmp_path / "pictures")
    assert download(tmp_path, {"kind": "local", "path": f"{folder}/"}) == 0
    assert len(picture_names(tmp_path / "out", None)) == 3
    record = json.loads((tmp_path / "out.source.json").read_text())
    assert record["sha256"] == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    (tmp_path / "empty").mkdir()
    assert download(tmp_path, {"kind": "local", "path": str(tmp_path / "empty")}) == 1
    assert "contains no pictures" in capsys.readouterr().err


def test_a_folder_that_nobody_packed_is_no_archive(tmp_path: Path) -> None:
    folder = pictures_folder(tmp_path / "pictures")
    with pytest.raises(UserError, match="is a folder; pack it into a zip archive"):
        picture_names(folder, None)


def test_every_folder_below_a_source_is_watched(tmp_path: Path) -> None:
    folder = pictures_folder(tmp_path / "pictures")
    found = folders_of(folder)
    assert {folder, folder / "a", folder / "b", folder / "b/c"} <= set(found)


def test_a_download_without_checksum_tells_what_came(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = zip_of(tmp_path / "pictures.zip", {"a.png": encoded(scene(1))}).read_bytes()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = {"kind": "http", "url": f"http://127.0.0.1:{server.server_port}/pictures.zip", "sha256": None}
    with caplog.at_level(logging.WARNING):
        assert download(tmp_path, source) == 0
    assert hashlib.sha256(content).hexdigest() in caplog.text
    server.shutdown()
    server.server_close()
    assert download(tmp_path, source) == 0, "what is there already needs no server"
    assert (tmp_path / "out").read_bytes() == content


# reading


def test_grey_pictures_are_read_whatever_they_are_stored_as() -> None:
    grey = scene(1)
    three = np.stack([grey] * 3, axis=2)
    for content in (encoded(grey), encoded(three), encoded(np.dstack([three, np.full(grey.shape, 255, np.uint8)]))):
        np.testing.assert_array_equal(read_picture("x", content), grey)
    found = read_picture("x", encoded(three, "JPEG"))
    assert found is not None and np.abs(found.astype(int) - grey).mean() < 4
    deep = grey.astype(np.uint16) * 256 + 3
    found = read_picture("x", encoded(deep))
    assert found is not None and found.dtype == np.uint16
    np.testing.assert_array_equal(found, deep)


def test_a_stack_holds_its_pictures_upright(mixed: Path, tmp_path: Path) -> None:
    extract(mixed, stack_entry(folder="T"), Extract(), tmp_path / "s.safetensors")
    image = read_image(tmp_path / "s.safetensors")
    stack = image.stack
    colours = [f"b/coloured.png, {colour}" for colour in ("red", "green", "blue")]
    assert stack.names == ("a/grey.png", "b/black.png", *colours, "b/wide.jpg")
    assert stack.classes == ("a", *["b"] * 5) and stack.sections == (0, 1, 2, 2, 2, 3)
    assert stack.sizes == ((40, 48), (20, 20), *[(40, 48)] * 3, (60, 30))
    assert image.block.too_large == image.block.near_duplicates == () and image.block.slices == (0, 4)
    assert image.block.foreground_slices == (0, 2, 3, 4, 5)
    assert image.data.shape == (60, 48, 6) and image.data.dtype == np.float32
    assert image.spacing == (1, 1, 1)
    drawn = display_slice(image.data, image.slice_axis, 0)
    [low, *_], [span, *_] = np.atleast_1d(image.intensity.offset), np.atleast_1d(image.intensity.scale)
    np.testing.assert_array_equal(np.rint(low + span * drawn[-48:, -40:]), scene(1))
    assert not image.data[40:, :, 0].any() and not image.data[:, 30:, 5].any()
    size = 4 * 40 * 48 + 20 * 20 + 60 * 30
    assert image.masks["picture"][:40, :48, 0].all() and image.masks["picture"].sum() == size
    assert not (image.masks["foreground"] & ~image.masks["picture"]).any()


def test_the_foreground_of_a_picture_is_its_bright_part_without_holes() -> None:
    rows, columns = np.mgrid[:64, :64]
    radius = np.hypot(rows - 30, columns - 34)
    picture = np.where(radius < 20, 200, 5).astype(np.uint8)
    picture[radius < 8] = 0
    picture[2:6, 2:6] = 255
    found = stack_image({"x": picture}, 0.05).masks["foreground"][:, :, 0][::-1, ::-1].T
    disc = radius < 20
    assert np.count_nonzero(found ^ disc) < 0.12 * disc.sum()
    assert found[30, 34] and not found[3, 3]


def test_pictures_of_two_depths_are_told_apart() -> None:
    with pytest.raises(UserError, match=r"a\.png is uint8 and b\.png is uint16"):
        stack_image({"a.png": scene(1), "b.png": scene(2).astype(np.uint16)}, 0.05)


def test_16_bit_pictures_keep_their_range() -> None:
    deep = scene(1).astype(np.uint16) * 200
    image = stack_image({"x": deep}, 0.05)
    assert image.intensity.dtype == "uint16"
    np.testing.assert_array_equal(np.rint(image.intensity.to_physical(image.data)).max(), 250 * 200)


def test_the_range_of_a_picture_is_its_own() -> None:
    """Not that of the dtype, nor that of its neighbours in the stack."""
    bright, dark = scene(1) // 2, scene(2) // 5 + 20
    together = stack_image({"bright": bright, "dark": dark}, 0.05)
    for index, picture in enumerate((bright, dark)):
        alone = stack_image({"x": picture}, 0.05)
        np.testing.assert_array_equal(together.data[..., index], alone.data[..., 0])
        assert np.percentile(alone.data, [0.1, 99.9]) == pytest.approx([0, 1], abs=0.05)
        np.testing.assert_allclose(stack_image({"x": picture + 30}, 0.05).data, alone.data, atol=1e-6)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": encoded(scene(1))[:200]}, "a.png: cannot be read as a picture"),
        ({"a.png": b"GIF89a"}, "a.png: cannot be read as a picture"),
        ({"a.png": encoded(np.zeros((9, 9), np.uint8))}, "none of 1 pictures has 5 % foreground"),
        ({"a.png": encoded(np.tile(scene(1), (1, 40)))}, "1 too large"),
    ],
)
def test_useless_pictures_are_told(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    archive = zip_of(tmp_path / "x.zip", files)
    with pytest.raises(UserError) as error:
        extract(archive, stack_entry(), Extract(), tmp_path / "s.safetensors")
    assert words in str(error.value) and "volume 's'" in str(error.value) and "x.zip" in str(error.value)


# predictions


def stack(*sizes: tuple[int, int], min_foreground: float = 0.05) -> Image:
    pictures = {f"c{seed}/{seed}.png": scene(seed, *size) for seed, size in enumerate(sizes)}
    image = stack_image(pictures, min_foreground)
    return described(image, id="s", subject="s", split="test")


def test_a_prediction_is_a_page_a_picture_and_comes_back(tmp_path: Path) -> None:
    reference = stack((48, 40), (30, 61), (47, 42))
    low = degrade(reference, forward_model(reference, Degrade(noise="none"), 0))
    path = prediction_path(tmp_path, "bicubic", "s", suffix_of(low))
    assert path.name == "s.tiff"
    write_prediction(path, low, upsample(low, "bicubic"))
    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        assert [page.shape for page in pages] == [(48, 40), (30, 61), (47, 42)]
        assert [page.tags[285].value for page in pages] == list(reference.stack.names)
        assert {page.compression.name for page in pages} == {"ADOBE_DEFLATE"}
        first = pages[0].asarray()
    assert first.dtype == np.uint8
    assert np.corrcoef(first.ravel(), scene(0).ravel())[0, 1] > 0.8
    back = read_prediction(path, reference)
    stored = np.rint(reference.intensity.to_physical(back))
    np.testing.assert_array_equal(display_slice(stored, 2, 0)[-48:, -40:], first)
    content = path.read_bytes()
    write_prediction(path, low, upsample(low, "bicubic"))
    assert path.read_bytes() == content


def test_the_reference_written_as_a_prediction_is_the_reference(tmp_path: Path) -> None:
    reference = stack((32, 40), (32, 36))
    low = degrade(reference, forward_model(reference, Degrade(), 0))
    assert write_prediction(tmp_path / "s.tiff", low, np.asarray(reference.data)) == 0
    np.testing.assert_allclose(read_prediction(tmp_path / "s.tiff", reference), reference.data, atol=1e-6)


def test_other_tiff_files_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tiff", np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(UserError, match="is not a stack of pictures"):
        tiff_stack.read(tmp_path / "x.tiff")
    (tmp_path / "y.tiff").write_bytes(b"no TIFF")
    with pytest.raises(UserError, match="cannot be read as TIFF"):
        tiff_stack.read(tmp_path / "y.tiff")


def test_a_volume_is_not_written_as_tiff(tmp_path: Path) -> None:
    volume = nifti.read(write_nifti(tmp_path / "x.nii.gz", synthetic_head((8, 8, 8))))
    with pytest.raises(UserError, match=r"came as nifti and is written as such; name the file \.nii\.gz or \.nii"):
        check_output(tmp_path / "x.tiff", volume)


def test_the_whole_of_a_picture_ends_at_its_edges() -> None:
    reference = stack((48, 40), (30, 61))
    estimate = np.asarray(reference.data) + 0.1
    estimate[~reference.masks["picture"]] = 7.0
    values = [value for *_, value in measure(reference, estimate, "psnr", {"whole": region_mask(reference, "whole")})]
    np.testing.assert_allclose(values, 20.0, atol=1e-4)


# near-duplicates


def test_near_duplicates_are_found_and_left_out_of_the_later_split(tmp_path: Path) -> None:
    first, second, third = scene(11, 96, 80), scene(12, 96, 80), scene(13, 96, 80)
    smaller = np.asarray(PillowImage.fromarray(first).resize((60, 72)))
    brighter = np.clip(second * 1.2, 0, 255).astype(np.uint8)
    files = {
        "train/first.png": encoded(first),
        "train/twin of first.png": encoded(first),
        "val/second.png": encoded(second),
        "val/smaller.png": encoded(smaller, "JPEG"),
        "test/brighter.png": encoded(brighter),
        "test/third.png": encoded(third),
    }
    archive = zip_of(tmp_path / "x.zip", files)
    stacks = [stack_entry(id=split, split=split, folder=split) for split in ("test", "train", "val")]
    volumes = json.dumps([one.model_dump(mode="json") for one in stacks])
    table = tmp_path / "duplicates.csv"
    command = ["duplicates", "--input", str(archive), "--sources", "pictures", "--volumes", volumes]
    assert main([*command, "--output", str(table)]) == 0
    lines = table.read_text().splitlines()
    assert lines[0].startswith("picture,split,volume,near_duplicate_of,near_duplicate_split,near_duplicate_volume")
    pairs = {(line.split(",")[0], line.split(",")[3]) for line in lines[1:]}
    expected = {("smaller.png", "first.png"), ("smaller.png", "twin of first.png"), ("brighter.png", "second.png")}
    assert pairs == expected
    assert excluded_pictures(table, "val") == {"smaller.png"} and excluded_pictures(table, "train") == set()
    output = tmp_path / "test.safetensors"
    given = ["--input", str(archive), "--output", str(output), "--volume", stacks[0].model_dump_json()]
    assert main(["extract", *given, "--duplicates", str(table)]) == 0
    image = read_image(output)
    assert image.stack.names == ("third.png",) and image.block.near_duplicates == ("brighter.png",)
    assert main(["extract", *given, "--duplicates"]) == 0
    assert read_image(output).stack.names == ("brighter.png", "third.png")


def test_another_table_is_not_taken_for_one_of_near_duplicates(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("picture,volume\n")
    with pytest.raises(UserError, match="is not a table of near-duplicates"):
        excluded_pictures(tmp_path / "x.csv", "s")


# statistics and pages


def test_pictures_are_resampled_one_by_one() -> None:
    series = {"s": np.repeat(np.random.default_rng(0).random(10), 8), "v": np.arange(20.0)}
    subjects = {"s": "s", "v": "v"}
    alone = resampled_means({"s": series["s"]}, subjects, 8, 4000, 0, stacks=["s"])
    np.testing.assert_array_equal(alone, resampled_means({"s": series["s"]}, subjects, 1, 4000, 0))
    spread = series["s"].std() / np.sqrt(80)
    assert alone.std() == pytest.approx(spread, rel=0.1)
    blocks = resampled_means({"s": series["s"]}, subjects, 8, 4000, 0)
    assert blocks.std() > 1.5 * spread


METHODS = ("bicubic", "nearest", "rrdb_l1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages are made of: three stacks, restored by two baselines and by a mixture with the reference."""
    folder = tmp_path_factory.mktemp("stacks")
    names = {"train": "ab", "val": "cd", "test": "efghij"}
    files = {
        f"{split}/{name}.png": scene(ord(name), 40 + ord(name) % 3) for split, all in names.items() for name in all
    }
    archive = zip_of(folder / "p.zip", {name: encoded(picture) for name, picture in files.items()})
    collections = [collection(id=split, folder=split, shards={split: 1}) for split in names]
    evaluating: dict[str, Any] = {"bootstrap_samples": 200}
    values = with_collections(*collections, evaluate=evaluating)
    (folder / "config.json").write_text(json.dumps(values))
    source = LocalSource(kind="local", path="p.zip")
    DownloadRecord.of("pictures", source, "0" * 64, 1).write(folder / "p.source.json")
    settings = Evaluate(**evaluating)
    for volume in read_run(values).volumes:
        extracted = folder / f"hr/{volume.id}.safetensors"
        extract(archive, volume, Extract(), extracted)
        reference = read_image(extracted)
        low = degrade(reference, forward_model(reference, Degrade(), 1))
        write_image(folder / f"lr/{volume.id}.safetensors", low)
        rows: list[Any] = []
        for method in METHODS:
            path = prediction_path(folder / "predictions", method, volume.id, suffix_of(low))
            if method == "rrdb_l1":
                # picture number i is the worse restored, the greater i is
                noise = np.random.default_rng(0).standard_normal(reference.data.shape)
                write_prediction(
                    path, low, padded(reference.data + 0.01 * (1 + np.arange(reference.data.shape[2])) * noise)
                )
            else:
                write_prediction(path, low, upsample(low, method))
            rows.extend(evaluate(reference, method, read_prediction(path, reference), settings))
        if volume.split != "train":
            SLICES.write(folder / f"{volume.id}.csv", rows)
    slices = read_parts([folder / "val-0.csv", folder / "test-0.csv"])
    SLICES.write(folder / "slices.csv", slices)
    VOLUMES.write(folder / "volumes.csv", volume_table(slices))
    SUMMARY.write(folder / "summary.csv", summarise(slices, settings, 1, ["val-0", "test-0"]))
    (folder / "tuning.json").write_text(json.dumps({"methods": {}}))
    (folder / "models/rrdb_l1").mkdir(parents=True)
    (folder / "models/rrdb_l1/model_card.md").write_text("# Fine-tuned\n")
    (folder / "models/rrdb_l1/history.csv").write_text("step,learning_rate,loss\n")
    hr = [str(folder / f"hr/{split}-0.safetensors") for split in names]
    command = ["provenance", "--config", str(folder / "config.json"), "--sources", str(folder / "p.source.json")]
    assert main([*command, "--volumes", *hr, "--output", str(folder / "provenance.json")]) == 0
    return folder


def padded(data: np.ndarray) -> np.ndarray:
    return np.pad(data, [(0, -data.shape[0] % 4), (0, -data.shape[1] % 4), (0, 0)])


def tables(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.csv" for name in ("volumes", "slices", "summary")}


def table_options(folder: Path) -> list[str]:
    files = tables(folder)
    given = ["--volumes-table", files["volumes"], "--slices", files["slices"], "--summary", files["summary"]]
    given += ["--provenance", folder / "provenance.json", "--models", folder / "models/rrdb_l1"]
    return list(map(str, given))


def test_the_worst_pictures_come_first(finished: Path) -> None:
    reference = read_image(finished / "hr/test-0.safetensors")
    files = tables(finished)
    run = read_run_record(files["volumes"], files["slices"], files["summary"], finished / "provenance.json", [])
    assert slices_to_show(reference, run, "rrdb_l1", 3) == [5, 4, 3]


def test_the_page_of_a_stack_names_its_pictures(finished: Path) -> None:
    output = finished / "pages"
    predictions = [str(finished / f"predictions/{method}/test-0.tiff") for method in METHODS]
    given = ["--hr", finished / "hr/test-0.safetensors", "--lr", finished / "lr/test-0.safetensors"]
    given += ["--tuning", finished / "tuning.json", "--deliver", "rrdb_l1", "--output", output]
    settings = json.dumps({"slices_shown": 2})
    command = ["report_volumes", *map(str, given), "--predictions", *predictions, "--settings", settings]
    assert main([*command, *table_options(finished)]) == 0
    text = (output / "test-0.html").read_text()
    assert text.index(">j.png<") < text.index(">i.png<") and ">e.png<" not in text
    assert "6 pictures" in text and "Radiological" not in text and "subjects are unknown" in text
    assert "Nonethth" not in text and "None" not in text.split("<h2")[1]


def test_the_page_over_all_volumes_claims_no_heads(finished: Path) -> None:
    output = finished / "index.html"
    assert main(["report_index", *table_options(finished), "--output", str(output)]) == 0
    text = output.read_text()
    assert "Unseen pictures" in text and "Their subjects are unknown" in text
    assert "Unseen subjects" not in text and "the choice of subjects" not in text
    assert "6 pictures" in text


def test_provenance_counts_what_was_left_out(finished: Path) -> None:
    record = json.loads((finished / "provenance.json").read_text())
    test = next(volume for volume in record["volumes"] if volume["id"] == "test-0")
    assert test["plane"] == "picture" and test["left_out"] == {"too_large": 0, "near_duplicate": 0}
    assert [volume["id"] for volume in record["volumes"]] == ["train-0", "val-0", "test-0"]
