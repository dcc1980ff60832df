"""The grid proof: nothing moves between high resolution, low resolution and back, in any plane and orientation."""

from __future__ import annotations

import json
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from pipeline.baselines import bicubic
from pipeline.config.sections import Degrade
from pipeline.formats import nifti
from pipeline.formats.io.container import read_image
from pipeline.image.geometry import Orientation
from pipeline.image.image import PLANE_AXIS
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to, fine_affine
from tests.helpers import extract, load_nifti, ras_affine, reoriented, write_nifti

ORIENTATIONS = [
    np.column_stack([order, flips]) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)
]
TOLERANCE = 0.01
"""Voxels."""


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
