"""Intensities and files survive the round trip, whatever the type of the voxels."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.formats import nifti
from pipeline.image.intensity import IntensityMap
from tests.helpers import load_nifti, ras_affine, write_nifti

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float32", "float64")
EXACT = 2**53
"""Whole numbers up to here have a float64 of their own."""


def values_of(dtype: str) -> st.SearchStrategy[float]:
    if dtype in FLOATS:
        return st.floats(-1e6, 1e6, width=32)
    limits = np.iinfo(dtype)
    return st.integers(max(int(limits.min), -EXACT), min(int(limits.max), EXACT))


def volumes(dtype: str) -> st.SearchStrategy[np.ndarray]:
    shape = arrays.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=4)
    volume = arrays.arrays(np.dtype(dtype), shape, elements=values_of(dtype), fill=st.nothing())
    return volume.filter(lambda data: data.min() < data.max())


stored_volumes = st.sampled_from(INTEGERS + FLOATS).flatmap(volumes)
slopes = st.sampled_from([1.0, 0.5, -2.0, 0.00390625, 1024.0])
intercepts = st.sampled_from([0.0, -1024.0, 0.5])


@settings(max_examples=60, deadline=None)
@given(stored_volumes, slopes, intercepts, st.sampled_from([1, 2]), st.sampled_from(nifti.WRITTEN))
def test_a_file_that_is_read_and_written_holds_the_same_voxels(
    stored: np.ndarray, slope: float, intercept: float, version: int, suffix: str
) -> None:
    if stored.dtype.itemsize == 8 or stored.dtype == np.float32:
        slope, intercept = 1.0, 0.0  # slope * stored + intercept would need more digits than float64 has
    affine = np.array([[0, -1.5, 0.1, 5], [2, 0, 0, -7], [0, 0.2, 3, 1 / 3], [0, 0, 0, 1]])
    with tempfile.TemporaryDirectory() as folder:
        source, again = Path(folder) / f"a{suffix}", Path(folder) / f"b{suffix}"
        write_nifti(source, stored, affine, version=version, slope=slope, intercept=intercept)
        assert nifti.write(again, nifti.read(source)) == 0
        before, after = load_nifti(source), load_nifti(again)
        np.testing.assert_array_equal(after.dataobj.get_unscaled(), stored)
        assert after.get_data_dtype() == stored.dtype
        assert type(after) is type(before)
        np.testing.assert_allclose(after.affine, before.affine, rtol=1e-15, atol=1e-15)
        assert (after.dataobj.slope, after.dataobj.inter) == (slope, intercept)
        assert after.header.get_zooms() == before.header.get_zooms()
        assert after.header.get_xyzt_units() == before.header.get_xyzt_units()


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (4, 1), (2, 3)])
def test_the_codes_and_affines_of_the_header_survive(tmp_path: Path, codes: tuple[int, int]) -> None:
    affine = ras_affine((1, 2, 3)) @ np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1])
    image.to_filename(tmp_path / "a.nii")
    nifti.write(tmp_path / "b.nii", nifti.read(tmp_path / "a.nii"))
    before, after = load_nifti(tmp_path / "a.nii"), load_nifti(tmp_path / "b.nii")
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)
    assert (int(after.header["sform_code"]), int(after.header["qform_code"])) == codes


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    stored = np.arange(60, dtype=">i2").reshape(3, 4, 5)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.Nifti1Image(stored, np.eye(4), header).to_filename(tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    image = nifti.read(tmp_path / "a.nii")
    np.testing.assert_array_equal(image.data, stored)
    assert image.intensity.dtype == "int16"


def test_a_single_time_point_is_a_volume(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.arange(60, dtype=np.int16).reshape(3, 4, 5, 1))
    assert nifti.read(tmp_path / "a.nii.gz").data.shape == (3, 4, 5)


def test_the_same_image_gives_the_same_bytes_and_the_gzip_header_no_time_or_name(tmp_path: Path) -> None:
    image = nifti.read(write_nifti(tmp_path / "a.nii.gz", np.arange(60, dtype=np.int16).reshape(3, 4, 5)))
    for name in ("b.nii.gz", "other.nii.gz"):
        nifti.write(tmp_path / name, image)
    content = (tmp_path / "b.nii.gz").read_bytes()
    assert content == (tmp_path / "other.nii.gz").read_bytes()
    assert content[3] & 0b1000 == 0  # RFC 1952: bit 3 of the flags announces a file name
    assert content[4:8] == bytes(4)  # the time
    assert gzip.decompress(content)


maps = st.builds(
    IntensityMap,
    scale=st.floats(1e-3, 1e6),
    slope=slopes,
    intercept=intercepts,
    dtype=st.sampled_from(INTEGERS[:4] + FLOATS),
)


@settings(deadline=None)
@given(maps, st.data())
def test_normalising_is_undone(intensity: IntensityMap, data: st.DataObject) -> None:
    stored = data.draw(arrays.arrays(np.dtype(intensity.dtype), 20, elements=values_of(intensity.dtype)))
    physical = stored.astype(np.float64) * intensity.slope + intensity.intercept
    again, saturated = intensity.to_stored(intensity.normalise(physical))
    assert again.dtype == stored.dtype
    if stored.dtype.kind == "f":  # what float32 loses of the largest term
        largest = np.abs(stored) + abs(intensity.intercept / intensity.slope)
        # Below its smallest normal number float32 keeps fewer digits, stored or normalised.
        spread = float(np.max(intensity.scale)) / abs(intensity.slope)
        smallest = float(np.finfo(np.float32).tiny) + spread * float(np.finfo(np.float32).smallest_subnormal)
        assert np.all(np.abs(again - stored.astype(np.float64)) <= 2**-22 * largest + smallest)
        return
    np.testing.assert_array_equal(again, stored)
    assert saturated == 0


@pytest.mark.parametrize("dtype", INTEGERS)
def test_what_does_not_fit_is_clipped_and_counted(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([-1e30, float(limits.min), 0.0, 1.4, 1.6, 1e30])
    stored, saturated = IntensityMap(dtype=dtype).to_stored(values)
    assert saturated == 2
    assert stored.dtype == np.dtype(dtype)
    assert stored[0] == stored[1] == limits.min
    assert stored[2:5].tolist() == [0, 1, 2]
    assert 0 <= int(limits.max) - int(stored[5]) <= int(limits.max) // EXACT * 2


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_are_not_clipped(dtype: str) -> None:
    stored, saturated = IntensityMap(dtype=dtype).to_stored(np.array([-1e30, 1e30]))
    assert saturated == 0
    np.testing.assert_allclose(stored, [-1e30, 1e30], rtol=1e-6)
