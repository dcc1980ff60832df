"""Images that do not fit into memory: read by regions, restored tile by tile, written as pyramids."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import torch
import zarr
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage

from benchmarks.large_images import apply_measured, make_image
from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats import Part
from pipeline.formats.tiled import chosen, is_large, open_tiled
from pipeline.image.intensity import IntensityMap
from pipeline.inference.block_methods import PlaneNetwork
from pipeline.inference.channel_statistics import ChannelStatistics, channel_statistics, normalised
from pipeline.inference.error_map import FLOOR, UncertaintyKind
from pipeline.inference.large_images import restore_large
from pipeline.inference.tiles import Tiling, restored_blocks
from pipeline.models.calibration import Calibration, write_calibration
from pipeline.models.error_intervals import MAP_LEVEL, ErrorIntervals, ErrorTerm, LevelScale
from pipeline.models.generator import Generator
from pipeline.models.record import NetworkRecord, TrainingDomain
from pipeline.models.weights import save_generator
from tests.helpers import CHECKOUT, contents, restore_slice, run_command, the_message
from tests.interruption import run_killed
from tests.small_training import tiny_generator
from tests.unit.test_ome_zarr import described, pixels, transformations, write_store
from tests.unit.test_tiff_kinds import plane_of, write_set

pytestmark = pytest.mark.usefixtures("one_thread")

GIB = 2**30
SMALL = Infer(tile_lr=64, overlap_lr=16, noise_sigma=0.02, threads=1, backend="torch", force=True)
UM = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


@pytest.fixture(scope="module")
def network() -> Generator:
    """The smallest network; it enlarges by 2."""
    return tiny_generator(factor=2, features=4, growth=2).eval()


@pytest.fixture(scope="module")
def network_file(tmp_path_factory, network) -> Path:
    path = tmp_path_factory.mktemp("network") / "generator.safetensors"
    save_generator(path, network)
    return path


def micrograph(shape: tuple[int, ...], dtype: str = "u2") -> NDArray:
    """Return smooth cells with noise, different in every plane."""
    generator = np.random.default_rng(len(shape))
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    planes = [np.sin(y / 7 + index) * np.sin(x / (9 + index)) for index in range(int(np.prod(shape[:-2])))]
    data = 3000 + 2000 * np.reshape(planes, shape) + generator.normal(0, 100, shape)
    return data.astype(dtype)


def write_tiff(path: Path, data: NDArray, axes: str = "YX", **options: Any) -> Path:
    """Write an OME-TIFF with tifffile alone."""
    metadata = {"axes": axes, **UM, **options.pop("metadata", {})}
    tifffile.imwrite(path, data, ome=True, **{"photometric": "minisblack", "metadata": metadata, **options})
    return path


def whole(path: Path) -> NDArray:
    """Read all planes of an image through the tiled reader."""
    with open_tiled(path) as image:
        rows, columns = (slice(0, size) for size in image.plane_shape)
        planes = [image.read(plane, rows, columns) for plane in image.planes]
        return np.reshape(planes, image.shape)


def restored(network: Generator, source: Path, output: Path, wanted: Infer = SMALL, part: Part = Part()) -> int:
    with open_tiled(source) as image:
        return restore_large(PlaneNetwork(network, "a network"), chosen(image, part), wanted, output)


def as_lzw(path: Path, data: NDArray) -> Path:
    PillowImage.fromarray(data).save(path, "TIFF", compression="tiff_lzw", tiffinfo={278: 16})
    return path


def as_planar(path: Path, data: NDArray) -> Path:
    tifffile.imwrite(path, data, photometric="rgb", planarconfig="separate", tile=(32, 48), compression="zlib")
    return path


def as_contiguous_colours(path: Path, data: NDArray) -> Path:
    pixels_last = np.ascontiguousarray(np.moveaxis(data, 0, -1))
    tifffile.imwrite(path, pixels_last, photometric="rgb", tile=(32, 48), compression="zlib")
    return path


READ = {
    "tiles": ("YX", lambda p, d: write_tiff(p, d, tile=(32, 48), compression="zlib")),
    "tiles, not compressed": ("YX", lambda p, d: write_tiff(p, d, tile=(32, 48))),
    "strips": ("YX", lambda p, d: write_tiff(p, d, rowsperstrip=7, compression="zlib", predictor=2)),
    "one piece": ("YX", write_tiff),
    "big endian": ("YX", lambda p, d: write_tiff(p, d, byteorder=">", tile=(32, 32), compression="zlib")),
    "big endian, one piece": ("YX", lambda p, d: write_tiff(p, d, byteorder=">")),
    "pyramid's finest": ("YX", lambda p, d: write_tiff(p, d, tile=(32, 32), bigtiff=True)),
    "five axes": ("TCZYX", lambda p, d: write_tiff(p, d, "TCZYX", tile=(32, 32), compression="zlib")),
    "stack, one piece": ("ZYX", lambda p, d: write_tiff(p, d, "ZYX")),
    "ImageJ": ("ZYX", lambda p, d: (tifffile.imwrite(p, d, imagej=True, metadata={"axes": "ZYX"}), p)[1]),
    "LZW": ("YX", as_lzw),
    "planes of colours": ("CYX", as_planar),
    "colours of pixels": ("CYX", as_contiguous_colours),
    "zarr 2": ("CYX", lambda p, d: write_store(p.with_suffix(".zarr"), d, "cyx", "0.4")),
    "zarr 3": ("TCZYX", lambda p, d: write_store(p.with_suffix(".zarr"), d, "tczyx", "0.5")),
    "shards": ("YX", lambda p, d: write_store(p.with_suffix(".zarr"), d, "yx", chunks=(16, 16), shards=(64, 64))),
}
SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 101, "X": 85}


@pytest.mark.parametrize("kind", READ)
def test_regions_equal_the_whole(tmp_path, kind):
    axes, write = READ[kind]
    data = pixels(tuple(SIZES[axis] for axis in axes), "u2")
    generator = np.random.default_rng(1)
    with open_tiled(write(tmp_path / "in.tiff", data)) as image:
        assert image.shape == data.shape and image.leading.upper() + "YX" == axes
        for _ in range(30):
            plane = image.planes[generator.integers(len(image.planes))]
            rows, columns = (slice(*sorted(generator.choice(size + 1, 2, replace=False))) for size in image.plane_shape)
            region = image.read(plane, rows, columns)
            assert np.array_equal(region, data[(*plane, rows, columns)])
            assert region.dtype == np.dtype("=u2")


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_regions_of_all_dtypes_equal_the_whole(tmp_path, dtype):
    data = pixels((70, 90), dtype)
    path = write_tiff(tmp_path / "in.tiff", data, tile=(32, 32), compression="zlib")
    assert np.array_equal(whole(path), data) and whole(path).dtype == np.dtype(dtype)


def weighted_mean(image: NDArray, restore: Callable[[NDArray], NDArray], tiling: Tiling) -> NDArray:
    total, weights = np.zeros((2, *(3 * size for size in tiling.shape)))
    for rows, row_weights in zip(tiling.along(0), tiling.weights(0), strict=True):
        for columns, column_weights in zip(tiling.along(1), tiling.weights(1), strict=True):
            place = slice(3 * rows.start, 3 * rows.stop), slice(3 * columns.start, 3 * columns.stop)
            weight = np.outer(row_weights, column_weights).astype(np.float64)
            total[place] += weight * restore(image[rows, columns])
            weights[place] += weight
    assert np.allclose(weights, 1, atol=1e-5)
    return total


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    tile=st.integers(16, 40),
    overlap=st.integers(0, 7),
    share=st.floats(0, 1),
)
def test_blocks_are_the_weighted_mean_of_tiles_from_any_row_on(size, tile, overlap, share):
    image = np.random.default_rng(2).random(size, dtype=np.float32)

    def restore(part):
        return np.repeat(np.repeat(part, 3, axis=0), 3, axis=1) + np.linspace(0, 1, part.shape[1] * 3, dtype=np.float32)

    tiling = Tiling(size, (3, 3), tile, overlap)
    expected = weighted_mean(image, restore, tiling)
    first = int(share * 3 * size[0])
    joined = np.full(expected.shape, np.nan, dtype=np.float32)
    end = (first, 0)
    for rows, columns, values in restored_blocks(lambda *place: image[place], tiling, restore, first):
        assert (rows.start, columns.start) == end, "from left to right, row by row, without gaps"
        assert max(values.shape) <= 3 * tile
        end = (rows.start, columns.stop) if columns.stop < 3 * size[1] else (rows.stop, 0)
        joined[rows, columns] = values
    assert end == (3 * size[0], 0)
    assert np.isnan(joined[:first]).all()
    assert np.allclose(joined[first:], expected[first:], atol=1e-5)


@pytest.mark.parametrize("suffix", [".ome.tiff", ".ome.zarr"])
def test_no_seam_is_left(tmp_path, network, suffix):
    data = micrograph((203, 171), "f4")
    if suffix == ".ome.tiff":
        source = write_tiff(tmp_path / f"in{suffix}", data, tile=(64, 64))
    else:
        source = write_store(tmp_path / f"in{suffix}", data, "yx")
    assert restored(network, source, tmp_path / f"out{suffix}") == 0
    with open_tiled(source) as image:
        level = channel_statistics(image, SMALL)[0]
        intensity = in_range(image.intensity, level)
    untiled = intensity.to_physical(restore_slice(network, normalised(data, intensity), 0.02))
    tiled = whole(tmp_path / f"out{suffix}")
    assert tiled.shape == (406, 342)
    assert np.abs(tiled - untiled).max() < 1e-3 * level.scale
    # Without the blending there would be a seam, so that the comparison above says something.
    cut = intensity.to_physical(restore_slice(network, normalised(data[:64], intensity), 0.02))
    assert np.abs(cut[-1] - untiled[127]).max() > 1e-3 * level.scale


def test_the_effect_of_a_lower_precision_on_a_tile_is_logged(tmp_path, network, caplog):
    caplog.set_level("INFO")
    source = write_tiff(tmp_path / "in.ome.tiff", micrograph((90, 80)), tile=(64, 64))
    results = {}
    for precision in ("float32", "bfloat16"):
        output = tmp_path / f"{precision}.ome.tiff"
        restored(network, source, output, SMALL.model_copy(update={"precision": precision}))
        results[precision] = whole(output).astype(float)
    [told] = [record.args for record in caplog.records if record.msg.startswith("%s changes %s")]
    assert told[:2] == ("bfloat16", "the middle tile")
    with open_tiled(source) as image:
        scale = channel_statistics(image, SMALL)[0].scale
    changed = np.abs(results["bfloat16"] - results["float32"]).max() / scale
    assert 0 < told[2] < 0.05
    assert changed == pytest.approx(told[2], rel=0.5), "it is one of four tiles"


def test_channels_and_slices_are_restored_each_by_itself(tmp_path, network):
    data = micrograph((2, 3, 70, 61))
    data[1] //= 4
    source = write_tiff(tmp_path / "in.ome.tiff", data, "CZYX", metadata={"Channel": {"Name": ["DAPI", "GFP"]}})
    restored(network, source, tmp_path / "out.ome.tiff", SMALL.model_copy(update={"tile_lr": 256}))
    result = whole(tmp_path / "out.ome.tiff")
    assert result.shape == (2, 3, 140, 122)
    with open_tiled(source) as image:
        levels = channel_statistics(image, SMALL)
    assert levels[0].scale == pytest.approx(4 * levels[1].scale, rel=0.02)
    for channel, z in ((0, 0), (0, 2), (1, 1)):
        intensity = in_range(image.intensity, levels[channel])
        alone = intensity.to_physical(restore_slice(network, normalised(data[channel, z], intensity), 0.02))
        assert np.abs(result[channel, z] - np.rint(alone).clip(0, 65535)).max() <= 1
    one = tmp_path / "one.ome.tiff"
    restored(network, source, one, SMALL.model_copy(update={"tile_lr": 256}), Part(channel="GFP"))
    assert np.array_equal(whole(one), result[1])


def test_both_formats_give_the_same_pixels_and_the_same_bytes_every_time(tmp_path, network):
    data = micrograph((2, 90, 131))
    sources = {
        "tiff": write_tiff(tmp_path / "in.tiff", data, "ZYX", tile=(32, 32)),
        "zarr": write_store(tmp_path / "in.zarr", data, "zyx", "0.4"),
    }
    for name, source in sources.items():
        for folder in ("a", "b"):
            restored(network, source, tmp_path / folder / f"out.{name}")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert np.array_equal(whole(tmp_path / "a/out.tiff"), whole(tmp_path / "a/out.zarr"))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["out.tiff", "out.zarr"]


def test_an_ome_tiff_keeps_its_metadata_and_contains_a_tiled_pyramid(tmp_path, network):
    data = micrograph((2, 300, 280))
    names = {"Channel": {"Name": ["DAPI", "GFP"]}, "PhysicalSizeZ": 3.0, "PhysicalSizeZUnit": "µm"}
    source = write_tiff(tmp_path / "in.ome.tiff", data, "CYX", byteorder=">", metadata=names)
    restored(network, source, tmp_path / "out.ome.tiff")
    with tifffile.TiffFile(tmp_path / "out.ome.tiff") as file:
        assert file.byteorder == ">"
        levels = file.series[0].levels
        assert [level.shape for level in levels] == [(2, 600, 560), (2, 300, 280), (2, 150, 140)]
        assert all(level.keyframe.is_tiled and level.keyframe.compression != 1 for level in levels)
        finest = levels[0].asarray()
        means = finest.reshape(2, 300, 2, 280, 2).mean(axis=(2, 4))
        assert np.array_equal(levels[1].asarray(), np.rint(means))
        root = ElementTree.fromstring(file.ome_metadata or "")
    pixels_element = root.find(f"{OME}Image/{OME}Pixels")
    assert pixels_element is not None
    sizes = {axis: float(pixels_element.get(f"PhysicalSize{axis}", "nan")) for axis in "XYZ"}
    assert sizes == {"X": 0.25, "Y": 0.125, "Z": 3.0}
    assert [channel.get("Name") for channel in pixels_element.iter(f"{OME}Channel")] == ["DAPI", "GFP"]
    recorded = json.loads(root.findtext(f"{OME}Image/{OME}Description") or "")["brainsr"]
    assert [channel["noise_sigma"] for channel in recorded["channels"]] == [0.02, 0.02]
    assert recorded["channels"][0]["offset"] == pytest.approx(np.percentile(data[0], 0.1), abs=60)
    assert recorded["channels"][0]["scale"] == pytest.approx(np.ptp(np.percentile(data[0], [0.1, 99.9])), rel=0.02)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_keeps_its_metadata_and_version(tmp_path, network, version):
    source = write_store(tmp_path / "in.zarr", micrograph((2, 140, 131)), "cyx", version)
    restored(network, source, tmp_path / "out.zarr")
    group: Any = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    assert [group[name].shape for name in "01"] == [(2, 280, 262), (2, 140, 131)]
    before, after = described(source), described(tmp_path / "out.zarr")
    assert after["omero"] == before["omero"]
    assert after["multiscales"][0]["axes"] == before["multiscales"][0]["axes"]
    scale, translation = transformations(tmp_path / "out.zarr")
    assert scale == [1.0, 162.5, 65.0]
    assert translation == pytest.approx([0.0, 1000 - 325 / 4, 21.7 - 130 / 4])
    assert "brainsr" in after["multiscales"][0]["metadata"]


def in_range(intensity: IntensityMap, level: ChannelStatistics) -> IntensityMap:
    """Return the intensity map that normalises a channel."""
    return replace(intensity, offset=level.offset, scale=level.scale)


def test_brightness_and_noise_are_found_from_few_tiles(tmp_path):
    y, x = np.mgrid[:900, :1100]
    clean = 1000 + 400 * np.sin(y / 60) * np.sin(x / 70)
    data = (clean + np.random.default_rng(3).normal(0, 28, clean.shape)).astype("u2")
    with open_tiled(write_tiff(tmp_path / "in.tiff", data, tile=(128, 128))) as image:
        (level,) = channel_statistics(image, Infer())
        assert level.offset == pytest.approx(np.percentile(data, 0.1), rel=0.02)
        assert level.scale == pytest.approx(np.ptp(np.percentile(data, [0.1, 99.9])), rel=0.02)
        assert level.noise_sigma == pytest.approx(28 / level.scale, rel=0.15)
        assert channel_statistics(image, Infer(noise_sigma=0.3)) == [ChannelStatistics(level.offset, level.scale, 0.3)]


def test_pixels_beyond_the_dtype_are_clipped_and_counted(tmp_path, network):
    data = np.where(micrograph((100, 100)) > 4000, 65535, 100).astype("u2")
    source = write_tiff(tmp_path / "in.tiff", data)
    scaled = Generator(network.shape).eval()
    scaled.network.load_state_dict(network.network.state_dict())
    with torch.no_grad():
        scaled.network.get_submodule("conv_last").bias.fill_(3.0)  # pyright: ignore[reportCallIssue]
    assert restored(scaled, source, tmp_path / "out.tiff") == 200 * 200
    assert whole(tmp_path / "out.tiff").min() == 65535


def test_a_killed_run_leaves_no_partial_output_and_resumes(tmp_path, network, network_file):
    source = make_image(tmp_path / "in.ome.zarr", 2100, 120)
    options = {"tile_lr": 128, "overlap_lr": 16, "threads": 1}
    output, other = tmp_path / "out.ome.zarr", tmp_path / "other.ome.zarr"
    command = ["apply", "--model", network_file, source, "--output", output, "--device", "cpu", "--force"]
    command += ["--settings", json.dumps(options)]
    words = ["python", "-m", "pipeline", *command]
    run_killed(words, file="progress.json", times=3, folder=CHECKOUT, environment=os.environ)
    assert not output.exists()
    (tmp_path / ".out.ome.zarr.unfinished/image/0/c/0/0.half.partial").write_bytes(b"half a chunk")
    again = run_command(*command)
    assert again.returncode == 0, again.stderr
    assert "continuing with plane 0, row " in again.stderr
    with open_tiled(source) as image:
        method = PlaneNetwork(network, sha256_of(network_file))
        restore_large(method, image, Infer.model_validate({**options, "force": True}), other)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output.name, other.name])
    assert contents(output) == contents(other)


def test_an_unfinished_result_of_other_settings_is_discarded(tmp_path, network):
    data = micrograph((300, 90), "f4")
    damaged = data.copy()
    damaged[250] = np.nan
    source = write_tiff(tmp_path / "in.tiff", damaged)
    output = tmp_path / "out.tiff"
    for _ in range(2):
        with pytest.raises(UserError, match="NaN or infinite"):
            restored(network, source, output)
    assert not output.exists()
    source.unlink()
    write_tiff(source, data)
    restored(network, source, output)
    restored(network, source, tmp_path / "other.tiff")
    assert output.read_bytes() == (tmp_path / "other.tiff").read_bytes()


def test_an_unfinished_run_whose_image_was_delivered_begins_anew(tmp_path, network):
    source = write_store(tmp_path / "in.zarr", micrograph((100, 90)), "yx")
    output, other = tmp_path / "out.zarr", tmp_path / "other.zarr"
    restored(network, source, other)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    hook = network.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        restored(network, source, output)
    hook.remove()
    left = tmp_path / ".out.zarr.unfinished"
    (left / "image").rename(output)  # the last thing but one that a run does
    assert [path.name for path in left.glob("*.json")] == ["progress.json"]
    restored(network, source, output)
    assert contents(output) == contents(other)
    assert not left.exists()


def test_two_processes_cannot_write_the_same_output(tmp_path, network):
    source = write_tiff(tmp_path / "in.tiff", micrograph((100, 90)))
    folder = tmp_path / ".out.tiff.unfinished"
    folder.mkdir()
    with FileLock(folder / "lease.lock"), pytest.raises(UserError, match="another process is writing it"):
        restored(network, source, tmp_path / "out.tiff")
    restored(network, source, tmp_path / "out.tiff")
    assert not folder.exists()


def test_mistakes_are_reported_before_any_work_is_done(tmp_path, network):
    source = write_tiff(tmp_path / "in.tiff", micrograph((2, 100, 90)), "CYX")
    (tmp_path / "folder.tiff").mkdir()
    (tmp_path / "data.zarr").mkdir()
    (tmp_path / "data.zarr/thesis.tex").write_text("years")
    store = write_store(tmp_path / "in.zarr", micrograph((100, 90)), "yx")
    mistakes = {
        "ends in .ome.tiff or .ome.tif": lambda: restored(network, source, tmp_path / "out.zarr"),
        "a folder has this name": lambda: restored(network, source, tmp_path / "folder.tiff"),
        "is not a zarr": lambda: restored(network, store, tmp_path / "data.zarr"),
        "there is no channel 2": lambda: restored(network, source, tmp_path / "out.tiff", part=Part(channel=2)),
        "frame 1 is out of range; valid: 0": lambda: restored(
            network, source, tmp_path / "out.tiff", part=Part(frame=1)
        ),
        "enlarges columns alone": lambda: restored(tiny_generator(along="columns"), source, tmp_path / "out.tiff"),
    }
    before = contents(tmp_path)
    for message, mistake in mistakes.items():
        with pytest.raises(UserError, match=message):
            mistake()
    assert contents(tmp_path) == before


def test_dark_and_tiny_images_are_refused(tmp_path, network):
    dark = write_tiff(tmp_path / "dark.tiff", np.zeros((100, 90), "u2"))
    with pytest.raises(UserError, match=r"dark.tiff: channel 0: nearly all voxels have the same value"):
        restored(network, dark, tmp_path / "out.tiff")
    tiny = write_tiff(tmp_path / "tiny.tiff", micrograph((100, 9)))
    with pytest.raises(UserError, match=r"tiny.tiff: channel 0: slices of 100 x 9"):
        restored(network, tiny, tmp_path / "out.tiff", Infer())


def change_tag(path: Path, number: int, value: int) -> None:
    """Overwrites the value of a tag of the first page of a little-endian classic TIFF."""
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for entry in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] == number:
            struct.pack_into("<HII", content, place + 2, 4, 1, value)
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def lying_size(path: Path) -> None:
    change_tag(path, 256, 1 << 20)
    change_tag(path, 257, 1 << 20)


def lying_tiles(path: Path) -> None:
    change_tag(path, 322, 1 << 20)
    change_tag(path, 323, 1 << 20)


def damaged_tile(path: Path) -> None:
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        start = page.dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)


def no_tiff(path: Path) -> None:
    path.write_text("no image")


@pytest.mark.parametrize(
    "damage", [truncated, lying_size, lying_tiles, damaged_tile, no_tiff], ids=lambda f: f.__name__
)
def test_a_broken_tiff_gives_one_clear_message_and_no_output(tmp_path, network, damage):
    source = write_tiff(tmp_path / "in.tiff", micrograph((100, 90)), tile=(32, 32), compression="zlib")
    damage(source)
    with pytest.raises(UserError) as told:
        restored(network, source, tmp_path / "out.tiff")
    assert str(told.value).startswith(str(source)) and "\n" not in str(told.value)
    assert not (tmp_path / "out.tiff").exists()


def test_a_tiff_in_pieces_too_large_for_memory_is_refused(tmp_path):
    path = tmp_path / "in.tiff"
    strip = tifffile.TIFF.COMPRESSORS[8](bytes(1000))
    tifffile.imwrite(
        path, iter([strip]), shape=(1 << 15, 1 << 15), dtype="u2", rowsperstrip=1 << 15, compression="zlib"
    )
    with pytest.raises(UserError, match="more than 512 MiB each; save it with tiles"), open_tiled(path):
        pass


def test_only_large_images_are_restored_in_tiles(tmp_path):
    assert not is_large(write_tiff(tmp_path / "small.tiff", np.ones((1024, 3), "u1")))
    assert is_large(write_tiff(tmp_path / "tall.tiff", np.ones((1025, 3), "u1")))
    assert is_large(write_store(tmp_path / "wide.zarr", np.ones((3, 1025), "u1"), "yx"))
    assert is_large(write_tiff(tmp_path / "deep.tiff", np.zeros((33, 512, 512), "u1"), "ZYX"))
    assert not is_large(tmp_path / "volume.nii.gz")


def test_the_command_restores_the_selected_part_of_a_large_image(tmp_path, network_file):
    source = write_tiff(tmp_path / "in.ome.tiff", micrograph((2, 40, 1100)), "CYX")
    output = tmp_path / "out.ome.tiff"
    result = run_command(
        *("apply", "--model", network_file, source, "--output", output, "--device", "cpu", "--force"),
        *("--channel", "1", "--voxel-um", "0.1", "0.2", "0.3"),
    )
    assert result.returncode == 0, result.stderr
    with open_tiled(output) as image:
        assert image.shape == (80, 2200)  # tifffile leaves out axes of size 1
        assert image.voxel_um == (0.05, 0.1, 0.3)
    assert not list(tmp_path.glob("*.uncertainty.*")), "eight views of a large image are made where they are asked for"
    wrong = run_command("apply", "--model", network_file, source, "--output", tmp_path / "out.nii.gz")
    assert "ends in .ome.tiff or .ome.tif" in the_message(wrong, after_progress=True)


def proportional(factor: float) -> ErrorIntervals:
    """Return intervals whose half-width is a multiple of the TTA standard deviation, where it is above FLOOR."""
    term = ErrorTerm(feature="tta_std", knots=(-7, 0), values=(0, 7))
    scales = (LevelScale(MAP_LEVEL, factor),)
    return ErrorIntervals(intercept=-7, terms=(term,), scales=scales, subjects=("a",), volumes=("a",))


@pytest.mark.parametrize("suffix", [".ome.tiff", ".ome.zarr"])
@pytest.mark.parametrize("factor", [None, 2.5])
def test_the_uncertainty_map_of_a_large_image_is_the_tta_std_or_the_half_width_of_intervals(
    tmp_path, network, suffix, factor
):
    data = micrograph((40, 70))
    source = tmp_path / f"in{suffix}"
    if suffix == ".ome.tiff":
        write_tiff(source, data)
    else:
        write_store(source, data, "yx")
    with open_tiled(source) as image:
        (level,) = channel_statistics(image, SMALL)
        kind = UncertaintyKind(factor and proportional(factor))
        one_tile = SMALL.model_copy(update={"tile_lr": 128})
        restore_large(PlaneNetwork(network, "x", kind), image, one_tile, tmp_path / f"map{suffix}")
        small = normalised(data, in_range(image.intensity, level))
    seen = []
    for turns in range(4):
        for flip in (False, True):
            turned = np.rot90(small, turns)
            restored = restore_slice(network, np.fliplr(turned) if flip else turned, 0.02)
            seen.append(np.rot90(np.fliplr(restored) if flip else restored, -turns))
    std = np.std(np.array(seen, dtype=np.float64), axis=0)
    expected = level.scale * (factor * np.maximum(std, FLOOR) if factor else std)
    found = whole(tmp_path / f"map{suffix}")
    assert found.dtype == np.float32 and found.shape == (80, 140)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * level.scale)
    assert expected.max() > 1e-3 * level.scale
    with open_tiled(source) as image, open_tiled(tmp_path / f"map{suffix}") as made:
        assert made.voxel_um is not None and image.voxel_um is not None
        assert made.voxel_um[:2] == pytest.approx([size / 2 for size in image.voxel_um[:2]])


def test_the_uncertainty_map_of_an_inverted_image_is_not_inverted(tmp_path, network):
    data = 20000 - micrograph((40, 70))
    source = write_tiff(tmp_path / "in.ome.tiff", data, photometric="miniswhite", compression="zlib")
    with open_tiled(source) as image:
        restore_large(PlaneNetwork(network, "x", UncertaintyKind(None)), image, SMALL, tmp_path / "map.ome.tiff")
    with tifffile.TiffFile(tmp_path / "map.ome.tiff") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK and file.asarray().max() > 0


def test_a_set_of_files_and_turned_pages_are_restored_like_one_upright_file(tmp_path, network):
    planes = np.array([[plane_of(channel, section) for channel in range(2)] for section in range(3)])
    upright = write_tiff(tmp_path / "upright.ome.tiff", planes, "ZCYX")
    member = write_set(tmp_path / "set", "master")[-1]
    turned = tmp_path / "turned.ome.tiff"
    stored = np.ascontiguousarray(planes.swapaxes(-1, -2))
    write_tiff(turned, stored, "ZCYX", extratags=[(274, 3, 1, 5, False)], tile=(16, 16), compression="zlib")
    results = []
    for source in (upright, member, turned):
        restored(network, source, tmp_path / f"out-{source.name}")
        results.append(whole(tmp_path / f"out-{source.name}"))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_command_writes_the_uncertainty_map_of_a_large_image_on_request(tmp_path, network, network_file):
    source = write_tiff(tmp_path / "in.ome.tiff", micrograph((20, 1100)))
    given = Calibration(method="m", generator_sha256=sha256_of(network_file), intervals=proportional(2.0))
    write_calibration(tmp_path / "calibration.json", given)
    wide = SMALL.model_copy(update={"tile_lr": 512})
    result = run_command(
        *("apply", "--model", network_file, source, "--output", tmp_path / "out.ome.tiff", "--device", "cpu"),
        *("--uncertainty", "--calibration", tmp_path / "calibration.json", "--settings", wide.model_dump_json()),
    )
    assert result.returncode == 0, result.stderr
    assert "90 % prediction interval" in result.stderr
    with open_tiled(source) as image:
        (level,) = channel_statistics(image, wide)
        restore_large(PlaneNetwork(network, "x", UncertaintyKind(None)), image, wide, tmp_path / "alone.ome.tiff")
    std, doubled = (whole(tmp_path / name) for name in ("alone.ome.tiff", "out.uncertainty.ome.tiff"))
    assert std.max() > FLOOR * level.scale
    np.testing.assert_allclose(doubled, 2 * np.maximum(std, FLOOR * level.scale), rtol=1e-4, atol=1e-3)


def test_memory_grows_neither_with_rows_nor_with_columns(tmp_path, network_file):
    peaks = {}
    for suffix, rows, columns in (
        (".ome.tiff", 1100, 200),
        (".ome.tiff", 9000, 200),
        (".ome.zarr", 200, 9000),
    ):
        source = make_image(tmp_path / f"{rows}{suffix}", rows, columns)
        peaks[rows] = apply_measured(
            network_file, source, tmp_path / f"out{rows}{suffix}", "--settings", '{"threads": 1}'
        ).peak_bytes
    assert max(peaks.values()) < 3 * GIB
    assert peaks[9000] < 1.1 * peaks[1100]
    assert peaks[200] < 1.1 * peaks[1100]


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".ome.tiff", ".ome.zarr"])
def test_images_of_2000_and_5000_pixels_a_side_are_restored_in_bounded_memory(tmp_path, network_file, suffix):
    peaks = []
    for side in (2000, 5000):
        source, output = make_image(tmp_path / f"{side}{suffix}", side, side), tmp_path / f"out{side}{suffix}"
        peaks.append(apply_measured(network_file, source, output).peak_bytes)
        with open_tiled(output) as image:
            assert image.plane_shape == (2 * side, 2 * side)
    assert max(peaks) < 3 * GIB
    assert peaks[1] < 1.1 * peaks[0]


def test_images_outside_the_training_domain_are_reported(tmp_path, network, caplog):
    trained = Generator(network.shape).eval()
    trained.record = NetworkRecord(domain=TrainingDomain(noise_sigma=(0.1, 0.2), voxel_mm=(0.9, 1.1)))
    source = write_tiff(tmp_path / "in.ome.tiff", micrograph((70, 61)))
    restored(trained, source, tmp_path / "out.ome.tiff")
    told = [record.getMessage() for record in caplog.records if "was trained on" in record.getMessage()]
    assert len(told) == 2 and all(str(source) in message for message in told)
