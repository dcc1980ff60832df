"""Training pairs out of a volume of thick slices alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.config.sections import Degrade
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.grid import cuts
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.self_supervised import GAP, ROLES, self_supervised_pairs
from tests.helpers import described, synthetic_head

THICK = {"direction": "through_plane", "factor": 4, "noise": "none"}


def thick(axis: int = 2, shape: tuple[int, int, int] = (40, 44, 64), **changes) -> LowResolutionImage:
    """Return a head with thick slices across an axis."""
    order = [0, 1]
    order.insert(axis, 2)
    data = np.transpose(synthetic_head(shape) / np.float32(1000), order)
    facts = {
        "id": "head",
        "subject": "sub-1",
        "split": "test",
        "slice_axis": axis,
        "slices": [0, shape[2]],
        "foreground_slices": list(range(8, 56)),
    }
    image = described(Image(data, np.eye(4), masks={"foreground": data > 0.1}), **facts)
    settings = Degrade.model_validate({**THICK, **changes})
    return degrade(image, forward_model(image, settings, 7))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_reference_of_a_pair_is_the_low_resolution_volume_and_nothing_else(axis):
    lr = thick(axis)
    pairs = self_supervised_pairs(lr)
    assert tuple(pairs) == ROLES
    reference, _ = pairs["train-columns"]
    start, stop = reference.block.slices or (0, 0)
    assert np.array_equal(reference.data, np.take(lr.data, range(start, stop), axis))
    rows, columns = (other for other in range(3) if other != axis)
    turned, _ = pairs["train-rows"]
    assert np.array_equal(turned.data, np.swapaxes(reference.data, rows, columns))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_degraded_along_columns_as_the_scan_across_slices(axis):
    lr = thick(axis)
    columns = [other for other in range(3) if other != axis][1]
    for reference, low in self_supervised_pairs(lr).values():
        model = low.forward_model
        assert model.factors == tuple(4 if other == columns else 1 for other in range(3))
        assert low.data.shape[columns] == -(-reference.data.shape[columns] // 4)
        assert [cut.normal for cut in cuts(model.factors, reference.slice_axis)] == [axis]
        assert np.array_equal(low.data, model.simulate(reference.data))
        # The same step that made the slices thick, now along the columns.
        across = lr.forward_model
        size = reference.data.shape[columns]
        assert model.operators == across.operators
        matrix = model.terms[0][columns]
        assert matrix is not None
        assert matrix.shape == (-(-size // 4), -(-size // 4) * 4)


def test_a_blur_across_slices_becomes_one_along_columns():
    operators = [{"name": "slice_profile", "thickness_mm": 4.0}, {"name": "decimation"}]
    settings = Degrade.model_validate_json(json.dumps({**THICK, "operators": operators}))
    lr = thick(operators=settings.operators)
    reference, low = self_supervised_pairs(lr)["train-columns"]
    model = low.forward_model
    step = np.zeros(reference.data.shape, dtype=np.float32)
    step[:, reference.data.shape[1] // 2 :] = 1
    profile = model.coarsen(step)[0, :, 0]
    assert np.count_nonzero((profile > 0.02) & (profile < 0.98)) >= 1
    assert np.allclose(model.coarsen(np.ones_like(step)), 1, atol=1e-6)


def test_validation_slices_are_separate_from_training_slices():
    lr = thick()
    pairs = self_supervised_pairs(lr)
    training, validation = pairs["train-columns"][0].block.slices, pairs["val"][0].block.slices
    assert training and validation
    assert training[1] + GAP == validation[0]
    assert [pairs[role][0].identity.split for role in ROLES] == ["train", "train", "val"]
    assert all(pair[0].identity.subject == "sub-1" for pair in pairs.values())


def test_thin_or_too_few_slices_are_rejected():
    with pytest.raises(UserError, match=r"'head': its slices are no thicker"):
        self_supervised_pairs(thick(direction="in_plane"))
    with pytest.raises(UserError, match=r"'head': \d slices with foreground are too few"):
        self_supervised_pairs(thick(shape=(40, 44, 20)))
    few = self_supervised_pairs(thick(shape=(40, 44, 24)))
    assert [few[role][0].data.shape[2] for role in ROLES] == [3, 3, 2], "of six slices, one is left out between"
