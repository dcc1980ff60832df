"""Test the detail ledger against closed forms and a voxel-by-voxel account."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import plugins
from pipeline.metrics.evaluation.detail_ledger import DetailShares, detail_map, detail_shares


@pytest.fixture
def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reference, restored and low-resolution images."""
    generator = np.random.default_rng(4)
    reference, restored, measured = generator.random((3, 12, 15)).astype(np.float32)
    return reference, restored, measured


def by_hand(reference: np.ndarray, restored: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Count for every voxel how far the result lies along the way from the LR image to the reference."""
    account = dict.fromkeys(DetailShares._fields, 0.0)
    for end, reached, start in zip(reference.ravel(), restored.ravel(), measured.ravel(), strict=True):
        direction = 1.0 if end >= start else -1.0
        way, gone = direction * (float(end) - start), direction * (float(reached) - start)
        account["right"] += min(max(gone, 0), way)
        account["missing"] += way - min(max(gone, 0), way)
        account["invented"] += max(gone - way, 0) + max(-gone, 0)
    total = sum(account.values())
    return {name: amount / total for name, amount in account.items()}


def test_shares_match_voxel_by_voxel_account(pictures):
    reference, restored, measured = pictures
    found = detail_shares(reference, restored, measured, np.ones(reference.shape, dtype=bool))
    expected = by_hand(*pictures)
    assert found._asdict() == pytest.approx(expected, rel=1e-5)
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize("part", [-2.0, -0.5, 0.0, 0.3, 1.0, 1.5, 4.0])
def test_shares_of_partial_detail_match_closed_form(pictures, part):
    reference, _, measured = (np.asarray(one, dtype=np.float64) for one in pictures)
    found = detail_shares(
        reference, measured + part * (reference - measured), measured, np.ones(reference.shape, dtype=bool)
    )
    total = max(part, 1, 1 - part)
    expected = (np.clip(part, 0, 1), 1 - np.clip(part, 0, 1), max(part - 1, 0) + max(-part, 0))
    assert tuple(found) == pytest.approx([amount / total for amount in expected], abs=1e-6)


def test_detail_map_balances_at_every_voxel(pictures):
    reference, restored, measured = pictures
    found = detail_map(reference, restored, measured)
    assert (found.shape, found.dtype) == ((*reference.shape, 3), np.float32)
    assert found.min() >= 0
    np.testing.assert_allclose(found[..., 0] + found[..., 1], np.abs(reference - measured), atol=1e-6)
    np.testing.assert_allclose(found[..., 0] + found[..., 2], np.abs(restored - measured), atol=1e-6)


def test_invented_lesion_is_located_in_detail_map(pictures):
    reference, _, measured = pictures
    cheat = reference.copy()
    cheat[3:6, 4:8] += np.sign(reference - measured)[3:6, 4:8] * 0.5
    found = detail_map(reference, cheat, measured)
    invented = np.zeros(reference.shape)
    invented[3:6, 4:8] = 0.5
    np.testing.assert_allclose(found[..., 2], invented, atol=1e-6)
    assert found[..., 1].max() == 0


def test_ledger_detects_detail_in_null_space_of_operator(pictures):
    """Stripes at the Nyquist frequency, which the operator removes, pass the gate but not the ledger."""
    reference, _, measured = pictures
    stripes = 0.2 * np.cos(np.pi * np.arange(reference.shape[1]))[None]
    everywhere = np.ones(reference.shape, dtype=bool)
    assert detail_shares(reference, reference + stripes, measured, everywhere).invented > 0.1
    assert detail_shares(reference, reference, measured, everywhere) == (1.0, 0.0, 0.0)


def test_shares_depend_on_region_but_not_on_units(pictures):
    reference, restored, measured = pictures
    mask = np.zeros(reference.shape, dtype=bool)
    mask[2:7, 3:9] = True
    inside = detail_shares(reference[2:7, 3:9], restored[2:7, 3:9], measured[2:7, 3:9], np.ones((5, 6), dtype=bool))
    assert detail_shares(reference, restored, measured, mask) == pytest.approx(inside)
    thousand = [1000 * one + 7 for one in pictures]
    assert detail_shares(thousand[0], thousand[1], thousand[2], mask) == pytest.approx(inside, rel=1e-3)
    assert detail_shares(reference, reference, reference, mask) == (1.0, 0.0, 0.0)


def test_detail_metrics_equal_shares(pictures):
    reference, restored, measured = pictures
    mask = np.ones(reference.shape, dtype=bool)
    modules = [plugins.load("pipeline.metrics", f"detail_{name}") for name in DetailShares._fields]
    found = [
        module.per_slice(reference=reference, estimate=restored, mask=mask, data_range=1.0, lr=measured)
        for module in modules
    ]
    assert found == pytest.approx(list(detail_shares(reference, restored, measured, mask)))
    assert all(module.NEEDS_LR for module in modules)
