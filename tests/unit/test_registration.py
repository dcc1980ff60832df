"""Rigid transforms, and the registration of scans of one head."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.errors import UserError
from pipeline.image.header import FileHeader
from pipeline.image.image import Image
from pipeline.image.registration import register
from pipeline.image.rigid import IDENTITY, Rigid
from tests.helpers import CHECKOUT

HEADS = CHECKOUT.parent / "shared/data"
"""Real heads, which are no part of the project."""

CENTRE = (10.0, -4.0, 7.0)
MOTION = Rigid((3.0, -4.0, 2.0), (1.5, -2.0, 3.0), CENTRE)
SIZE = 120
"""Voxels of 1 mm of the synthetic head along every axis; its centre is at the centre of the array."""


def test_a_quarter_turn_maps_points_as_by_hand():
    """A turn from right to front about (10, -4, 7), and 2 mm upwards."""
    quarter = Rigid((0, 0, 90), (0, 0, 2), CENTRE)
    assert quarter.apply([CENTRE, (11, -4, 7)]) == pytest.approx(np.array([(10, -4, 9), (10, -3, 9)]))
    assert quarter.matrix() @ (11, -4, 7, 1) == pytest.approx([10, -3, 9, 1])
    assert (quarter.angle_degrees, quarter.shift_mm) == pytest.approx((90, 2))


def test_inverse_and_composition_agree_with_matrices():
    other = Rigid((-20.0, 5.0, 60.0), (0.0, 8.0, -3.0), (1.0, 2.0, 3.0))
    assert MOTION.inverse().matrix() == pytest.approx(np.linalg.inv(MOTION.matrix()))
    assert (MOTION @ other).matrix() == pytest.approx(MOTION.matrix() @ other.matrix())
    assert (MOTION @ other).centre_mm == other.centre_mm
    assert MOTION.about((0, 0, 0)).matrix() == pytest.approx(MOTION.matrix())
    assert (MOTION @ IDENTITY).matrix() == pytest.approx(MOTION.matrix())


def test_vectors_and_json_give_the_same_transform_back():
    assert Rigid.from_vector(MOTION.vector(), CENTRE) == MOTION
    assert Rigid.from_json(json.loads(json.dumps(MOTION.as_json()))) == MOTION
    assert Rigid.from_matrix(MOTION.matrix(), CENTRE).vector() == pytest.approx(MOTION.vector())


@pytest.mark.parametrize(
    "change", [{"rotation_degrees": [1, 2]}, {"translation_mm": [0, 0, float("nan")]}, {"scale": [1, 1, 1]}]
)
def test_a_damaged_record_is_refused(change):
    with pytest.raises(UserError, match="rigid transform"):
        Rigid.from_json(MOTION.as_json() | change)


def test_a_matrix_that_mirrors_or_scales_is_refused():
    for diagonal in ((-1.0, 1, 1, 1), (1.1, 1, 1, 1)):
        with pytest.raises(ValueError, match="rotation"):
            Rigid.from_matrix(np.diag(diagonal))


@cache
def blobs(seed: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return centres (mm), widths (mm) and weights of the structures inside a synthetic head."""
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-40, 40, (150, 3))
    return centres, generator.uniform(3, 6, 150), generator.uniform(-0.5, 0.7, 150)


def head_at(points: NDArray, seed: int, contrast: float = 1.0) -> NDArray:
    """Return the intensity of a synthetic head at points in its own coordinates, shape (..., 3), in mm.

    It is given by formulas, so that a scan in any orientation is computed without interpolation.
    """
    radius = np.linalg.norm(points / (48, 54, 45), axis=-1)
    outline = 1 / (1 + np.exp((radius - 1) * 25))
    inside = np.ones(points.shape[:-1])
    for centre, width, weight in zip(*blobs(seed), strict=True):
        inside += contrast * weight * np.exp(-np.sum((points - centre) ** 2, axis=-1) / (2 * width**2))
    return outline * np.maximum(inside, 0.1)


def scan(
    affine: NDArray, shape: tuple[int, ...], motion: Rigid = IDENTITY, seed: int = 0, contrast: float = 1.0
) -> Image:
    """Return a noisy scan whose world point y shows the point motion(y) of the head, averaged over the slice."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axis = int(np.argmax(spacing))
    parts = np.linspace(-1 / 3, 1 / 3, 3)
    data = np.zeros(shape)
    for part in parts:
        index = np.moveaxis(np.indices(shape), 0, -1).astype(float)
        index[..., axis] += part
        data += head_at(motion.apply(index @ affine[:3, :3].T + affine[:3, 3]), seed, contrast) / len(parts)
    noise = 0.02 * np.random.default_rng(int(spacing @ (1, 2, 3))).standard_normal((2, *shape))
    return Image(data=np.hypot(data + noise[0], noise[1]).astype(np.float32) * 700, affine=affine)


def grid(spacing: tuple[float, float, float], turn: Rigid = IDENTITY) -> tuple[NDArray, tuple[int, ...]]:
    """Return the affine and shape of a scan that covers the head, with axes that are turned against the world's."""
    shape = tuple(round(SIZE / length) for length in spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
    return turn.matrix() @ affine, shape


AXIAL, CORONAL = grid((2, 2, 4)), grid((2, 4, 2))
OBLIQUE = grid((1.8, 5, 2.2), Rigid((12, -8, 25)))


@cache
def axial() -> Image:
    return scan(*AXIAL)


def assert_close(found: Rigid, expected: Rigid, degrees: float = 0.15, mm: float = 0.15) -> None:
    error = (expected.inverse() @ found).about((0, 0, 0))
    assert error.angle_degrees < degrees
    assert error.shift_mm < mm


@pytest.mark.parametrize("second", [CORONAL, OBLIQUE], ids=["coronal", "oblique"])
def test_a_known_motion_is_found(second):
    motion = Rigid((3, -2, 4), (2, -3, 1.5))
    found = register(axial(), scan(*second, motion=motion))
    assert_close(found.transform, motion.inverse())
    assert found.likeness.detail > 0.9


def test_the_direction_by_a_landmark():
    """The head moved 6 mm to the right in the second scan, so a point of the first is found 6 mm to the right of it."""
    moved = Rigid(translation_mm=(-6, 0, 0))
    found = register(axial(), scan(*CORONAL, moved))
    assert found.transform.apply((10, 20, 30)) == pytest.approx((16, 20, 30), abs=0.2)


def test_large_motion_gain_and_offset():
    motion = Rigid((10, 8, -9), (8, -10, 7))
    other = scan(*CORONAL, motion)
    found = register(axial(), replace(other, data=other.data * 0.013 + 40))
    assert_close(found.transform, motion.inverse(), 0.2, 0.2)


def test_the_same_scans_give_the_same_transform():
    pair = axial(), scan(*CORONAL, Rigid((2, 1, 0), (1, 1, 1)))
    assert register(*pair) == register(*pair)


def test_a_start_is_continued():
    """Scans whose headers are 80 mm apart are registered from a transform that is known to a few millimetres."""
    affine = CORONAL[0].copy()
    affine[1, 3] += 80
    other = scan(affine, CORONAL[1], Rigid(translation_mm=(0, -80, 0)))
    expected = Rigid(translation_mm=(0, 80, 0))
    assert_close(register(axial(), other, Rigid((2, 0, 0), (3, 77, 0))).transform, expected)


def test_another_head_is_refused():
    with pytest.raises(UserError, match="different heads"):
        register(axial(), scan(*CORONAL, seed=1))


def test_another_contrast_of_the_head_is_refused():
    with pytest.raises(UserError, match="one head in different contrasts"):
        register(axial(), scan(*CORONAL, contrast=-0.6))


def test_scans_that_do_not_overlap_are_refused():
    apart = scan(*CORONAL)
    affine = apart.affine.copy()
    affine[2, 3] += 130
    with pytest.raises(UserError, match="0 % of the head lies in both"):
        register(axial(), replace(apart, affine=affine))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "pixel"}, "voxel size or the orientation is unknown"),
        ({"header": FileHeader(orientation=None)}, "voxel size or the orientation is unknown"),
        ({"data": np.ones((60, 60, 3), np.float32)}, "120 x 120 x 12 mm is too thin"),
    ],
)
def test_scans_without_a_position_and_thin_ones_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        register(axial(), replace(axial(), **change))


def real(name: str) -> Image:
    path = HEADS / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: real heads are no part of the project")
    stored = nib.as_closest_canonical(nib.load(path))
    return Image(data=np.asarray(stored.dataobj, dtype=np.float32), affine=stored.affine)


def thick(head: Image, axis: int) -> Image:
    """Return slices of 4 mm along an axis, with a Gaussian profile of that width."""
    change = np.eye(4)
    change[axis, axis], change[axis, 3] = 4, 1.5
    blurred = ndimage.gaussian_filter1d(head.data, 4 / 2.3548, axis=axis)
    centres = np.indices([size // 4 if number == axis else size for number, size in enumerate(head.data.shape)], float)
    centres[axis] = centres[axis] * 4 + 1.5
    return Image(data=ndimage.map_coordinates(blurred, centres, order=1), affine=head.affine @ change)


def test_real_heads_are_told_apart():
    """Two scans of one person match, and two persons do not."""
    first, again, other = (real(f"heads-oasis/{number}_SS.nii.gz") for number in (1004, 1024, 1000))
    assert register(thick(first, 2), thick(again, 1)).likeness.detail > 0.85
    with pytest.raises(UserError, match="do not match"):
        register(thick(first, 2), thick(other, 1))
