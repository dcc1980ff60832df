"""Test detection rates: coverage of the intervals, and paired differences between methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.statistics.detection import place_weights, rate_table, resampled_sums, with_intervals

SAMPLES = 400


def volume(hits: dict[str, np.ndarray], name: str = "v", subject: str = "s", split: str = "test") -> Any:
    """Return the tables of a volume: hits by method of shape (slices, positions), for one condition."""
    places, counts = [], []
    for method, found in hits.items():
        common = {"volume": name, "subject": subject, "split": split, "method": method, "kind": "lesion"}
        common |= {"size_voxels": 2.0, "contrast": 0.2}
        slices, columns = np.indices(found.shape).reshape(2, -1)
        number = slices * found.shape[1] + columns
        places.append(pd.DataFrame({"draw": 0, "slice": slices, "place": number, "detected": found.ravel(), **common}))
        counts.append({**common, "inserted": found.size, "detected": found.sum(), "false_alarms": found.size // 20})
    return pd.DataFrame(counts), pd.concat(places).assign(false_alarm=0)


def everything(table: pd.DataFrame) -> Any:
    """Return the rows over all conditions, by method."""
    return table[table["kind"].isna()].set_index("method")


def test_resamples_have_constant_number_of_positions():
    slices = np.repeat([4, 7, 9], 5)
    weights = place_weights(slices, 3000, np.random.default_rng(0))
    by_slice = weights.reshape(3000, 3, 5).sum(axis=2)
    assert np.all(weights.sum(axis=1) == 15)
    assert np.all(by_slice % 5 == 0)
    assert weights.mean(axis=0) == pytest.approx(np.ones(15), abs=0.1)
    # The number of draws of a slice is multinomial with variance 3 * (1/3) * (2/3), each with five positions.
    assert by_slice.var(axis=0) == pytest.approx(25 * 2 / 3 * np.ones(3), rel=0.1)


@pytest.mark.parametrize("likeness", [0.0, 0.1])
def test_intervals_cover_true_rate_for_correlated_positions(likeness):
    generator = np.random.default_rng(5)
    rate, covered, trials = 0.45, 0, 150
    for trial in range(trials):
        shares = np.full(6, rate)
        if likeness:  # the intraclass correlation of a beta-binomial distribution
            total = 1 / likeness - 1
            shares = generator.beta(rate * total, (1 - rate) * total, 6)
        hits = (generator.random((6, 24)) < shares[:, None]).astype(int)
        counts, places = volume({"m": hits}, f"v{trial}")
        row = with_intervals(counts, places, SAMPLES, 0.95, 1).iloc[0]
        assert row["rate"] == pytest.approx(hits.mean())
        covered += row["ci_low"] <= rate <= row["ci_high"]
    assert covered / trials >= 0.9


def test_differences_between_methods_are_paired():
    generator = np.random.default_rng(1)
    hits = (generator.random((6, 20)) < 0.5).astype(int)
    fewer = hits.copy()
    fewer[:, :2] = 0
    table = everything(rate_table([volume({"ours": fewer, "same": fewer, "more": hits})], "ours", SAMPLES, 0.95, 3))
    assert table.loc["same", ["diff", "diff_ci_low", "diff_ci_high"]].tolist() == [0, 0, 0]
    more = table.loc["more"]
    assert more["diff"] == pytest.approx(fewer.mean() - hits.mean())
    assert more["diff_ci_low"] < more["diff"] < more["diff_ci_high"] <= 0
    assert more["diff_ci_high"] - more["diff_ci_low"] < (more["ci_high"] - more["ci_low"]) / 2
    assert np.isnan(table.loc["ours", "diff"])
    assert more["false_alarm_rate"] == pytest.approx(6 / 120)


def test_false_alarms_are_subtracted_from_net_rate():
    hits = (np.random.default_rng(1).random((6, 20)) < 0.5).astype(int)
    quiet, loud = volume({"quiet": hits}), volume({"loud": hits})
    counts, places = (pd.concat(parts) for parts in zip(quiet, loud, strict=True))
    alarms = np.zeros(hits.shape, dtype=int)
    alarms[:, :4] = 1
    of_loud = counts["method"] == "loud"
    counts.loc[of_loud, "false_alarms"], counts.loc[~of_loud, "false_alarms"] = alarms.sum(), 0
    places.loc[places["method"] == "loud", "false_alarm"] = alarms.ravel()
    row = everything(rate_table([(counts, places)], "quiet", SAMPLES, 0.95, 3)).loc["loud"]
    assert (row["diff"], row["net_diff"]) == (0, pytest.approx(4 / 20))
    assert row["net_diff_ci_low"] < 4 / 20 < row["net_diff_ci_high"]


def test_bootstrap_draws_subjects():
    heads = [volume({"m": np.full((4, 6), value)}, f"v{value}", f"s{value}") for value in (0, 1)]
    row = everything(rate_table(heads, "m", SAMPLES, 0.95, 3)).loc["m"]
    assert (row["subjects"], row["rate"], row["ci_low"], row["ci_high"]) == (2, 0.5, 0, 1)
    blocks = [(counts.assign(subject="s"), places.assign(subject="s")) for counts, places in heads]
    row = everything(rate_table(blocks, "m", SAMPLES, 0.95, 3)).loc["m"]
    assert (row["subjects"], row["rate"], row["ci_low"], row["ci_high"]) == (1, 0.5, 0.5, 0.5)


def test_resampling_depends_on_volume_but_not_on_method():
    hits = (np.random.default_rng(1).random((6, 20)) < 0.5).astype(int)
    one, other = (resampled_sums(volume({name: hits})[1], SAMPLES, 3) for name in ("a", "b"))
    assert np.array_equal(one["a", "lesion", 2.0, 0.2], other["b", "lesion", 2.0, 0.2])
    renamed = resampled_sums(volume({"a": hits}, "w")[1], SAMPLES, 3)
    assert not np.array_equal(one["a", "lesion", 2.0, 0.2], renamed["a", "lesion", 2.0, 0.2])


def test_rate_table_is_empty_without_structures():
    counts, places = volume({"m": np.zeros((2, 2), dtype=int)})
    table = rate_table([(counts.iloc[:0], places.iloc[:0])], "m", SAMPLES, 0.95, 3)
    assert table.empty and "diff_ci_low" in table
    assert {"rate", "ci_low", "ci_high"} <= set(with_intervals(counts.iloc[:0], places.iloc[:0], SAMPLES, 0.95, 3))
