"""The grid proof: nothing moves between high resolution, low resolution and back, in any plane and orientation."""

from __future__ import annotations

import json
import math
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from pipeline import plugins
from pipeline.baselines import bicubic
from pipeline.config.sections import Degrade
from pipeline.formats import nifti
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.geometry import Orientation
from pipeline.image.image import PLANE_AXIS
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import coarse_shape, covered_shape, crop_to, fine_affine, padded_shape, whole_cells
from pipeline.physics.linear import OPERATORS
from tests.helpers import extract, load_nifti, ras_affine, reoriented, write_nifti

ORIENTATIONS = [
    np.column_stack([order, flips]) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)
]
TOLERANCE = 0.01
"""Voxels."""
REAL_FACTORS = (1.1, 4 / 3, 1.5, 2.5, np.pi, 3.75, 40 / 9, 5 / 0.9, 6.5, 7.3)
INTERPOLATIONS = ("bicubic", "bspline3", "lanczos", "nearest", "nlm_bspline3", "zerofill")
COARSENING = [name for name in plugins.names(OPERATORS) if plugins.load(OPERATORS, name).COARSENS]


def blob(shape: tuple[int, ...], centre: tuple[float, ...], width: float) -> np.ndarray:
    grids = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    distance = sum((grid - place) ** 2 for grid, place in zip(grids, centre, strict=True))
    return np.exp(-np.asarray(distance) / (2 * width**2))


def centroid(data: np.ndarray) -> np.ndarray:
    weights = np.asarray(data, dtype=np.float64)
    grids = np.meshgrid(*(np.arange(size) for size in data.shape), indexing="ij")
    return np.array([(grid * weights).sum() / weights.sum() for grid in grids])


def restored(data: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    model = ForwardModel(factors, data.shape, "none", 0.0, 0)
    return crop_to(bicubic.upsample(model.coarsen(data), model, {}), data.shape)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([2, 3, 4]),
    st.sampled_from(sorted(PLANE_AXIS.values())),
    st.tuples(*[st.integers(56, 67)] * 2),
    st.tuples(*[st.floats(-2, 2)] * 3),
)
def test_a_blob_stays_where_it_is(
    factor: int, slice_axis: int, sides: tuple[int, int], shift: tuple[float, float, float]
) -> None:
    shape, factors = list(sides), [factor, factor]
    shape.insert(slice_axis, 9)
    factors.insert(slice_axis, 1)
    centre = tuple((size - 1) / 2 + move for size, move in zip(shape, shift, strict=True))
    data = blob(tuple(shape), centre, width=5.0)
    assert np.abs(centroid(restored(data, tuple(factors))) - centroid(data)).max() < TOLERANCE


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_proof_sees_a_shift_of_half_a_voxel(factor: int) -> None:
    data = blob((60, 61, 5), (29.0, 30.5, 2.0), width=5.0)
    wrong = np.roll(restored(data, (factor, factor, 1)), 1, axis=0) / 2 + restored(data, (factor, factor, 1)) / 2
    assert abs(centroid(wrong)[0] - centroid(data)[0]) > 10 * TOLERANCE


@pytest.fixture(scope="module")
def ras_blob() -> np.ndarray:
    return blob((48, 45, 44), (23.0, 23.5, 20.3), width=5.0)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("table", ORIENTATIONS, ids=lambda table: "".join(nib.aff2axcodes(axes(table))))
def test_a_file_of_any_orientation_comes_back_in_place(
    table: np.ndarray, factor: int, ras_blob: np.ndarray, tmp_path: Path
) -> None:
    stored = np.rint(1000 * ras_blob).astype(np.int16)
    data, affine = reoriented(stored, ras_affine((1.0, 1.5, 2.0), (-20.0, 31.0, 7.5)), table)
    source = write_nifti(tmp_path / "a.nii", data, affine)
    plane = list(PLANE_AXIS)[int(table[0, 0])]
    extract(source, tmp_path / "a.safetensors", settings={"plane": plane, "min_foreground": 0.0})
    image = read_image(tmp_path / "a.safetensors")
    model = forward_model(image, Degrade(factor=factor, noise="none"), 0)
    low = degrade(image, model)
    sr_affine = fine_affine(low.affine, model.factors)
    sr = crop_to(bicubic.upsample(low.data, model, {}), model.hr_shape)
    nifti.write(tmp_path / "sr.nii", low.with_data(sr, affine=sr_affine))

    before, after = load_nifti(source), load_nifti(tmp_path / "sr.nii")
    assert after.shape == before.shape
    assert nib.aff2axcodes(after.affine) == nib.aff2axcodes(before.affine)
    assert np.abs(corners(after) - corners(before)).max() < 1e-4
    moved = in_millimetres(after) - in_millimetres(before)
    assert np.abs(np.linalg.inv(before.affine[:3, :3]) @ moved).max() < TOLERANCE
    assert np.corrcoef(after.get_fdata().ravel(), before.get_fdata().ravel())[0, 1] > 0.99


@pytest.mark.parametrize("table", ORIENTATIONS, ids=lambda table: "".join(nib.aff2axcodes(axes(table))))
def test_corners_of_files_of_any_orientation_stay_for_real_factors(table: np.ndarray, tmp_path: Path) -> None:
    """The high-resolution file, the low-resolution one and the restored one, all oblique, with each of ten factors."""
    stored = np.rint(1000 * blob((15, 14, 13), (7.0, 6.5, 5.3), width=3.0)).astype(np.int16)
    oblique = ras_affine((0.9, 1.1, 1.4), (-20.0, 31.0, 7.5)) @ tilted(0.2)
    source = write_nifti(tmp_path / "a.nii", *reoriented(stored, oblique, table))
    plane = list(PLANE_AXIS)[int(table[0, 0])]
    extract(source, tmp_path / "a.safetensors", settings={"plane": plane, "min_foreground": 0.0})
    image = read_image(tmp_path / "a.safetensors")
    before, upright = load_nifti(source), nib.as_closest_canonical(load_nifti(source))
    for factor in REAL_FACTORS:
        model = forward_model(image, Degrade(factor=factor, direction="isotropic", noise="none"), 0)
        low = degrade(image, model)
        nifti.write(tmp_path / "lr.nii", low)
        write_prediction(tmp_path / "sr.nii", low, bicubic.upsample(low.data, model, {}))
        measured, after = (load_nifti(tmp_path / name) for name in ("lr.nii", "sr.nii"))
        assert after.shape == before.shape
        assert np.abs(corners(after) - corners(before)).max() < 1e-4
        # A low-resolution voxel covers `factor` voxels, counted from the first corner of the canonical grid.
        canonical = nib.as_closest_canonical(measured)
        assert canonical.shape == tuple(math.ceil(size / factor) for size in upright.shape)
        covered = list(product(*((-0.5, factor * size - 0.5) for size in canonical.shape)))
        assert np.abs(corners(canonical) - apply_affine(upright.affine, np.array(covered))).max() < 1e-4


@pytest.mark.parametrize("name", COARSENING)
@pytest.mark.parametrize("factor", REAL_FACTORS)
def test_a_blob_stays_where_it_is_for_real_factors_and_all_baselines(factor: float, name: str) -> None:
    data = blob((97, 98, 2), (47.3, 49.9, 0.5), width=9.0)
    data = np.repeat(data[:, :, :1], 2, axis=2)
    model = ForwardModel((factor, factor, 1), data.shape, operators=(plugins.load(OPERATORS, name).Parameters(),))
    low = model.coarsen(data)
    settings = {"patch_size": 3, "patch_distance": 3, "h_in_sigma": 0.8, "sigma": 0.001}
    for method in INTERPOLATIONS:
        sr = plugins.load("pipeline.baselines", method).upsample(low, model, settings)
        assert sr.shape == model.padded_shape
        assert np.abs(centroid(crop_to(sr, data.shape)) - centroid(data)).max() < TOLERANCE, method


@given(st.integers(1, 700), st.floats(1, 8))
def test_sizes_are_covered_for_any_factor(size: int, factor: float) -> None:
    (count,) = coarse_shape([size], [factor])
    (covered,), (padded,) = covered_shape([count], [factor]), padded_shape([count], [factor])
    assert size <= covered <= padded <= covered + 1
    assert (count - 1) * factor < size <= count * factor + 1e-5
    assert whole_cells(padded, factor) == count
    assert coarse_shape([covered], [factor]) == (count,)


def axes(table: np.ndarray) -> np.ndarray:
    """The affine of a file whose axes lie as the table says."""
    return reoriented(np.zeros((2, 2, 2)), np.eye(4), table)[1]


def corners(image: Any) -> np.ndarray:
    """The outer corners of the corner voxels, in millimetres."""
    places = np.array(list(product(*((-0.5, size - 0.5) for size in image.shape))))
    return apply_affine(image.affine, places)


def in_millimetres(image: Any) -> np.ndarray:
    return apply_affine(image.affine, centroid(image.get_fdata()))


affines = st.builds(
    lambda table, spacing, tilt, origin: axes(table) @ np.diag([*spacing, 1]) @ tilted(tilt) + shifted(origin),
    st.sampled_from(ORIENTATIONS),
    st.tuples(*[st.floats(0.2, 4)] * 3),
    st.floats(-0.4, 0.4),
    st.tuples(*[st.floats(-200, 200)] * 3),
)


def tilted(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def shifted(origin: tuple[float, ...]) -> np.ndarray:
    move = np.zeros((4, 4))
    move[:3, 3] = origin
    return move


@settings(deadline=None)
@given(affines)
def test_canonical_order_is_ras_and_undone_exactly(affine: np.ndarray) -> None:
    orientation = Orientation.of_affine(affine)
    data = np.arange(24).reshape(2, 3, 4)
    canonical, canonical_affine = orientation.to_canonical(data, affine)
    assert nib.aff2axcodes(canonical_affine) == ("R", "A", "S")
    again, again_affine = orientation.from_canonical(canonical, canonical_affine)
    np.testing.assert_array_equal(again, data)
    np.testing.assert_allclose(again_affine, affine, atol=1e-9)
    for index in np.ndindex(2, 3, 4):
        place = affine @ [*index, 1]
        (found,) = np.argwhere(canonical == data[index])
        np.testing.assert_allclose(canonical_affine @ [*found, 1], place, atol=1e-9)
    assert Orientation(**json.loads(json.dumps(vars(orientation)))).code == orientation.code
