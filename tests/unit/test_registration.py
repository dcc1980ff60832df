"""Rigid transforms, and the registration of scans of one head."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.image.rigid import IDENTITY, Rigid

CENTRE = (10.0, -4.0, 7.0)
MOTION = Rigid((3.0, -4.0, 2.0), (1.5, -2.0, 3.0), CENTRE)


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
