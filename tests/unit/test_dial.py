"""The fidelity dial: weights between two networks, and the rule by which a setting is chosen."""

from __future__ import annotations

from dataclasses import astuple
from typing import cast

import pytest
import torch

from pipeline.config.recipe import Dial
from pipeline.tables.dial import DialSetting
from pipeline.training.dial import apply_rule, evaluate_settings, interpolate_weights
from pipeline.training.perceptual import PerceptualDistance
from tests.small_training import small_excerpt, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("architecture", ["rrdbnet", "srresnet"])
def test_interpolated_weights_range_from_one_network_to_the_other(architecture):
    start, end = (tiny_generator(seed, architecture=architecture) for seed in (1, 2))
    states = {alpha: interpolate_weights(start, end, alpha).state_dict() for alpha in (0.0, 0.5, 1.0)}
    for name, first in start.state_dict().items():
        last = end.state_dict()[name]
        assert torch.equal(states[0.0][name], first), name
        assert torch.equal(states[1.0][name], last), name
        assert torch.allclose(states[0.5][name].float(), (first + last) / 2), name


def test_interpolation_does_not_change_the_networks():
    start, end = tiny_generator(1), tiny_generator(2)
    mixed = interpolate_weights(start, end, 0.0)
    with torch.no_grad():
        next(mixed.parameters()).add_(1)
    assert torch.equal(next(start.parameters()), next(tiny_generator(1).parameters()))
    assert not mixed.training


class MeanDistance:
    """Replacement for a perceptual distance: the mean absolute difference."""

    def distance(self, estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        assert 0 <= float(estimate.min()) <= float(estimate.max()) <= 1
        return (estimate - reference).abs().mean()


STAND_IN = cast(PerceptualDistance, MeanDistance())


def test_every_setting_is_evaluated():
    rows = evaluate_settings(tiny_generator(1), tiny_generator(2), [small_excerpt()], Dial(steps=4), STAND_IN)
    assert [row.alpha for row in rows] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert rows[0].allowed
    assert sum(row.chosen for row in rows) == 1
    # The noise level is a property of the data: about sigma, a little less in dark background, the same for all
    # settings.
    assert {row.noise_level for row in rows} == {rows[0].noise_level}
    assert rows[0].noise_level == pytest.approx(0.02, rel=0.3)
    # One end measured alone gives the row of that end.
    (alone, _) = evaluate_settings(tiny_generator(2), tiny_generator(3), [small_excerpt()], Dial(steps=1), STAND_IN)
    assert astuple(alone)[1:6] == pytest.approx(astuple(rows[4])[1:6])


def chosen_by_rule(dial: Dial, **columns: list[float]) -> list[DialSetting]:
    """Apply the rule to given metrics."""
    count = dial.steps + 1
    table = {"psnr": [30.0] * count, "lr_residual": [0.02] * count, "noise_level": [0.02] * count, **columns}
    settings = [
        DialSetting(
            alpha=index / dial.steps,
            ssim=0.9,
            **{name: values[index] for name, values in table.items()},
            allowed=False,
            chosen=False,
        )
        for index in range(count)
    ]
    return apply_rule(settings, dial)


def chosen(rows: list[DialSetting]) -> float:
    (row,) = [row for row in rows if row.chosen]
    return row.alpha


def test_the_lowest_perceptual_distance_is_chosen():
    rows = chosen_by_rule(Dial(steps=4), perceptual=[5.0, 4.0, 2.0, 3.0, 4.0])
    assert all(row.allowed for row in rows)
    assert chosen(rows) == 0.5


def test_settings_that_lose_too_much_psnr_are_not_allowed():
    dial = Dial(steps=4, max_loss_db=0.1)
    psnr = [30.0, 29.95, 29.89, 30.2, 20.0]
    rows = chosen_by_rule(dial, perceptual=[5.0, 4.0, 1.0, 3.0, 0.5], psnr=psnr)
    assert [row.allowed for row in rows] == [True, True, False, True, False]
    assert chosen(rows) == 0.75


@pytest.mark.parametrize(
    ("first_residual", "allowed"),
    [
        (0.01, [True, True, False]),  # below the noise: 1.1 times the noise may remain, 0.022
        (0.03, [True, True, True]),  # the start itself is further off: 1.1 times its own residual, 0.033
    ],
)
def test_settings_that_disagree_with_the_measurement_are_not_allowed(first_residual, allowed):
    dial = Dial(steps=2, max_residual=1.1)
    residual = [first_residual, 0.0219, 0.0329]
    rows = chosen_by_rule(dial, perceptual=[5.0, 4.0, 1.0], lr_residual=residual)
    assert [row.allowed for row in rows] == allowed
    assert chosen(rows) == (1.0 if all(allowed) else 0.5)


def test_the_initial_network_is_chosen_if_all_others_are_worse():
    rows = chosen_by_rule(Dial(steps=2), perceptual=[5.0, 1.0, 1.0], psnr=[30.0, 20.0, 10.0])
    assert chosen(rows) == 0.0
