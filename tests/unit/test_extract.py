"""Extraction: what is estimated for a block comes from the block alone."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.sections import Degrade, Extract
from pipeline.errors import UserError
from pipeline.formats.io.container import map_image, read_image
from pipeline.image.bias import correct_bias
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE
from pipeline.image.normalisation import normalise
from pipeline.image.slices import cut_block
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.grid import coarse_shape
from tests.helpers import described, extract, ras_affine, run_step, synthetic_head, volume_entry, write_nifti

HEAD = synthetic_head()


def whole(data: np.ndarray = HEAD) -> Image:
    return Image(data=data.astype(np.float64), affine=ras_affine((1.0, 1.5, 2.0)))


@pytest.mark.parametrize("bias_correction", [False, True])
def test_a_block_does_not_depend_on_what_lies_outside_it(tmp_path: Path, bias_correction: bool) -> None:
    other = np.random.default_rng(1).random(HEAD.shape).astype(np.float32) * 30_000
    other[:, :, 12:24] = HEAD[:, :, 12:24]
    results = []
    for number, data in enumerate((HEAD, other)):
        source = write_nifti(tmp_path / f"{number}.nii.gz", data)
        output = tmp_path / f"{number}.safetensors"
        extract(source, output, slices=[12, 24], settings={"bias_correction": bias_correction})
        results.append(read_image(output))
    one, two = results
    np.testing.assert_array_equal(one.data, two.data)
    np.testing.assert_array_equal(one.masks["foreground"], two.masks["foreground"])
    assert one.intensity == two.intensity
    assert replace(one.identity, source_sha256="") == replace(two.identity, source_sha256="")
    assert (one.slicing, one.stack, one.block) == (two.slicing, two.stack, two.block)


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "x.nii.gz", HEAD)
    for name in ("a", "b"):
        extract(source, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "x.nii.gz", synthetic_head((65, 72, 40)))
    results = []
    for count in ("1", "2", "5"):
        high, low, model = (tmp_path / f"{count}{name}" for name in ("high.safetensors", "low.safetensors", "low.json"))
        variables = {"OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count}
        entry = ("--volume", json.dumps(volume_entry()))
        run_whole("extract", "--input", source, "--output", high, *entry, environment=variables)
        paths = ("--input", high, "--output", low, "--forward-model", model)
        run_whole("degrade", *paths, environment=variables)
        results.append((high.read_bytes(), low.read_bytes()))
    assert results[0] == results[1] == results[2]


def test_a_large_volume_needs_little_memory(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 30, (256, 256, 256), np.int16)
    noise[40:220, 30:230, 50:200] += generator.integers(400, 900, (180, 200, 150), np.int16)
    source = write_nifti(tmp_path / "x.nii", noise)
    high, low, model = (tmp_path / name for name in ("high.safetensors", "low.safetensors", "low.json"))
    entry = ("--volume", json.dumps(volume_entry()))
    run_whole("extract", "--input", source, "--output", high, *entry, before=limit_memory)
    run_whole("degrade", "--input", high, "--output", low, "--forward-model", model, before=limit_memory)
    assert read_image(low).data.shape == (64, 64, 256)


def run_whole(*arguments: Any, **options: Any) -> None:
    done = run_step(*arguments, **options)
    assert done.returncode == 0, done.stderr


def limit_memory() -> None:
    """Refuse the process more than 1 GiB of addresses for what it allocates: half of what is promised."""
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_intensities_are_those_of_double_precision(tmp_path: Path, dtype: str) -> None:
    source = write_nifti(tmp_path / "x.nii.gz", (HEAD / 5).astype(dtype))
    extract(source, tmp_path / "x.safetensors")
    image = read_image(tmp_path / "x.safetensors")
    physical = (HEAD / 5).astype(dtype).astype(np.float64)
    inside = physical[image.masks["foreground"]]
    low = np.percentile(physical, LOW_PERCENTILE, method="higher")
    high = np.percentile(inside, PERCENTILE, method="lower")
    assert (image.intensity.offset, image.intensity.scale) == (low, high - low)
    np.testing.assert_allclose(image.data, (physical - low) / (high - low), rtol=1e-6)


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "axial"])
def test_a_mapped_volume_is_the_volume(tmp_path: Path, plane: str) -> None:
    path = tmp_path / "x.safetensors"
    extract(write_nifti(tmp_path / "x.nii.gz", HEAD), path, settings={"plane": plane})
    mapped, image = map_image(path), read_image(path)
    np.testing.assert_array_equal(mapped.data, image.data)
    np.testing.assert_array_equal(mapped.affine, image.affine)
    assert (mapped.block, mapped.intensity) == (image.block, image.intensity)
    np.testing.assert_array_equal(mapped.masks["foreground"], image.masks["foreground"])
    model = forward_model(image, Degrade(), seed=1)
    np.testing.assert_array_equal(degrade(mapped, model).data, degrade(image, model).data)


@pytest.mark.parametrize(("plane", "axis"), [("sagittal", 0), ("coronal", 1), ("axial", 2)])
def test_a_block_keeps_its_place_in_the_world(plane: str, axis: int) -> None:
    image = whole()
    block = cut_block(image, (5, 17), axis)
    assert block.data.shape[axis] == 12
    corner = np.zeros(4)
    corner[3] = 1
    moved = corner.copy()
    moved[axis] = 5
    np.testing.assert_allclose(block.affine @ corner, image.affine @ moved)
    np.testing.assert_array_equal(block.data, np.take(image.data, range(5, 17), axis=axis))
    assert normalise(block, Extract.model_validate({"plane": plane})).slice_axis == axis


def test_the_foreground_is_the_head_with_its_dark_parts_and_without_the_background() -> None:
    noise = np.random.default_rng(2).normal(0, 15, HEAD.shape)
    mask = foreground_mask(np.abs(HEAD + noise))
    head = HEAD > 50
    overlap = 2 * np.count_nonzero(mask & head) / (np.count_nonzero(mask) + np.count_nonzero(head))
    assert overlap > 0.92
    assert mask[20, 22, 20]
    ventricle = HEAD < 350
    inside = np.zeros_like(mask)
    inside[10:30, 12:32, 14:24] = True
    assert mask[ventricle & inside].all()
    assert not mask[[0, 0, -1, -1], [0, -1, 0, -1], 0].any()


def test_a_bright_spot_outside_the_head_is_not_foreground() -> None:
    data = HEAD.copy()
    data[1:4, 1:4, 1:4] = 1000
    assert not foreground_mask(data)[1:4, 1:4, 1:4].any()


def test_intensities_count_from_a_low_percentile_to_a_high_one_of_the_foreground() -> None:
    result = normalise(whole(), Extract())
    inside = result.data[result.masks["foreground"]]
    assert result.data.dtype == np.float32
    assert np.percentile(result.data, 0.1) == pytest.approx(0, abs=1e-3)
    assert np.percentile(inside, 99.9) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(result.intensity.to_physical(result.data), HEAD, rtol=1e-6, atol=1e-6)


def test_slices_with_little_foreground_are_not_chosen() -> None:
    result = normalise(whole(), Extract(min_foreground=0.3))
    coverage = result.masks["foreground"].mean(axis=(0, 1))
    assert result.block.foreground_slices == tuple(z for z in range(HEAD.shape[2]) if coverage[z] >= 0.3)
    assert 0 < len(result.block.foreground_slices) < HEAD.shape[2]


def test_a_block_of_background_is_refused() -> None:
    with pytest.raises(UserError, match="no axial slice has 100 % foreground"):
        normalise(whole(), Extract(min_foreground=1.0))


def test_slices_beyond_the_volume_are_refused() -> None:
    with pytest.raises(UserError, match=r"\[30, 40\).*only 36"):
        cut_block(whole(), (30, 40), 2)


def variation(data: np.ndarray, region: np.ndarray) -> float:
    return float(data[region].std() / data[region].mean())


def test_bias_correction_removes_a_smooth_field() -> None:
    head = synthetic_head((48, 52, 44), texture=10.0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, size) for size in head.shape), indexing="ij")
    field = np.exp(0.35 * x - 0.3 * y * z + 0.25 * z)
    white = (head > 900) & (head < 1100)
    before = variation(head * field, white)
    after = variation(correct_bias(head * field, foreground_mask(head)), white)
    assert before > 3 * variation(head, white)
    assert after < 0.4 * before


@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_thin_blocks_are_extracted(count: int, bias_correction: bool) -> None:
    block = cut_block(whole(), (18, 18 + count), 2)
    result = normalise(block, Extract(bias_correction=bias_correction))
    assert result.data.shape == (40, 44, count)
    assert np.isfinite(result.data).all()
    assert result.block.foreground_slices == tuple(range(count))


def test_a_single_slice_is_extracted_but_has_no_bias_field() -> None:
    block = cut_block(whole(), (18, 19), 2)
    assert normalise(block, Extract()).data.shape == (40, 44, 1)
    with pytest.raises(UserError, match="bias correction needs 2 slices"):
        normalise(block, Extract(bias_correction=True))


def test_planes_smaller_than_the_factor_still_degrade() -> None:
    from pipeline.config.sections import Degrade
    from pipeline.physics.degradation import degrade, forward_model

    image = Image(data=np.ones((2, 5, 3), np.float32), affine=np.eye(4))
    image = described(image, id="tiny", slice_axis=2)
    low = degrade(image, forward_model(image, Degrade(factor=8, noise="none"), 0))
    assert low.data.shape == coarse_shape((2, 5, 3), (8, 8, 1)) == (1, 1, 3)
    np.testing.assert_allclose(low.data, 1, rtol=1e-6)
