"""Stacks of thick sections that do not fit into memory: restored in blocks as they would be at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.sections import Extract, Infer
from pipeline.errors import UserError
from pipeline.formats import Part, tiled
from pipeline.formats.tiled import open_tiled
from pipeline.inference import block_methods
from pipeline.inference.large_images import restore_large
from pipeline.inference.restore_baseline import baseline_in_blocks, restore_by_baseline
from pipeline.inference.restore_file import restore_file
from pipeline.inference.restore_image import restore_image
from pipeline.models.weights import save_generator
from tests.helpers import contents
from tests.small_training import any_ratio_generator, tiny_generator
from tests.unit.test_large import micrograph, whole, write_tiff
from tests.unit.test_ome_zarr import transformations, write_store

pytestmark = pytest.mark.usefixtures("one_thread")

THICK = Part(voxel_um=(0.004, 0.004, 0.0127))
"""Sections 3.175 times as far apart as the pixels; 12 of them cover 38.1 voxels of the result."""
SECTIONS, FINE = 12, 38
GIVEN = Infer(noise_sigma=0.02, threads=1, backend="torch")
BLOCK_SIDE = 40


@pytest.fixture
def in_blocks(monkeypatch) -> Callable[[], None]:
    """Return a function after whose call all images count as large, and are restored in several blocks."""

    def begin() -> None:
        monkeypatch.setattr(tiled, "LONGEST_WHOLE_SIDE", 10)
        monkeypatch.setattr(block_methods, "MAX_BLOCK_VOXELS", SECTIONS * 3.175 * BLOCK_SIDE**2)
        monkeypatch.setattr(block_methods, "MIN_OVERLAPS", 2)

    return begin


def striped_stack() -> NDArray[np.float32]:
    """Return cells that change across the sections, of which every other one is 5 % brighter."""
    z, y, x = np.mgrid[:SECTIONS, :64, :70]
    cells = 3000 + 2000 * np.sin(y / 7 + z / 3) * np.sin(x / 9)
    noise = np.random.default_rng(0).normal(0, 50, cells.shape)
    return ((cells + noise) * (1 + 0.05 * (z % 2))).astype(np.float32)


def written(path: Path, data: NDArray, axes: str) -> Path:
    if path.suffix == ".zarr":
        return write_store(path, data, axes.lower())
    return write_tiff(path, data, axes)


@pytest.mark.parametrize("suffix", [".ome.tiff", ".ome.zarr"])
def test_a_network_of_any_ratio_restores_blocks_as_it_restores_the_whole_stack(tmp_path, in_blocks, caplog, suffix):
    save_generator(tmp_path / "any.safetensors", any_ratio_generator())
    source = written(tmp_path / f"in{suffix}", striped_stack(), "ZYX")
    run = partial(
        restore_file,
        tmp_path / "any.safetensors",
        source,
        part=THICK,
        extraction=Extract(foreground="all"),
        settings=GIVEN,
        device="cpu",
        uncertainty=True,
    )
    run(output=tmp_path / f"whole{suffix}")
    in_blocks()
    found = run(output=tmp_path / f"blocks{suffix}")
    assert found.factors == (1, 1, pytest.approx(3.175))
    assert len([one for one in caplog.records if "even and odd slices differ by 4." in one.getMessage()]) == 3
    for name, tolerance in (("", 2e-3), (".uncertainty", 2e-3)):
        once, blocks = (whole(tmp_path / f"{one}{name}{suffix}") for one in ("whole", "blocks"))
        assert blocks.shape == once.shape == (FINE, 64, 70) and blocks.dtype == np.float32
        # The unit is the range of intensities, about 4000.
        assert np.abs(blocks - once).max() < tolerance * 4000
        assert once.std() > 10 * tolerance * 4000 or name
    for one in ("whole", "blocks"):
        with open_tiled(tmp_path / f"{one}{suffix}") as image:
            assert image.voxel_um == pytest.approx((0.004,) * 3)
    if suffix == ".ome.zarr":
        places = [transformations(tmp_path / f"{one}{suffix}") for one in ("whole", "blocks")]
        np.testing.assert_allclose(places[1], places[0], rtol=1e-6)


@pytest.mark.parametrize(("method", "factor"), [("total_variation", None), ("least_squares", 2)])
def test_a_baseline_restores_blocks_as_it_restores_the_whole_stack(tmp_path, in_blocks, method, factor):
    source = written(tmp_path / "in.ome.tiff", striped_stack(), "ZYX")
    arguments = (THICK, Extract(foreground="all"), GIVEN, factor)
    restore_by_baseline(method, source, tmp_path / "whole.ome.tiff", *arguments)
    in_blocks()
    restore_by_baseline(method, source, tmp_path / "blocks.ome.tiff", *arguments)
    once, blocks = (whole(tmp_path / f"{one}.ome.tiff") for one in ("whole", "blocks"))
    assert blocks.shape == once.shape == ((FINE, 64, 70) if factor is None else (SECTIONS, 128, 140))
    # The solver stops before it converges, which is seen where the measurement determines nothing.
    difference = np.abs(blocks - once) / 4000
    assert difference.max() < 0.03 and np.sqrt(np.mean(difference**2)) < 0.01


def test_every_channel_is_a_stack_of_its_own_and_an_interrupted_run_continues(tmp_path, in_blocks, caplog):
    in_blocks()
    caplog.set_level("INFO")
    data = micrograph((2, SECTIONS, 64, 70))
    source = written(tmp_path / "in.ome.zarr", data, "CZYX")
    run = partial(restore_by_baseline, "bicubic", part=THICK, extraction=Extract(), settings=GIVEN)
    run(source=source, output=tmp_path / "out.ome.zarr")
    result = whole(tmp_path / "out.ome.zarr")
    assert result.shape == (2, FINE, 64, 70) and result.dtype == np.uint16
    blocks = 0

    def failing(restore: Callable, low: object) -> NDArray:
        nonlocal blocks
        blocks += 1
        if blocks == 10:  # the first of the second row of blocks of the second channel
            raise KeyboardInterrupt
        return restore(low)

    with open_tiled(source) as opened:
        image = tiled.chosen(opened, THICK)
        method = baseline_in_blocks("bicubic", image, None, None)
        interrupted = replace(method, restore=partial(failing, method.restore))
        with pytest.raises(KeyboardInterrupt):
            restore_large(interrupted, image, GIVEN, tmp_path / "again.ome.zarr")
        assert not (tmp_path / "again.ome.zarr").exists()
        restore_large(method, image, GIVEN, tmp_path / "again.ome.zarr")
    assert "continuing with stack 1, row 24" in caplog.text
    assert contents(tmp_path / "again.ome.zarr") == contents(tmp_path / "out.ome.zarr")
    assert not list(tmp_path.glob(".*"))
    # The other format, and z before the channels.
    turned = written(tmp_path / "in.ome.tiff", np.ascontiguousarray(data.swapaxes(0, 1)), "ZCYX")
    run(source=turned, output=tmp_path / "out.ome.tiff")
    np.testing.assert_array_equal(whole(tmp_path / "out.ome.tiff").swapaxes(0, 1), result)
    run(source=turned, output=tmp_path / "one.ome.tiff", part=replace(THICK, channel=1))
    np.testing.assert_array_equal(whole(tmp_path / "one.ome.tiff").reshape(result[1].shape), result[1])


def test_the_thickness_is_as_given_or_assumed_and_the_log_says_which(tmp_path, in_blocks, caplog):
    in_blocks()
    caplog.set_level("INFO")
    source = written(tmp_path / "in.ome.tiff", striped_stack(), "ZYX")
    for name, thickness_mm in (("assumed", None), ("given", 6e-6)):
        output = tmp_path / f"{name}.ome.tiff"
        arguments = (THICK, Extract(), GIVEN, None, thickness_mm)
        restore_by_baseline("least_squares", source, output, *arguments)
    assert "slices of 12.7 nm every 12.7 nm (contiguous), rectangular profile, thickness assumed to" in caplog.text
    assert (
        "slices of 6 nm every 12.7 nm (gap of 6.7 nm), rectangular profile, thickness as given by the user"
        in caplog.text
    )
    assumed, given = (whole(tmp_path / f"{name}.ome.tiff") for name in ("assumed", "given"))
    assert np.abs(assumed - given).mean() > 10


def test_a_large_image_is_chosen_a_network_by_its_voxels(tmp_path, in_blocks, monkeypatch):
    in_blocks()
    (tmp_path / "networks.yaml").write_text("{}")
    monkeypatch.setenv("BRAINSR_ZOO", str(tmp_path))
    source = written(tmp_path / "in.ome.zarr", micrograph((SECTIONS, 64, 70)), "ZYX")
    run = partial(restore_image, None, source, tmp_path / "out.ome.zarr", extraction=Extract(), settings=GIVEN)
    with pytest.raises(UserError, match=r"a stack of electron micrographs, by its voxel size of 4 x 4 x 12\.7 nm"):
        run(part=THICK)
    with pytest.raises(UserError, match="a micrograph or picture"):
        run(part=Part(voxel_um=(0.5, 0.5, 2)))


def test_stacks_that_cannot_be_restored_are_refused_before_any_work(tmp_path, in_blocks):
    in_blocks()
    for name, network in (("any", any_ratio_generator()), ("columns", tiny_generator(along="columns"))):
        save_generator(tmp_path / f"{name}.safetensors", network)
    source = write_tiff(tmp_path / "in.ome.tiff", micrograph((SECTIONS, 64, 70)), "ZYX")
    flat = write_tiff(tmp_path / "flat.ome.tiff", micrograph((64, 70)), "YX")
    mistakes = {
        "not 1.5 times longer along any axis": ("any", source, Part(voxel_um=(1, 1, 1))),
        "are not longest along z": ("any", source, Part(voxel_um=(3, 1, 1))),
        "has a single slice": ("any", flat, Part(voxel_um=(1, 1, 3))),
        "enlarges columns alone": ("columns", source, THICK),
    }
    before = contents(tmp_path)
    for message, (network, path, part) in mistakes.items():
        arguments = (path, tmp_path / "out.ome.tiff", part, Extract(), GIVEN, "cpu")
        with pytest.raises(UserError, match=message):
            restore_file(tmp_path / f"{network}.safetensors", *arguments)
    assert contents(tmp_path) == before
