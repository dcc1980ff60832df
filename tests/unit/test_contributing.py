"""The worked example of CONTRIBUTING.md works."""

from __future__ import annotations

import re

import numpy as np
import pytest
from torch import tensor
from torchmetrics.functional import mean_absolute_error

from pipeline.metrics import psnr
from tests.helpers import CHECKOUT


@pytest.fixture
def example() -> dict:
    found = re.search(r"```python\n(.*?)```", (CHECKOUT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert found
    names: dict = {}
    exec(compile(found.group(1), "CONTRIBUTING.md", "exec"), names)
    return names


def test_the_example_offers_what_a_metric_must(example):
    assert {name for name in vars(psnr) if name.isupper()} <= set(example)


def test_the_example_agrees_with_torchmetrics(example):
    generator = np.random.default_rng(0)
    reference, estimate = generator.random((2, 30, 40))
    everywhere = np.ones(reference.shape, dtype=bool)
    expected = float(mean_absolute_error(tensor(estimate), tensor(reference)))
    assert example["per_slice"](reference, estimate, everywhere, 2.0) == pytest.approx(expected / 2)
    assert example["per_slice"](reference, reference, everywhere, 1.0) == example["PERFECT"]
