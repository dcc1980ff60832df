"""OME-Zarr of every kind, known by its content, read whole and part by part, which must agree."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.formats import ome_zarr as ome_zarr_format
from pipeline.formats.tiled import fitting_format, is_large, tiled_format_of
from tests.unit.test_ome_zarr import VERSIONS, pixels, transformations, write_store
from tests.unit.test_tiff_kinds import messages, read_both, sections_of

DATA = pixels((3, 37, 50), "u2")
STEPS = {"type": "scale", "scale": [1.0, 1.0, 1.0]}


def change(store: Path, how: Callable[[Any], Any]) -> None:
    """Change the metadata of OME-NGFF of a store."""
    attributes = zarr.open_group(store, mode="r+").attrs
    values = attributes.asdict()
    how(values.get("ome", values))
    attributes.put(values)


def zipped(folder: Path, archive: Path, inside: str = "", extra: tuple[str, ...] = ()) -> Path:
    """Pack a folder as other programs do, compressed, below the folder `inside` of the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in extra:
            packed.writestr(name, b"{}")
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed.write(file, f"{inside}{file.relative_to(folder)}")
    shutil.rmtree(folder)
    return archive


def level_inside(store: Path) -> Path:
    return store / "s0"


def without_suffix(store: Path) -> Path:
    return store.rename(store.with_name("scan"))


def bare_suffix(store: Path) -> Path:
    return store.rename(store.with_name("scan.zarr"))


def level_of_folder_without_suffix(store: Path) -> Path:
    return without_suffix(store) / "s0"


def one_in_a_folder(store: Path) -> Path:
    (store.parent / "session").mkdir()
    return store.rename(store.parent / "session/scan.ome.zarr").parent


def plain_zip(store: Path) -> Path:
    return zipped(store, store.with_name("download.zip"))


def plain_zip_of_a_folder(store: Path) -> Path:
    junk = ("__MACOSX/scan.ome.zarr/zarr.json", "README.txt")
    return zipped(store, store.with_name("download.zip"), "data/scan.ome.zarr/", junk)


PLACES: tuple[Callable[[Path], Path], ...] = (
    level_inside,
    without_suffix,
    bare_suffix,
    level_of_folder_without_suffix,
    one_in_a_folder,
    plain_zip,
    plain_zip_of_a_folder,
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", PLACES)
def test_a_store_is_known_by_what_is_in_it(place: Any, version: str, tmp_path: Path) -> None:
    source = place(write_store(tmp_path / "scan.ome.zarr", DATA, "zyx", version))
    image = read_both(source)
    np.testing.assert_array_equal(sections_of(image), DATA)
    assert image.spacing == (0.13, 0.325, 1.3) and format_of(source) is ome_zarr_format
    assert not is_large(source)
    assert fitting_format(source, tmp_path / "out.ome.zarr") is tiled_format_of(source)
    output = tmp_path / "out.ome.zarr"
    ome_zarr_format.write(output, image)
    np.testing.assert_array_equal(sections_of(read_both(output)), DATA)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_coarser_level_and_an_array_of_no_image_are_refused_by_name(version: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "scan.ome.zarr", DATA, "zyx", version)
    group = zarr.open_group(store, mode="r+")
    group.create_array("s1", shape=(3, 19, 25), dtype="u2")[...] = 1
    group.create_array("notes", shape=(9,), dtype="u2")[...] = 1

    level = {"path": "s1", "coordinateTransformations": [STEPS]}
    change(store, lambda content: content["multiscales"][0]["datasets"].append(level))
    with pytest.raises(UserError, match=r"s1: is a coarser level of the image .*scan\.ome\.zarr"):
        read_both(store / "s1")
    with pytest.raises(UserError, match="notes: is an array of zarr that belongs to no image"):
        read_both(store / "notes")


@pytest.mark.parametrize("packed", [False, True])
def test_of_several_images_in_a_folder_or_archive_one_is_chosen(packed: bool, tmp_path: Path) -> None:
    for name, data in (("a", DATA), ("b", DATA[::-1]), ("c", DATA[:1])):
        write_store(tmp_path / f"data/{name}.zarr", data, "zyx")
    group = zarr.open_group(tmp_path / "data/c.zarr", mode="r+")
    content: Any = group.attrs["ome"]
    group.attrs["ome"] = {**content, "multiscales": [{**content["multiscales"][0], "name": name} for name in "de"]}
    source = zipped(tmp_path / "data", tmp_path / "x.zip") if packed else tmp_path / "data"
    for series in (None, "d", "b", "b.zar"):
        with pytest.raises(UserError, match=r"3 OME-Zarr; .*choose one by the key `series`: a\.zarr, b\.zarr") as error:
            read_both(source, Part(series=series))
        assert "whole" not in str(error.value)
    for series, expected in (("a.zarr", DATA), ("b.zarr", DATA[::-1]), ("c.zarr/e", DATA[:1])):
        np.testing.assert_array_equal(sections_of(read_both(source, Part(series=series))), expected)
        assert not is_large(source, series)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_coarser_level_that_comes_first_is_refused(version: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "x.zarr", DATA, "zyx", version)
    zarr.open_group(store, mode="r+").create_array("s1", shape=(3, 19, 25), dtype="u2")[...] = 1

    def add(content: Any) -> None:
        datasets = content["multiscales"][0]["datasets"]
        gone = {"path": "gone", "coordinateTransformations": [STEPS]}
        content["multiscales"][0]["datasets"] = [{**gone, "path": "s1"}, gone, *datasets]

    change(store, add)
    with pytest.raises(UserError, match=r"'s1' of shape \(3, 19, 25\) comes before 's0' of shape \(3, 37, 50\)"):
        read_both(store)


@pytest.mark.parametrize(("voxel_um", "ratio"), [((0.13, 0.325, 1.3), 1.0), ((0.26, 0.65, 2.6), 2.0)])
@pytest.mark.parametrize("unit", ["nanometer", None])
def test_a_given_size_of_a_voxel_keeps_the_place(voxel_um: Any, ratio: float, unit: Any, tmp_path: Path) -> None:
    axes = [{"name": name, "type": "space", **({"unit": unit} if unit else {})} for name in "zyx"]
    scale, shift = [1300.0, 325.0, 130.0], [-4000.0, 1000.0, 21.7]
    steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
    datasets = [{"path": "s0", "coordinateTransformations": steps}]
    store = write_store(tmp_path / "x.zarr", DATA, "zyx", entry={"axes": axes, "datasets": datasets})
    ome_zarr_format.write(tmp_path / "out.zarr", read_both(store, Part(voxel_um=voxel_um)))
    is_kept = unit is not None and ratio == 1
    factor = 1.0 if is_kept else ratio / 1000
    found = transformations(tmp_path / "out.zarr")
    assert found == tuple(pytest.approx([factor * one for one in values]) for values in (scale, shift))
    written: Any = zarr.open_group(tmp_path / "out.zarr", mode="r").attrs["ome"]
    assert written["multiscales"][0]["axes"][0]["unit"] == ("nanometer" if is_kept else "micrometer")


@pytest.mark.parametrize("version", VERSIONS)
def test_of_several_multiscales_one_is_chosen(version: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / "x.zarr", DATA, "zyx", version)
    zarr.open_group(store, mode="r+").create_array("other", shape=DATA.shape, dtype="u2")[...] = DATA[::-1]

    def add_image(content: Any) -> None:
        datasets = [{"path": "other", "coordinateTransformations": [STEPS]}]
        content["multiscales"].append({**content["multiscales"][0], "name": "deconvolved", "datasets": datasets})

    change(store, add_image)
    with pytest.raises(UserError, match=r"contains 2 images .* choose one by the key `series`: cortex, deconvolved"):
        read_both(store)
    for name, expected in (("cortex", DATA), ("deconvolved", DATA[::-1])):
        np.testing.assert_array_equal(sections_of(read_both(store, Part(series=name))), expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_of_a_plate_is_read_and_plates_and_masks_are_refused(
    version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plate = tmp_path / "x.ome.zarr"
    field = write_store(plate / "A/1/0", DATA, "zyx", version)
    for folder, kind in ((plate / "A", None), (plate / "A/1", "well"), (plate, "plate")):
        group = zarr.open_group(folder, mode="a", zarr_format=2 if version == "0.4" else 3)
        content = {} if kind is None else {kind: {"version": version}}
        group.attrs.update(content if version == "0.4" else {"ome": {"version": version, **content}})
    np.testing.assert_array_equal(sections_of(read_both(field)), DATA)
    for folder in (plate, plate / "A/1"):
        with pytest.raises(UserError, match="plate of many images; name one of them, such as PLATE/A/1/0"):
            read_both(folder)
    mask = write_store(field / "labels/cells", DATA, "zyx", version)
    change(mask, lambda content: content.update({"image-label": {"version": version}}))
    with pytest.raises(UserError, match="mask of labels"):
        read_both(mask)
    read_both(field)
    assert "its labels (cells) are not written" in messages(caplog, logging.INFO)


@pytest.mark.parametrize(
    ("unit", "micrometres"),
    [("angstrom", 1e-4), ("inch", 25400.0), ("foot", 304800.0), ("yard", 914400.0), ("mile", 1609344000.0),
     ("picometer", 1e-6), ("decimeter", 1e5), ("parsec", 3.0856775814913673e22), ("µm", 1.0)],
)  # fmt: skip
def test_units_of_length_are_those_of_udunits(unit: str, micrometres: float, tmp_path: Path) -> None:
    axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    image = read_both(write_store(tmp_path / "x.zarr", DATA, "zyx", entry={"axes": axes}))
    assert image.unit == "um" and image.spacing == pytest.approx([s * micrometres for s in (130.0, 325.0, 1.3)])


def test_units_that_nobody_knows_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    axes = [{"name": name, "type": "space", "unit": "furlong"} for name in "zyx"]
    store = write_store(tmp_path / "x.zarr", DATA, "zyx", entry={"axes": axes})
    assert read_both(store).unit == "pixel"
    assert "the unit 'furlong' of the axis x is unknown" in messages(caplog)
    caplog.clear()
    assert read_both(store, Part(voxel_um=(1.0, 1.0, 2.0))).spacing == (1.0, 1.0, 2.0) and not messages(caplog)


def test_a_unit_of_one_axis_only_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    axes = [{"name": "z", "type": "space"}, {"name": "y", "type": "space"}, {"name": "x", "unit": "micrometer"}]
    assert read_both(write_store(tmp_path / "x.zarr", DATA, "zyx", entry={"axes": axes})).unit == "pixel"
    assert "states a unit of x but none of y" in messages(caplog)


def test_slices_at_a_distance_that_nobody_knows_count_as_far_apart_as_columns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    units = {"z": "furlong", "y": "nanometer", "x": "nanometer"}
    axes = [{"name": name, "type": "space", "unit": unit} for name, unit in units.items()]
    image = read_both(write_store(tmp_path / "x.zarr", DATA, "zyx", entry={"axes": axes}))
    assert image.spacing == pytest.approx((0.13, 0.325, 0.13)) and "axis z is unknown" in messages(caplog)
    ome_zarr_format.write(tmp_path / "out.zarr", image)
    scale, _ = transformations(tmp_path / "out.zarr")
    assert scale == [1.3, 325.0, 130.0]


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "f2", ">f4", "i1"])
@pytest.mark.parametrize(
    "options", [{}, {"shards": (1, 64, 64), "chunks": (1, 16, 16)}, {"fill_value": 7, "chunks": (1, 16, 16)}]
)
def test_types_shards_and_fill_values(
    dtype: str, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = pixels((3, 64, 80), dtype)
    data[1] = options.get("fill_value", 0)
    store = write_store(
        tmp_path / "x.zarr", data, "zyx", **{"chunks": (1, 64, 64), "config": {"write_empty_chunks": False}, **options}
    )
    image = read_both(store)
    np.testing.assert_array_equal(sections_of(image), data.astype(float))
    assert ("chunks are not stored; they count as" in messages(caplog, logging.INFO)) and not messages(caplog)
    ome_zarr_format.write(tmp_path / "out.zarr", image)
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "out.zarr", mode="r")["0"], data)


def test_a_result_of_zeros_is_written_whole_and_can_be_read(tmp_path: Path) -> None:
    source = write_store(tmp_path / "a.ome.zarr", pixels((130, 70), "u2"), "yx")
    image = format_of(source).read(source)
    target = tmp_path / "b.ome.zarr"
    format_of(source).write(target, image.with_data(np.zeros_like(image.data)))
    assert not format_of(target).read(target).data.any()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("packed", [False, True])
def test_missing_chunks_are_counted_whatever_else_lies_beside_them(
    version: str, packed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = write_store(tmp_path / "x.ome.zarr", DATA, "zyx", version, chunks=(1, 16, 16))
    first = "c/1/0" if version == "0.5" else "1/0"
    chunks = [file for file in (store / "s0").rglob("*") if file.is_file() and not file.name.startswith((".z", "zarr"))]
    assert len(chunks) == 36
    for file in sorted(chunks)[:4]:
        file.unlink()
    for junk in (".DS_Store", f"{first}/.DS_Store", f"{first}/7", f"{first}/2.8f3a.partial", f"{first}/0.tmp"):
        (store / "s0" / junk).parent.mkdir(parents=True, exist_ok=True)
        (store / "s0" / junk).write_bytes(b"junk")
    source = store
    if packed:  # with entries of the folders, as other programs write them
        source = Path(shutil.make_archive(str(tmp_path / "x.ome.zarr"), "zip", store))
    image = read_both(source)
    assert "4 of 36 chunks are not stored" in messages(caplog, logging.INFO)
    assert np.count_nonzero(sections_of(image) != DATA) > 0
