"""Networks on images that were degraded otherwise than their training data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline import plugins
from pipeline.config.mismatch import degradations, without_noise_map
from pipeline.config.recipe import Recipe
from pipeline.config.sections import Degrade
from pipeline.fidelity.mismatch import BEST_BASELINE, measure
from pipeline.image.image import Image
from pipeline.models.generator import Generator, Shape
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.excerpts import excerpt
from pipeline.reporting.mismatch_matrix import draw
from pipeline.tables.mismatch import MISMATCH
from pipeline.training.dial import METRICS
from tests.helpers import described, synthetic_head

pytestmark = pytest.mark.usefixtures("one_thread")
USUAL = Degrade(factor=2)


class Repeating(Generator):
    """Repeats voxels: the baseline `nearest`."""

    def __init__(self, factor: int, offset: float) -> None:
        torch.nn.Module.__init__(self)
        self.offset = torch.nn.Parameter(torch.tensor(offset))
        self.shape = Shape(factor=factor)

    def forward(self, image, sigma=None, slices=None):
        return torch.nn.functional.interpolate(image, scale_factor=self.shape.factor) + self.offset


def head() -> Image:
    data = synthetic_head((40, 44, 12)) / np.float32(1000)
    facts = {"id": "head", "subject": "a", "split": "test", "slice_axis": 2, "foreground_slices": list(range(2, 10))}
    return described(Image(data, np.eye(4), masks={"foreground": data > 0.1}), **facts)


def test_six_degradations_share_factor_and_direction():
    found = degradations({}, USUAL)
    assert list(found) == ["kspace", "kspace-noise", "bicubic", "bicubic-noise", "gaussian", "gaussian-noise"]
    assert {one.factor for one in found.values()} == {2}
    assert [one.noise for one in found.values()] == ["none", "rician"] * 3
    # They do differ: no two give the same image.
    image = head()
    measured = [degrade(image, forward_model(image, one, 1)).data for one in found.values()]
    differences = [np.abs(one - other).max() for i, one in enumerate(measured) for other in measured[:i]]
    assert min(differences) > 0.01


def test_degradations_of_the_configuration_take_their_place():
    own = {"mine": Degrade(factor=3)}
    assert degradations(own, USUAL) == own


def test_a_network_of_the_matrix_knows_one_noise_level():
    recipe = without_noise_map(Recipe(steps=7))
    assert (recipe.noise_sigma_range, recipe.noise_map, recipe.steps) == (None, False, 7)


def test_every_network_is_measured_on_every_degradation_against_the_best_baseline():
    image, found = head(), {name: one for name, one in degradations({}, USUAL).items() if "noise" not in name}
    tests = {name: [excerpt(image, degrade(image, forward_model(image, one, 1)), 3)] for name, one in found.items()}
    networks = {name: Repeating(2, offset).eval() for name, offset in zip(found, (0.0, 0.1, 0.2), strict=True)}
    table = measure(networks, tests)
    assert tuple(table.columns) == MISMATCH.columns
    assert len(table) == 4 * 3 * 2
    chosen: Any = table[table["metric"] == "psnr"]
    psnr = {(row.trained_on, row.tested_on): row.value for row in chosen.itertuples()}
    one = tests["bicubic"][0]
    nearest = plugins.load("pipeline.baselines", "nearest").upsample(one.lr, one.model, {})
    assert psnr["kspace", "bicubic"] == pytest.approx(one.mean_over_slices(nearest, METRICS)["psnr"], abs=1e-4)
    assert psnr["kspace", "bicubic"] > psnr["bicubic", "bicubic"] > psnr["gaussian", "bicubic"]
    assert psnr[BEST_BASELINE, "bicubic"] > psnr["kspace", "bicubic"]
    figure = draw(table)
    texts = [text.get_text() for text in figure.axes[0].texts]
    expected = psnr["kspace", "kspace"] - psnr[BEST_BASELINE, "kspace"]
    assert len(texts) == 9
    assert texts[0] == f"{expected:+.2f}"
