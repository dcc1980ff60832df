"""What a constant, a factor, and single voxels far beyond the range do to results: nothing, nothing, and little.

result(a * x + c) = a * result(x) + c for a > 0, to the rounding of the file, whatever the format, the dtype, the sign
and the way through the program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.baselines.tuning.apply import upsample
from pipeline.config.known import known_sources
from pipeline.config.sections import Degrade, Extract, Infer
from pipeline.config.volumes import Volume
from pipeline.formats import Part, format_of
from pipeline.formats.io.extraction import read_block
from pipeline.formats.io.predictions import write_prediction
from pipeline.formats.tiled import open_tiled
from pipeline.image.intensity import IntensityMap, intensity_range
from pipeline.inference.block_methods import PlaneNetwork
from pipeline.inference.large_images import restore_large
from pipeline.inference.restoration import restore
from pipeline.inference.restore_file import restore_file
from pipeline.models.generator import Generator
from pipeline.models.weights import save_generator
from pipeline.physics.degradation import degrade, forward_model
from pipeline.steps import convert_weights
from tests.helpers import described, load_nifti, synthetic_head, write_nifti
from tests.image_files import png, write_series
from tests.known import known_file
from tests.small_training import tiny_generator
from tests.unit.test_ome_zarr import write_store

SIDE, SLICES = 36, 4
HEAD = np.rint(synthetic_head((SIDE, SIDE, SLICES), texture=60.0) / 12).astype(np.int64)
"""An image of whole numbers from 0 to about 100, with dark background."""
NOISY = HEAD + np.random.default_rng(5).integers(0, 6, HEAD.shape)
WIDE = Infer(force=True, threads=1, backend="torch")
"""The noise level is estimated."""

INTEGERS = ("uint8", "int8", "uint16", "int16", "int32")
FLOATS = ("float32", "float64")


def nifti(folder: Path, data: NDArray) -> Path:
    return write_nifti(folder / "in.nii.gz", data, np.diag([-1.0, 2.0, 3.0, 1.0]))


def mgh(folder: Path, data: NDArray) -> Path:
    image: Any = nib.MGHImage(data, np.eye(4))  # pyright: ignore[reportArgumentType, reportPrivateImportUsage]
    image.to_filename(folder / "in.mgz")
    return folder / "in.mgz"


def tiff(folder: Path, data: NDArray) -> Path:
    tifffile.imwrite(folder / "in.tif", data.transpose(2, 1, 0), photometric="minisblack")
    return folder / "in.tif"


def dicom(folder: Path, data: NDArray) -> Path:
    return write_series(folder / "in", data)


def zarr(folder: Path, data: NDArray) -> Path:
    return write_store(folder / "in.ome.zarr", np.ascontiguousarray(data.transpose(2, 1, 0)), "zyx")


def picture(folder: Path, data: NDArray) -> Path:
    path = folder / "in.png"
    path.write_bytes(png(np.ascontiguousarray(data[:, :, SLICES // 2].T)))
    return path


FORMATS: dict[str, tuple[Callable[[Path, NDArray], Path], str, tuple[str, ...]]] = {
    "nifti": (nifti, ".nii.gz", (*INTEGERS, *FLOATS)),
    "mgh": (mgh, ".mgz", ("uint8", "int16", "int32", "float32")),
    "tiff": (tiff, ".ome.tiff", (*INTEGERS, *FLOATS)),
    "dicom": (dicom, ".dicom.zip", ("uint8", "uint16", "int16")),
    "ome_zarr": (zarr, ".ome.zarr", (*INTEGERS, *FLOATS)),
    "picture": (picture, ".png", ("uint8", "uint16")),
}
"""How each format is written by its own library, the suffix of results, and dtypes that it holds."""


@pytest.fixture(scope="module")
def network() -> Generator:
    return tiny_generator(7, factor=2).eval()


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory, network: Generator) -> Path:
    path = tmp_path_factory.mktemp("network") / "generator.safetensors"
    save_generator(path, network)
    return path


@st.composite
def changes(draw: st.DrawFn, dtype: str) -> tuple[float, float]:
    """A factor and a constant with which the image still fits into a dtype, overshoot of the network included."""
    if dtype in FLOATS:
        return draw(st.sampled_from([1.0, 0.25, 8.0])), float(draw(st.integers(-30_000, 30_000)))
    limits = np.iinfo(dtype)
    factor = draw(st.sampled_from([1, 2] if limits.max < 1000 else [1, 3, 20]))
    room = int(limits.max) - factor * int(NOISY.max())
    assume(room > limits.min)
    return float(factor), float(draw(st.integers(max(int(limits.min), -(2**20)), min(room, 2**20))))


cases = st.sampled_from([(name, dtype) for name, (_, _, dtypes) in FORMATS.items() for dtype in dtypes])


def assert_follows(changed: NDArray, plain: NDArray, factor: float, constant: float, dtype: str) -> None:
    """Compare a result with factor * plain + constant, where neither was clipped."""
    expected = factor * plain.astype(np.float64) + constant
    if dtype in FLOATS:
        np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-5 * (np.ptp(expected) + abs(constant)))
        return
    limits = np.iinfo(dtype)
    free = (plain > limits.min) & (plain < limits.max) & (changed > limits.min) & (changed < limits.max)
    assert free.mean() > 0.2
    assert np.abs(changed - expected)[free].max() <= 0.5 + factor / 2 + 1e-3


@settings(max_examples=40, deadline=None)
@given(cases, st.sampled_from(["head", "all"]), st.booleans(), st.data())
def test_apply_follows_constants_and_factors(
    network: Generator, network_file: Path, case: tuple[str, str], foreground: Any, tiled: bool, data: st.DataObject
) -> None:
    name, dtype = case
    factor, constant = data.draw(changes(dtype))
    write, suffix, _ = FORMATS[name]
    results = []
    for one, other in ((1.0, 0.0), (factor, constant)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            source = write(folder, (one * NOISY + other).astype(dtype))
            output = folder / f"out{suffix}"
            if tiled and name in ("tiff", "ome_zarr"):
                with open_tiled(source) as image:
                    restore_large(PlaneNetwork(network, "x"), image, WIDE, output)
            else:
                restore_file(network_file, source, output, Part(), Extract(foreground=foreground), WIDE, "cpu")
            result = format_of(output).read(output, Part()).data
        results.append(result)
    assert_follows(results[1], results[0], factor, constant, dtype)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(["uint16", "int16", "float32"]),
    st.sampled_from(["none", "gaussian", "poisson_gaussian", "electron"]),
    st.sampled_from(["head", "all"]),
    st.data(),
)
def test_a_run_follows_constants_and_factors(
    network: Generator, dtype: str, noise: str, foreground: Any, data: st.DataObject
) -> None:
    factor, constant = data.draw(changes(dtype))
    options = {"factor": 2, "noise": noise, "noise_sigma": 0.02}
    volume = Volume(id="one", subject="one", split="test", source="x")
    results: list[dict[str, NDArray]] = []
    for one, other in ((1.0, 0.0), (factor, constant)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            source = nifti(folder, (one * NOISY + other).astype(dtype))
            image = read_block(source, volume, Extract(foreground=foreground))
            image = described(image, id="one", subject="one", split="test")
            low = degrade(image, forward_model(image, Degrade.model_validate(options), 3))
            made = {"brainsr": restore(network, low, WIDE)}
            for name in plugins.names("pipeline.baselines"):
                made[name] = upsample(low, name)
            results.append({})
            for method, restored in made.items():
                write_prediction(folder / f"{method}.nii.gz", low, restored)
                results[-1][method] = np.asarray(nib.load(folder / f"{method}.nii.gz").dataobj)  # pyright: ignore
    assert results[0].keys() == results[1].keys()
    for method, plain in results[0].items():
        assert_follows(results[1][method], plain, factor, constant, dtype)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(3, 4, 5), (1, 2, 2), (9, 9)]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 1000]),
    st.integers(-(2**31), 2**31),
)
def test_the_range_follows_exactly(shape: tuple[int, ...], seed: int, factor: int, constant: int) -> None:
    values = np.random.default_rng(seed).integers(0, 50, shape)
    assume(len(np.unique(values)) > 3)
    try:
        offset, scale = intensity_range(values)
    except Exception:
        assume(False)
        raise
    assert intensity_range(factor * values + constant) == (factor * offset + constant, factor * scale)
    plain = IntensityMap().with_range(intensity_range(values)).normalise(values.astype(np.float64))
    changed = factor * values.astype(np.float64) + constant
    again = IntensityMap().with_range(intensity_range(changed)).normalise(changed)
    np.testing.assert_allclose(again, plain, rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def calm() -> NDArray[np.float32]:
    """A noisy head of two slices."""
    noise = np.random.default_rng(1).normal(0, 10, (96, 96, 2))
    return (synthetic_head((96, 96, 2)) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[NDArray], NDArray[np.float64]]:
    """Restore an image with trained weights of six blocks, in whose results single voxels show far away."""
    folder = tmp_path_factory.mktemp("pretrained")
    convert_weights.run(
        convert_weights.Options(
            weights=known_file("realesrgan-6b"), source=known_sources()["realesrgan-6b"], output=folder, factor=4
        )
    )

    def restore_with_it(data: NDArray) -> NDArray[np.float64]:
        source, output = write_nifti(folder / "in.nii.gz", data), folder / "out.nii.gz"
        settings = Infer(force=True, threads=2)
        restore_file(
            folder / "generator.safetensors", source, output, Part(), Extract(), settings, "cpu", uncertainty=False
        )
        return load_nifti(output).get_fdata()

    return restore_with_it


@pytest.fixture(scope="module")
def calm_result(calm: NDArray, restored: Callable[[NDArray], NDArray]) -> NDArray[np.float64]:
    return restored(calm)


@pytest.mark.parametrize("value", [-1e30, 3.0, 118.0, 1e6, 1e30])
def test_one_voxel_of_any_value_changes_little_far_away(
    calm: NDArray, calm_result: NDArray, restored: Callable[[NDArray], NDArray], value: float
) -> None:
    """Within 0.5 % of the range on average beyond 32 voxels; and no tissue becomes background (foreground: head)."""
    span = intensity_range(calm).scale
    hot = calm.copy()
    hot[30, 30, 1] = value * span
    result = restored(hot)
    x, y = np.mgrid[: 4 * 96, : 4 * 96] / 4
    far = np.hypot(x - 30, y - 30) > 32
    assert np.abs(result - calm_result)[far].mean() / span < 0.005
    assert np.abs(result[118:126, 118:126, 1]).max() > 0.5 * abs(value) * span, "the voxel itself is kept"
