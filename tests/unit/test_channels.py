"""Colour stays colour, channels stay channels: there and back in every format, through all stages, and in `apply`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
import zarr
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.__main__ import main
from pipeline.baselines.tuning.apply import upsample
from pipeline.config.sections import Degrade, Evaluate, Extract, Infer
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.fidelity.classifier import resized
from pipeline.fidelity.diagnosis import classes_of, pictures_of
from pipeline.fidelity.duplicates import hashed, hashed_slices, near_duplicates
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.extraction import extract, read_block
from pipeline.formats.io.predictions import prediction_path, read_prediction, suffix_of, write_prediction
from pipeline.formats.tiled import open_tiled
from pipeline.image.image import Identity, Image
from pipeline.image.normalisation import normalise
from pipeline.image.slices import cut_block
from pipeline.inference.block_methods import PlaneNetwork
from pipeline.inference.channel_statistics import channel_statistics
from pipeline.inference.large_images import restore_large
from pipeline.metrics.evaluation.measure import evaluate, measure
from pipeline.metrics.evaluation.regions import neighbours
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator
from pipeline.physics.degradation import degrade, forward_model
from pipeline.provenance.record import VolumeRecord
from pipeline.reporting.figures.gallery import format_white_level, slice_label
from pipeline.reporting.figures.slices import display_slice
from pipeline.tables.slices import WHOLE_VOLUME
from tests.helpers import synthetic_head
from tests.image_files import numbers, png, write_ome, write_zip
from tests.unit.test_collections import scene
from tests.unit.test_ome_zarr import described, write_store

COLOURS = ("red", "green", "blue")
ALL = Extract(foreground="all")


def tinted(seed: int, rows: int = 48, columns: int = 40) -> NDArray:
    """An RGB picture of a head with a hue of its own at every place, uint8."""
    grey = scene(seed, rows, columns).astype(float)
    wave = np.sin(np.arange(columns) / 6 + seed) / 4
    return np.stack([grey, grey * (0.6 + wave), grey * (0.35 - wave)], axis=2).clip(0, 255).astype(np.uint8)


def pillow(path: Path) -> NDArray:
    with PillowImage.open(path) as file:
        return np.asarray(file)


def save(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rgb_tiff(path: Path, data: NDArray, **options: Any) -> Path:
    tifffile.imwrite(path, data, photometric="rgb", **options)
    return path


# there and back


def written(image: Image, folder: Path) -> Path:
    path = folder / f"out/x{suffix_of(image)}"
    format_of(folder / f"x{suffix_of(image)}").write(path, image)
    return path


@pytest.mark.parametrize("kind", ["rgb", "rgba", "palette", "jpeg", "histology"])
def test_a_coloured_picture_comes_back_pixel_by_pixel(kind: str, tmp_path: Path) -> None:
    rgb = numbers((31, 22, 3), "uint8")
    contents = {
        "rgb": lambda: png(rgb),
        "rgba": lambda: png(np.dstack([rgb, np.full((31, 22), 9, np.uint8)])),
        "palette": lambda: png(np.asarray(PillowImage.fromarray(rgb).quantize(8).convert("RGB"))),
        "jpeg": lambda: png(tinted(1), "JPEG"),
        "histology": lambda: Path(skimage.data.__file__).with_name("ihc.png").read_bytes(),
    }
    content = contents[kind]()
    source = save(tmp_path / f"a.{'jpg' if kind == 'jpeg' else 'png'}", content)
    image = format_of(source).read(source)
    assert image.stack.channels == tuple(COLOURS) and image.stack.sections == (0, 0, 0)
    assert [slice_label(index, image) for index in range(3)] == [f"{source.name}, {colour}" for colour in COLOURS]
    with PillowImage.open(io.BytesIO(content)) as file:
        expected = np.asarray(file.convert("RGB"))
    np.testing.assert_array_equal(display_slice(image.data, 2, 1), expected[:, :, 1])
    np.testing.assert_array_equal(pillow(written(image, tmp_path)), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", ["one page", "pages", "planes", "opacity"])
def test_a_coloured_tiff_comes_back_as_rgb(dtype: str, layout: str, tmp_path: Path) -> None:
    data = numbers((4, 20, 31, 4 if layout == "opacity" else 3), dtype)
    data = data[:1] if layout == "one page" else data
    if layout == "planes":
        source = rgb_tiff(tmp_path / "a.tif", np.moveaxis(data, -1, 1), planarconfig="separate")
    else:
        source = rgb_tiff(tmp_path / "a.tif", data)
    image = format_of(source).read(source)
    assert image.data.shape == (31, 20, 3 * len(data))
    with tifffile.TiffFile(written(image, tmp_path)) as file:
        assert file.pages[0].photometric.name == "RGB"  # pyright: ignore[reportAttributeAccessIssue]
        assert file.series[0].dtype == np.dtype(dtype)
        np.testing.assert_array_equal(file.asarray().reshape(data[..., :3].shape), data[..., :3])
    back = format_of(source).read(tmp_path / "out/x.ome.tiff")
    np.testing.assert_array_equal(back.data, image.data)


@pytest.mark.parametrize("axes", ["CYX", "CZYX", "ZCYX"])
def test_channels_of_an_ome_tiff_come_back_with_their_names(axes: str, tmp_path: Path) -> None:
    sizes = {"C": 3, "Z": 4, "Y": 20, "X": 31}
    data = numbers([sizes[axis] for axis in axes], "uint16")
    image = format_of(tmp_path / "a.ome.tif").read(write_ome(tmp_path / "a.ome.tif", data, axes))
    planes = np.moveaxis(data.reshape(3, 1, 20, 31) if axes == "CYX" else data, axes.index("C"), 0)
    for section, channel in ((0, 2), (planes.shape[1] - 1, 1)):
        np.testing.assert_array_equal(display_slice(image.data, 2, 3 * section + channel), planes[channel, section])
    with tifffile.TiffFile(written(image, tmp_path)) as file:
        result = file.series[0]
        stored = result.asarray()
        if "Z" in axes:
            stored = np.moveaxis(stored, result.axes.index("C"), 0)
        np.testing.assert_array_equal(stored.reshape(planes.shape), planes)
    back = format_of(tmp_path / "x.ome.tiff").read(tmp_path / "out/x.ome.tiff")
    assert back.header.channels == ("DAPI", "GFP", "Cy5") and back.spacing == image.spacing == (0.25, 0.5, 2.0)
    last = Part(channel="Cy5")
    alone = format_of(tmp_path / "x.ome.tiff").read(tmp_path / "out/x.ome.tiff", last)
    np.testing.assert_array_equal(alone.data, image.data[..., 2::3])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "czyx", "tczyx"])
def test_channels_of_an_ome_zarr_come_back_with_their_names(axes: str, version: str, tmp_path: Path) -> None:
    sizes = {"t": 1, "c": 2, "z": 3, "y": 40, "x": 51}
    data = numbers([sizes[axis] for axis in axes], "uint16")
    source = write_store(tmp_path / "a.ome.zarr", data, axes, version)
    image = format_of(source).read(source)
    assert image.stack.channels == ("dye 0", "dye 1")
    target = tmp_path / "b.ome.zarr"
    format_of(source).write(target, image)
    stored: Any = zarr.open_group(target, mode="r")["0"]
    np.testing.assert_array_equal(stored[:], data)
    assert described(target)["omero"] == described(source)["omero"]


def test_channels_without_names_are_numbered_in_reports_and_stay_without_names(tmp_path: Path) -> None:
    data = numbers((2, 3, 20, 31), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZCYX"})
    image = format_of(tmp_path / "a.tif").read(tmp_path / "a.tif")
    assert slice_label(4, image) == "section 1, channel 1"
    with tifffile.TiffFile(written(image, tmp_path)) as file:
        assert 'Name="channel' not in (file.ome_metadata or "")
        np.testing.assert_array_equal(file.asarray(), data)


def test_a_folder_with_one_coloured_picture_is_a_coloured_stack(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        save(tmp_path / f"stack/s{number}.png", png(tinted(number) if number == 2 else scene(number)))
    image = format_of(tmp_path / "stack").read(tmp_path / "stack")
    assert image.stack.names[3:6] == tuple(f"s2.png, {colour}" for colour in COLOURS)
    pages = tifffile.imread(written(image, tmp_path))
    assert pages.shape == (3, 48, 40, 3)
    np.testing.assert_array_equal(pages[1], tinted(2))
    np.testing.assert_array_equal(pages[2], np.stack([scene(10)] * 3, axis=2))


# through the stages


def volume(**changes: Any) -> Volume:
    return Volume(id="v", subject="v", split="test", source="s", **changes)


SOURCES: dict[str, Callable[[Path], Path]] = {
    "png": lambda folder: save(folder / "a.png", png(tinted(1))),
    "jpeg": lambda folder: save(folder / "a.jpg", png(tinted(1), "JPEG")),
    "tiff": lambda folder: rgb_tiff(folder / "a.tif", np.stack([tinted(seed) for seed in (1, 2)])),
    "tiff 16": lambda folder: rgb_tiff(folder / "a.tif", tinted(1).astype(np.uint16) * 250),
    "ome": lambda folder: write_ome(folder / "a.ome.tif", fluorescence(), "CZYX"),
    "zarr": lambda folder: write_store(folder / "a.ome.zarr", fluorescence(), "czyx"),
}


def fluorescence() -> NDArray:
    """Three channels of two sections, of very different brightness, uint16."""
    planes = [[scene(10 * channel + z).astype(np.uint16) for z in range(2)] for channel in range(3)]
    return np.array(planes, dtype=np.uint16) * np.array([200, 20, 2], dtype=np.uint16)[:, None, None, None]


def prepared(source: Path, settings: Extract = ALL, **changes: Any) -> Image:
    reference = read_block(source, volume(**changes), settings)
    return replace(reference, identity=Identity("v", "v", "test"))


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_degraded_and_restored_is_again_what_it_was(kind: str, tmp_path: Path) -> None:
    source = SOURCES[kind](tmp_path)
    write_image(tmp_path / "hr.safetensors", prepared(source))
    reference = read_image(tmp_path / "hr.safetensors")
    low = degrade(reference, forward_model(reference, Degrade(factor=2, noise="none"), 0))
    path = prediction_path(tmp_path, "bicubic", "v", suffix_of(low))
    write_prediction(path, low, upsample(low, "bicubic"))
    estimate = read_prediction(path, reference)
    result = format_of(path).read(path)
    assert result.intensity.dtype == reference.intensity.dtype and result.stack.channels == reference.stack.channels
    assert result.spacing == pytest.approx(reference.spacing) and result.data.shape == reference.data.shape
    assert result.header.coloured == reference.header.coloured
    for index in range(reference.data.shape[2]):
        assert np.corrcoef(estimate[..., index].ravel(), reference.data[..., index].ravel())[0, 1] > 0.85
    rows = list(evaluate(reference, "bicubic", estimate, Evaluate()))
    assert {row.slice for row in rows} == set(range(reference.data.shape[2] // 3))


def test_channels_have_ranges_of_their_own_and_colours_share_one(tmp_path: Path) -> None:
    image = prepared(SOURCES["ome"](tmp_path))
    expected = [np.percentile(channel, 99.9) for channel in fluorescence()]
    np.testing.assert_allclose(image.intensity.scale, expected)
    np.testing.assert_allclose([np.percentile(image.data[..., c::3], 99.9) for c in range(3)], 1.0, rtol=1e-6)
    assert format_white_level(1.0, image) == ", ".join(
        f"{scale:.4g} ({name})" for scale, name in zip(expected, ("DAPI", "GFP", "Cy5"), strict=True)
    )
    coloured = prepared(SOURCES["png"](tmp_path))
    assert coloured.intensity.scale == pytest.approx(np.percentile(tinted(1), 99.9))
    # the same number of grey levels is the same intensity in all colours
    np.testing.assert_allclose(
        display_slice(coloured.data, 2, 2) * coloured.intensity.scale, tinted(1)[:, :, 2], atol=1e-4
    )


def test_ranges_come_back_from_the_file_between_the_stages(tmp_path: Path) -> None:
    image = prepared(SOURCES["ome"](tmp_path))
    write_image(tmp_path / "v.safetensors", image)
    back = read_image(tmp_path / "v.safetensors")
    assert back.intensity == image.intensity and isinstance(back.intensity.scale, tuple)
    np.testing.assert_allclose(back.intensity.to_physical(back.data), format_of(tmp_path / "a.ome.tif").read(
        tmp_path / "a.ome.tif").data, rtol=1e-5, atol=1e-3)  # fmt: skip


def test_a_channel_is_treated_as_when_it_is_alone(tmp_path: Path) -> None:
    source = SOURCES["ome"](tmp_path)
    together = prepared(source, Extract())
    for index, name in enumerate(("DAPI", "GFP", "Cy5")):
        alone = prepared(source, Extract(), channel=name)
        np.testing.assert_array_equal(together.data[..., index::3], alone.data)
        np.testing.assert_array_equal(together.masks["foreground"][..., index::3], alone.masks["foreground"])


def test_the_foreground_of_colours_is_the_same_in_all_of_them(tmp_path: Path) -> None:
    mask = prepared(SOURCES["png"](tmp_path), Extract()).masks["foreground"]
    assert mask.any() and not mask.all()
    assert np.array_equal(mask[..., 0], mask[..., 1]) and np.array_equal(mask[..., 0], mask[..., 2])


def test_a_dark_channel_is_named(tmp_path: Path) -> None:
    data = fluorescence()
    data[1] = 0
    with pytest.raises(UserError, match=r"'v' .*GFP: every voxel is 0; .*`channel`"):
        prepared(write_ome(tmp_path / "a.ome.tif", data, "CZYX"))


def test_blocks_are_counted_in_sections(tmp_path: Path) -> None:
    data = numbers((3, 6, 20, 31), "uint16")
    image = format_of(tmp_path / "a.ome.tif").read(write_ome(tmp_path / "a.ome.tif", data, "CZYX"))
    block = cut_block(image, (2, 5), 2)
    np.testing.assert_array_equal(block.data, image.data[..., 6:15])
    assert block.block.slices == (2, 5) and block.stack.sections == (0, 0, 0, 1, 1, 1, 2, 2, 2)
    assert block.stack.names[4] == "section 3, GFP"
    assert block.affine[2, 3] == pytest.approx(4.0)  # two sections of 2 um
    with pytest.raises(UserError, match="there are only 6"):
        cut_block(image, (2, 7), 2)
    extracted = normalise(block, ALL)
    described_ = VolumeRecord.of_image(extracted.with_data(extracted.data, identity=Identity("v", "v", "v", "v")))
    assert described_.foreground_slices == 3 and described_.channels == ("DAPI", "GFP", "Cy5")


def test_a_section_is_measured_as_the_mean_of_its_channels(tmp_path: Path) -> None:
    reference = prepared(SOURCES["ome"](tmp_path))
    estimate = reference.data + np.float32(0.01) * np.arange(1, 7, dtype=np.float32)
    expected = [np.mean([-20 * np.log10(0.01 * (3 * section + c + 1)) for c in range(3)]) for section in range(2)]
    found = list(measure(reference, estimate, "psnr", {"foreground": reference.masks["foreground"]}))
    assert [index for _, index, _ in found] == [0, 1]
    np.testing.assert_allclose([value for *_, value in found], expected, atol=1e-3)


def test_a_whole_volume_is_measured_channel_by_channel(tmp_path: Path) -> None:
    source = SOURCES["ome"](tmp_path)

    def measured(reference: Image, estimate: NDArray) -> float:
        ((_, index, value),) = measure(reference, estimate, "psnr_3d", {"foreground": reference.masks["foreground"]})
        assert index == WHOLE_VOLUME
        return value

    reference = prepared(source)
    estimate = reference.data + np.random.default_rng(0).normal(0, 0.02, reference.data.shape) * [1, 2, 3, 1, 2, 3]
    alone = [measured(prepared(source, channel=index), estimate[..., index::3]) for index in range(3)]
    assert measured(reference, estimate) == pytest.approx(np.mean(alone))
    assert np.ptp(alone) > 5


def test_a_segmentation_counts_for_every_channel(tmp_path: Path) -> None:
    labels = np.zeros((2, 48, 40), dtype=np.uint8)
    labels[0, 5:20, 7:30] = 4
    tifffile.imwrite(tmp_path / "labels.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    source = SOURCES["ome"](tmp_path)
    reference = read_block(source, volume(), ALL, segmentation=tmp_path / "labels.tif")
    alone = read_block(source, volume(channel=1), ALL, segmentation=tmp_path / "labels.tif")
    assert reference.block.labels == (4,)
    for channel in range(3):
        np.testing.assert_array_equal(reference.masks["label-4"][..., channel::3], alone.masks["label-4"])
    assert np.count_nonzero(alone.masks["label-4"]) == 15 * 23


def test_a_coloured_picture_is_diagnosed_once(archive: Path, tmp_path: Path) -> None:
    extract(archive, stack_of(archive), ALL, tmp_path / "s.safetensors")
    reference = read_image(tmp_path / "s.safetensors")
    pictures = pictures_of(reference, reference.data)
    assert classes_of(reference) == ["a", "a", "b"] and len(pictures) == 3
    low, high = np.percentile(tinted(1), [0.1, 99.9], method="nearest")
    expected = resized((tinted(1).mean(axis=2)[None] - low) / (high - low))[0]
    np.testing.assert_allclose(pictures[0], expected, atol=0.01)


def test_neighbours_are_of_the_same_channel(tmp_path: Path) -> None:
    data = numbers((3, 4, 20, 31), "uint16")
    source = write_ome(tmp_path / "a.ome.tif", data, "CZYX")
    together, alone = prepared(source), prepared(source, channel="GFP")
    np.testing.assert_allclose(neighbours(together).data[..., 1::3], neighbours(alone).data, rtol=1e-6)
    single = cut_block(together, (0, 1), 2)
    with pytest.raises(UserError, match="a single slice has no neighbours"):
        neighbours(single)


@pytest.mark.parametrize(
    "settings",
    [Degrade(factor=2, direction="through_plane"), Degrade(factor=2, direction="isotropic")],
)
def test_channels_are_not_mixed_by_thick_slices(settings: Degrade, tmp_path: Path) -> None:
    reference = prepared(SOURCES["ome"](tmp_path))
    with pytest.raises(UserError, match=r"'v': has several channels, which would be mixed .*`channel`"):
        forward_model(reference, settings, 0)


def test_a_prediction_that_has_lost_its_colour_is_still_one_of_a_coloured_picture(tmp_path: Path) -> None:
    for kind in ("png", "tiff"):
        reference = prepared(SOURCES[kind](tmp_path))
        low = degrade(reference, forward_model(reference, Degrade(factor=2, noise="none"), 0))
        grey = np.repeat(reference.data[..., :1], reference.data.shape[2], axis=2)
        path = tmp_path / f"grey{suffix_of(low)}"
        write_prediction(path, low, grey)
        np.testing.assert_allclose(read_prediction(path, reference), grey, atol=1 / 255)


# collections


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    files = {"a/1.png": png(tinted(1)), "a/2.png": png(scene(2)), "b/3.png": png(tinted(3, 30, 61))}
    return write_zip(tmp_path / "p.zip", files)


def stack_of(archive: Path, name: str = "s", split: Any = "test") -> Volume:
    return Volume(id=name, subject=name, split=split, source="p", shard=(0, 1))


def test_coloured_pictures_of_a_collection_are_restored_as_rgb_pages(archive: Path, tmp_path: Path) -> None:
    extract(archive, stack_of(archive), Extract(), tmp_path / "s.safetensors")
    reference = read_image(tmp_path / "s.safetensors")
    assert reference.stack.sections == (0, 0, 0, 1, 2, 2, 2) and reference.data.shape == (61, 48, 7)
    low = degrade(reference, forward_model(reference, Degrade(factor=2, noise="none"), 0))
    path = prediction_path(tmp_path, "bicubic", "s", suffix_of(low))
    write_prediction(path, low, upsample(low, "bicubic"))
    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        assert [page.shape for page in pages] == [(48, 40, 3), (48, 40), (30, 61, 3)]
        assert [page.photometric.name for page in pages] == ["RGB", "MINISBLACK", "RGB"]
        assert [page.tags[285].value for page in pages] == ["a/1.png", "a/2.png", "b/3.png"]
        last = pages[2].asarray()
    for colour in range(3):
        assert np.corrcoef(last[..., colour].ravel(), tinted(3, 30, 61)[..., colour].ravel())[0, 1] > 0.85
    estimate = read_prediction(path, reference)
    rows = list(evaluate(reference, "bicubic", estimate, Evaluate()))
    assert {row.slice for row in rows} == {0, 1, 2}
    record = VolumeRecord.of_image(reference)
    assert record.foreground_slices == 3 and record.left_out == {"too_large": 0, "near_duplicate": 0}


def test_the_reference_of_a_coloured_stack_comes_back(archive: Path, tmp_path: Path) -> None:
    extract(archive, stack_of(archive), Extract(foreground="all"), tmp_path / "s.safetensors")
    reference = read_image(tmp_path / "s.safetensors")
    low = degrade(reference, forward_model(reference, Degrade(factor=2), 0))
    padded = np.pad(np.asarray(reference.data), [(0, -size % 2) for size in reference.data.shape[:2]] + [(0, 0)])
    assert write_prediction(tmp_path / "s.tiff", low, padded) == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "s.tiff", key=0), tinted(1))
    np.testing.assert_allclose(read_prediction(tmp_path / "s.tiff", reference), reference.data, atol=1e-6)


def test_near_duplicates_in_colour_are_found(archive: Path, tmp_path: Path) -> None:
    brighter = (tinted(1) * 0.95).astype(np.uint8)
    other = write_zip(tmp_path / "q.zip", {"same.png": png(brighter), "new.png": png(tinted(9))})
    pictures = [*hashed(stack_of(archive, "train", "train"), archive), *hashed(stack_of(other, "test"), other)]
    found = [(row.picture, row.near_duplicate_of) for row in near_duplicates(pictures, 4)]
    assert found == [("same.png", "a/1.png")]


def test_slices_that_are_hashed_are_named_by_section_and_channel(tmp_path: Path) -> None:
    extract(SOURCES["ome"](tmp_path), volume(slices=(1, 2)), ALL, tmp_path / "v.safetensors")
    names = [one.name for one in hashed_slices(tmp_path / "v.safetensors")]
    assert names == ["slice 1, DAPI", "slice 1, GFP", "slice 1, Cy5"]


# sharpening images without a reference


def network() -> Generator:
    """A network of random weights that enlarges by 2; its results are neither black nor white."""
    torch.manual_seed(3)
    made = Generator(Shape.from_json({"blocks": 1, "features": 8, "growth": 4, "factor": 2})).eval()
    with torch.no_grad():
        made.network.get_submodule("conv_last").bias.fill_(0.5)  # pyright: ignore[reportCallIssue]
        made.network.get_submodule("conv_last").weight.mul_(10)  # pyright: ignore[reportCallIssue]
    return made


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "generator.safetensors"
    save_generator(path, network())
    return path


def sharpened(generator: Path, source: Path, output: Path, *options: str) -> Path:
    given = ["--model", generator, source, "--output", output, "--foreground", "all", "--device", "cpu"]
    assert main(["apply", *map(str, given), "--force", *options]) == 0
    return output


def test_a_coloured_picture_is_sharpened_in_colour(generator: Path, tmp_path: Path) -> None:
    result = pillow(sharpened(generator, SOURCES["png"](tmp_path), tmp_path / "b.png"))
    assert result.shape == (96, 80, 3) and result.dtype == np.uint8
    assert not np.array_equal(result[..., 0], result[..., 1])


def test_each_channel_is_sharpened_as_when_it_is_alone(generator: Path, tmp_path: Path) -> None:
    source = SOURCES["ome"](tmp_path)
    output = sharpened(generator, source, tmp_path / "all.ome.tif")
    tiff = format_of(output)
    whole = tiff.read(output)
    assert whole.header.channels == ("DAPI", "GFP", "Cy5") and whole.spacing == (0.125, 0.25, 2.0)
    for index, name in enumerate(whole.header.channels):
        alone = tiff.read(sharpened(generator, source, tmp_path / "one.ome.tif", "--channel", name))
        np.testing.assert_array_equal(whole.data[..., index::3], alone.data)
        assert alone.header.channels == (name,)


def test_channels_of_thick_slices_are_made_thin_each_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    torch.manual_seed(3)
    shape = {"blocks": 1, "features": 8, "growth": 4, "factor": 2, "along": "columns"}
    save_generator(path, Generator(Shape.from_json(shape)))
    data = np.stack([synthetic_head((16, 17, 6), seed, 100).transpose(2, 1, 0) for seed in range(2)]).astype(np.uint16)
    source = write_ome(tmp_path / "a.ome.tif", data, "CZYX")
    whole = format_of(source).read(sharpened(path, source, tmp_path / "all.ome.tif"))
    assert whole.data.shape == (16, 17, 24) and whole.spacing == pytest.approx((0.25, 0.5, 1.0))
    alone = format_of(source).read(sharpened(path, source, tmp_path / "one.ome.tif", "--channel", "GFP"))
    np.testing.assert_array_equal(whole.data[..., 1::2], alone.data)


@pytest.mark.parametrize("sections", [1, 2])
def test_a_huge_coloured_tiff_stays_coloured_and_its_colours_share_a_range(sections: int, tmp_path: Path) -> None:
    data = np.stack([tinted(seed) for seed in range(sections)])
    source = rgb_tiff(tmp_path / "a.tif", data, tile=(32, 32), compression="zlib")
    settings = Infer(tile_lr=64, overlap_lr=4, noise_sigma=0.02, force=True)
    with open_tiled(source) as image:
        levels = channel_statistics(image, settings)
        method = PlaneNetwork(network(), "a network")
        restore_large(method, image, settings, tmp_path / "all.tif")
        restore_large(method, image.only("c", 0), settings, tmp_path / "red.tif")
    assert len({(level.offset, level.scale) for level in levels}) == 1
    assert levels[0].offset + levels[0].scale == pytest.approx(np.percentile(data[..., 0], 99.9), rel=0.05)
    back = format_of(source).read(tmp_path / "all.tif")
    assert back.header.coloured and back.data.shape == (80, 96, 3 * sections)
    red = format_of(source).read(tmp_path / "red.tif")
    assert red.header.channels == ("red",) and red.data.shape == (80, 96, sections)
    # The brightest colour has the range that all share, so that alone it gives the same.
    np.testing.assert_array_equal(back.data[..., ::3], red.data)


def test_one_range_for_all_colours_keeps_the_hue_of_what_is_only_scaled(tmp_path: Path) -> None:
    grey = scene(4).astype(float)
    picture = np.stack([grey, 0.5 * grey, 0.25 * grey], axis=2)
    source = rgb_tiff(tmp_path / "a.tif", picture.astype(np.float32))
    reference = prepared(source)
    low = degrade(reference, forward_model(reference, Degrade(factor=2, noise="none"), 0))
    path = tmp_path / "b.ome.tiff"
    write_prediction(path, low, upsample(low, "bspline3"))
    result = tifffile.imread(path)
    np.testing.assert_allclose(result[..., 1], 0.5 * result[..., 0], atol=1e-3)
    np.testing.assert_allclose(result[..., 2], 0.25 * result[..., 0], atol=1e-3)


def test_images_keep_one_channel_as_they_were(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", Path(skimage.data.__file__).with_name("cell.png").read_bytes())
    image = format_of(source).read(source)
    assert image.stack.sections is None and image.stack.names == ("a.png",)
    np.testing.assert_array_equal(pillow(written(image, tmp_path)), pillow(source))
    assert replace(image.intensity, scale=1.0) == image.intensity
