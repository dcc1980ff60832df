"""OME-Zarr in and out: judged by the raw JSON and by zarr alone."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.ome_zarr import read, write
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.intensity import IntensityMap
from pipeline.image.stack import upright
from pipeline.physics.grid import fine_affine
from tests.helpers import contents

VERSIONS = ("0.4", "0.5")
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
UNITS = {"t": "second", "z": "micrometer", "y": "nanometer", "x": "nanometer"}
SCALES = {"t": 2.5, "c": 1.0, "z": 1.3, "y": 325.0, "x": 130.0}
SHIFTS = {"t": 7.0, "c": 0.0, "z": -4.0, "y": 1000.0, "x": 21.7}


def write_store(
    path: Path, data: NDArray, axes: str, version: str = "0.5", *, entry: dict[str, Any] | None = None, **array: Any
) -> Path:
    """Write an OME-Zarr as the standard says, with zarr alone; `entry` changes the entry of multiscales."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    chunks = tuple(min(size, 64) for size in data.shape)
    level = group.create_array("s0", shape=data.shape, dtype=data.dtype, **{"chunks": chunks, **array})
    level[...] = data
    steps = [
        {"type": "scale", "scale": [SCALES[name] for name in axes]},
        {"type": "translation", "translation": [SHIFTS[name] for name in axes]},
    ]
    described = [{"name": name, "type": KINDS[name], "unit": UNITS.get(name)} for name in axes]
    image = {
        "axes": [{key: value for key, value in axis.items() if value} for axis in described],
        "datasets": [{"path": "s0", "coordinateTransformations": steps}],
        "name": "cortex",
        **(entry or {}),
    }
    count = data.shape[axes.index("c")] if "c" in axes else 1
    channels = [{"label": f"dye {index}", "color": "00FF00", "active": True} for index in range(count)]
    content = {"multiscales": [image], "omero": {"channels": channels, "rdefs": {"model": "color"}}}
    if version == "0.4":
        image["version"] = "0.4"
        group.attrs.update(content)
    else:
        group.attrs["ome"] = {"version": version, **content}
    return path


def described(path: Path) -> dict[str, Any]:
    """Read the raw JSON of a store: what stands beside `multiscales`."""
    if (path / ".zattrs").exists():
        return json.loads((path / ".zattrs").read_text())
    return json.loads((path / "zarr.json").read_text())["attributes"]["ome"]


def transformations(path: Path, level: int = 0) -> tuple[list[float], list[float]]:
    """Return scale and translation of a level."""
    scale, translation = described(path)["multiscales"][0]["datasets"][level]["coordinateTransformations"]
    assert (scale["type"], translation["type"]) == ("scale", "translation")
    return scale["scale"], translation["translation"]


def pixels(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> NDArray:
    """Return noise over the range of a dtype."""
    generator = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return generator.normal(100, 30, shape).astype(kind)
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, shape, dtype=kind.newbyteorder("="), endpoint=True).astype(kind)


def enlarged(image: Image, factor: int) -> Image:
    """Repeat every voxel along x and y, on the grid of cell centres."""
    data = image.data.repeat(factor, axis=0).repeat(factor, axis=1)
    return image.with_data(data, affine=fine_affine(image.affine, (factor, factor, 1)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i2", "u4", "<f4", "f8"])
def test_voxels_and_metadata_come_back(tmp_path, version, dtype):
    data = pixels((2, 3, 4, 70, 81), dtype)
    source = write_store(tmp_path / "in.ome.zarr", data, "tczyx", version)
    image = read(source, Part(frame=1, channel="dye 2"))
    assert image.data.shape == (81, 70, 4) and image.unit == "um"
    assert np.array_equal(upright(image.data[:, :, 3]), data[1, 2, 3])
    assert image.spacing == pytest.approx((0.13, 0.325, 1.3))
    target = tmp_path / "out.ome.zarr"
    assert write(target, image) == 0
    group = zarr.open_group(target, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    back: Any = group["0"]
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(back[:], data[1:2, 2:3])
    before, after = described(source), described(target)
    assert after["multiscales"][0]["axes"] == before["multiscales"][0]["axes"]
    assert after["multiscales"][0]["name"] == "cortex"
    assert after["omero"] == {**before["omero"], "channels": before["omero"]["channels"][2:3]}
    scale, translation = transformations(source)
    assert transformations(target) == (scale, [translation[0] + scale[0], *translation[1:]])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_follows_the_published_layout(tmp_path, version):
    source = write_store(tmp_path / "in.zarr", pixels((3, 300, 531), "u2"), "zyx", version)
    target = tmp_path / "out.ome.zarr"
    write(target, read(source))
    content = described(target)
    entry = content["multiscales"][0]
    if version == "0.4":
        assert entry["version"] == "0.4" and (target / ".zgroup").is_file()
        array = json.loads((target / "0/.zarray").read_text())
        assert array["dimension_separator"] == "/" and array["zarr_format"] == 2
        assert (target / "0/2/0/1").is_file()
    else:
        assert content["version"] == "0.5"
        array = json.loads((target / "0/zarr.json").read_text())
        assert array["dimension_names"] == ["z", "y", "x"] and array["zarr_format"] == 3
        assert (target / "0/c/2/0/1").is_file()
    assert [axis["type"] for axis in entry["axes"]] == ["space"] * 3
    assert [dataset["path"] for dataset in entry["datasets"]] == ["0", "1", "2"]
    group: Any = zarr.open_group(target, mode="r")
    assert [group[name].shape for name in "012"] == [(3, 300, 531), (3, 150, 266), (3, 75, 133)]


def test_a_coarser_level_holds_means_and_lies_where_they_lie(tmp_path):
    data = pixels((300, 531), "u2")
    target = tmp_path / "out.ome.zarr"
    write(target, read(write_store(tmp_path / "in.zarr", data, "yx")))
    group: Any = zarr.open_group(target, mode="r")
    padded = np.pad(data, ((0, 0), (0, 1)), mode="edge").astype(float)
    means = np.rint(padded.reshape(150, 2, 266, 2).mean(axis=(1, 3)))
    assert np.array_equal(group["1"][:], means)
    scale, translation = transformations(target, 1)
    assert scale == [650.0, 260.0]
    assert translation == pytest.approx([1000 + 325 / 2, 21.7 + 130 / 2])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_finer_image_covers_the_same_place(tmp_path, factor):
    source = write_store(tmp_path / "in.zarr", pixels((3, 40, 51), "u2"), "zyx")
    target = tmp_path / "out.ome.zarr"
    write(target, enlarged(read(source), factor))
    (old_scale, old_shift), (scale, shift) = transformations(source), transformations(target)
    assert scale == pytest.approx([1.3, 325 / factor, 130 / factor])
    for size, axis in ((40, 1), (51, 2)):
        low, high = (old_shift[axis] + old_scale[axis] * (place - 0.5) for place in (0, size))
        new_low, new_high = (shift[axis] + scale[axis] * (place - 0.5) for place in (0, size * factor))
        assert (new_low, new_high) == pytest.approx((low, high))
    again = read(target)
    assert again.affine == pytest.approx(fine_affine(read(source).affine, (factor, factor, 1)))


def test_transformations_of_all_levels_are_taken_along(tmp_path):
    common = [{"type": "scale", "scale": [2.0, 10.0]}, {"type": "translation", "translation": [1.0, 5.0]}]
    source = write_store(
        tmp_path / "in.zarr", pixels((40, 51), "u2"), "yx", entry={"coordinateTransformations": common}
    )
    image = read(source)
    assert image.spacing[:2] == pytest.approx((1.3, 0.65))
    write(tmp_path / "out.ome.zarr", image)
    scale, translation = transformations(tmp_path / "out.ome.zarr")
    assert (scale, translation) == ([650.0, 1300.0], pytest.approx([2001.0, 222.0]))


def test_without_units_a_voxel_is_a_pixel_until_its_size_is_told(tmp_path):
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    source = write_store(tmp_path / "in.zarr", pixels((40, 51), "u2"), "yx", entry={"axes": axes})
    assert read(source).unit == "pixel"
    image = read(source, Part(voxel_um=(0.2, 0.4, 3.0)))
    assert image.unit == "um" and image.spacing[:2] == pytest.approx((0.2, 0.4))
    write(tmp_path / "out.ome.zarr", image)
    assert transformations(tmp_path / "out.ome.zarr")[0] == [0.4, 0.2]
    assert described(tmp_path / "out.ome.zarr")["multiscales"][0]["axes"][1]["unit"] == "micrometer"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_zipped_store_is_read_and_written_with_the_same_bytes_every_time(tmp_path, version):
    data = pixels((40, 51), "u2")
    source = write_store(tmp_path / "in.zarr", data, "yx", version)
    image = read(source)
    first, second = tmp_path / "a.ome.zarr.zip", tmp_path / "b.ome.zarr.zip"
    write(first, image)
    write(second, read(first))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    assert np.array_equal(upright(read(second).data[:, :, 0]), data)
    inside = tmp_path / "inside.zarr.zip"
    with zipfile.ZipFile(inside, "w") as archive:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            archive.write(file, f"in.zarr/{file.relative_to(source)}")
    assert np.array_equal(read(inside).data, image.data)


def test_the_same_image_gives_the_same_bytes(tmp_path):
    image = read(write_store(tmp_path / "in.zarr", pixels((600, 51), "u2"), "yx"))
    for name in ("a.zarr", "b.zarr"):
        write(tmp_path / name, image)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_an_image_survives_the_files_between_the_stages(tmp_path):
    source = write_store(tmp_path / "in.zarr", pixels((3, 40, 51), "u2"), "zyx", "0.4")
    image = read(source)
    write_image(tmp_path / "image.safetensors", image.with_data(image.data.astype(np.float32)))
    write(tmp_path / "a.zarr", image)
    write(tmp_path / "b.zarr", read_image(tmp_path / "image.safetensors"))
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_values_beyond_the_dtype_are_clipped_and_counted(tmp_path):
    image = read(write_store(tmp_path / "in.zarr", pixels((40, 51), "u1"), "yx"))
    assert write(tmp_path / "out.zarr", image.with_data(image.data + 200.0)) > 0
    level: Any = zarr.open_group(tmp_path / "out.zarr", mode="r")["0"]
    assert level[:].max() == 255


def test_chunks_in_shards_and_missing_black_chunks_are_read(tmp_path):
    data = pixels((256, 256), "u2")
    data[:64, :64] = 0
    sharded = write_store(tmp_path / "a.zarr", data, "yx", chunks=(64, 64), shards=(128, 128))
    assert np.array_equal(upright(read(sharded).data[:, :, 0]), data)
    sparse = write_store(tmp_path / "b.zarr", data, "yx", chunks=(64, 64), config={"write_empty_chunks": False})
    assert not (sparse / "s0/c/0/0").exists()
    assert np.array_equal(upright(read(sparse).data[:, :, 0]), data)


def test_of_several_images_in_one_store_one_is_chosen(tmp_path):
    path = tmp_path / "many.zarr"
    root = zarr.open_group(path, mode="w")
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    for name in ("0", "1"):
        write_store(path / name, pixels((40, 51 + int(name)), "u2"), "yx")
    with pytest.raises(UserError, match="choose one of its 2 images by the key `series`: 0, 1"):
        read(path)
    assert read(path, Part(series="1")).data.shape == (52, 40, 1)
    with pytest.raises(UserError, match="no series '7'"):
        read(path, Part(series="7"))


def test_frames_must_be_chosen_where_there_are_several_and_channels_may_be(tmp_path):
    source = write_store(tmp_path / "in.zarr", pixels((2, 3, 40, 51), "u2"), "tcyx")
    with pytest.raises(UserError, match="contains 2 frames; choose one"):
        read(source)
    assert read(source, Part(frame=0)).data.shape == (51, 40, 3)
    for channel in ("nothing", 3, -1):
        with pytest.raises(UserError, match="channel"):
            read(source, Part(frame=0, channel=channel))


def test_what_stood_there_is_replaced_whole_and_nothing_else_is_touched(tmp_path):
    image = read(write_store(tmp_path / "in.zarr", pixels((40, 51), "u2"), "yx"))
    target = tmp_path / "out/out.zarr"
    write(target, enlarged(image, 20))
    write(target, image)
    assert not (target / "1").exists()
    assert [path.name for path in target.parent.iterdir()] == ["out.zarr"]
    precious = tmp_path / "data.zarr"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match="is not a zarr"):
        write(precious, image)
    assert (precious / "thesis.tex").read_text() == "years"
    (tmp_path / "folder.zarr.zip").mkdir()
    with pytest.raises(UserError, match="a folder has this name"):
        write(tmp_path / "folder.zarr.zip", image)
    with pytest.raises(UserError, match="read from another format"):
        write(tmp_path / "other.zarr", replace(image, header=FileHeader(format="nifti")))


def test_the_format_is_found_by_the_name(tmp_path):
    source = write_store(tmp_path / "in.OME.zarr", pixels((40, 51), "u2"), "yx")
    assert format_of(source).read(source).intensity == IntensityMap(dtype="uint16")


def edit(path: Path, change: Any) -> None:
    """Change a JSON file."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def entry_of(values: Any) -> Any:
    return values["attributes"]["ome"]["multiscales"][0]


def no_multiscale(path: Path) -> None:
    edit(path / "zarr.json", lambda values: values["attributes"].clear())


def old_version(path: Path) -> None:
    edit(path / "zarr.json", lambda values: values["attributes"]["ome"].update(version="0.3"))


def plate(path: Path) -> None:
    edit(path / "zarr.json", lambda values: values["attributes"]["ome"].update(plate={"rows": []}))


def no_array(path: Path) -> None:
    (path / "s0/zarr.json").unlink()


def lying_shape(path: Path) -> None:
    edit(path / "s0/zarr.json", lambda values: values.update(shape=[1 << 20, 1 << 20]))


def huge_chunks(path: Path) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [1 << 20, 1 << 20]}}
    edit(path / "s0/zarr.json", lambda values: values.update(chunk_grid=grid, shape=[1 << 20, 1 << 20]))


def negative_shape(path: Path) -> None:
    edit(path / "s0/zarr.json", lambda values: values.update(shape=[-1, 51]))


def empty(path: Path) -> None:
    edit(path / "s0/zarr.json", lambda values: values.update(shape=[0, 51]))


def no_chunks(path: Path) -> None:
    for chunk in (path / "s0/c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()


def damaged_chunk(path: Path) -> None:
    chunk = path / "s0/c/0/0"
    chunk.write_bytes(b"\0" * 20 + chunk.read_bytes()[20:50])


def link_out(path: Path) -> None:
    (path / "s0/c/0/0").unlink()
    (path / "s0/c/0/0").symlink_to(path.parent / "secret")


def folder_link_out(path: Path) -> None:
    (path / "labels").symlink_to(path.parent)


def path_out(path: Path) -> None:
    edit(path / "zarr.json", lambda values: entry_of(values)["datasets"][0].update(path="../other.zarr/s0"))


def half_json(path: Path) -> None:
    (path / "zarr.json").write_text((path / "zarr.json").read_text()[:100])


def json_list(path: Path) -> None:
    edit(path / "zarr.json", lambda values: values["attributes"]["ome"].update(multiscales=[["axes"]]))


def no_transformation(path: Path) -> None:
    edit(path / "zarr.json", lambda values: entry_of(values)["datasets"][0].clear())


def wrong_axes(path: Path) -> None:
    edit(path / "zarr.json", lambda values: entry_of(values)["axes"].reverse())


def axis_too_many(path: Path) -> None:
    edit(path / "zarr.json", lambda values: entry_of(values).update(axes=[{"name": name} for name in "zyx"]))


def zero_scale(path: Path) -> None:
    steps = [{"type": "scale", "scale": [0.0, 1.0]}]
    edit(path / "zarr.json", lambda v: entry_of(v)["datasets"][0].update(coordinateTransformations=steps))


def unknown_codec(path: Path) -> None:
    codecs = [{"name": "secret", "configuration": {}}]
    edit(path / "s0/zarr.json", lambda values: values.update(codecs=codecs))


def complex_values(path: Path) -> None:
    edit(path / "s0/zarr.json", lambda values: values.update(data_type="complex64", fill_value=[0, 0]))


BROKEN = {
    no_multiscale: "'multiscales' is missing",
    old_version: "version of OME-NGFF is '0.3'; 0.4 and 0.5 can be read",
    plate: "a plate of many images",
    no_array: "cannot be read as OME-Zarr",
    lying_shape: "chunks, but 1 are there",
    huge_chunks: "more than 512 MiB each",
    negative_shape: "in.zarr",
    empty: "is empty",
    no_chunks: "0 are there",
    damaged_chunk: "at rows 0 to 40, columns 0 to 51",
    link_out: "is a link that leads out of it",
    folder_link_out: "is a link that leads out of it",
    path_out: "cannot be read as OME-Zarr",
    half_json: "cannot be read as OME-Zarr",
    json_list: "'multiscales' is missing",
    no_transformation: "does not follow OME-NGFF 0.5",
    wrong_axes: "its axes are 'xy'",
    axis_too_many: "in.zarr",
    zero_scale: "each must be above zero",
    unknown_codec: "cannot be read as OME-Zarr",
    complex_values: "not intensities",
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_or_hostile_store_gives_one_clear_message(tmp_path, damage, message):
    (tmp_path / "secret").write_text("nobody's business")
    write_store(tmp_path / "other.zarr", pixels((40, 51), "u2"), "yx")
    path = write_store(tmp_path / "in.zarr", pixels((40, 51), "u2"), "yx")
    damage(path)
    with pytest.raises(UserError) as told:
        read(path)
    assert message in str(told.value)
    assert str(told.value).startswith(str(path)) and "\n" not in str(told.value)


def test_what_is_no_store_at_all_gives_one_clear_message(tmp_path):
    (tmp_path / "file.zarr").write_text("text")
    (tmp_path / "text.zarr.zip").write_text("text")
    (tmp_path / "folder.zarr").mkdir()
    os.mkfifo(tmp_path / "pipe.zarr")
    for name in ("file.zarr", "text.zarr.zip", "folder.zarr", "absent.zarr", "pipe.zarr"):
        with pytest.raises(UserError) as told:
            read(tmp_path / name)
        assert name in str(told.value) and "\n" not in str(told.value)


def test_voxels_that_are_no_numbers_are_refused(tmp_path):
    data = pixels((40, 51), "f4")
    data[3, 4] = np.inf
    with pytest.raises(UserError, match="1 voxels are infinite"):
        read(write_store(tmp_path / "in.zarr", data, "yx"))
