"""Test the bootstrap against a library and exact formulas, and the summary against manual calculations."""

import io
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import CircularBlockBootstrap
from scipy.stats import ks_2samp, wilcoxon
from statsmodels.stats.multitest import multipletests

from pipeline.config.sections import Evaluate
from pipeline.errors import UserError
from pipeline.statistics.bootstrap import circular_block_means, percentile_interval, resampled_means
from pipeline.statistics.comparisons import compare_all, holm, rank_biserial
from pipeline.statistics.conclusion import against_all, findings, scope
from pipeline.statistics.measurements import read_parts, slices_of, volume_table
from pipeline.statistics.summary import choose_baselines, estimate, signed_rank_p, summarise
from pipeline.steps.__main__ import main as run
from pipeline.tables.comparisons import COMPARISONS
from pipeline.tables.slices import SLICES, WHOLE_VOLUME
from pipeline.tables.summary import SUMMARY

SETTINGS = Evaluate(metrics=("psnr",), regions=("foreground",), bootstrap_samples=4000, bootstrap_block_slices=4)


def autoregressive(size, generator, memory=0.8):
    """Autoregressive series of mean 0."""
    values = [generator.standard_normal() / math.sqrt(1 - memory**2)]
    for _ in range(size - 1):
        values.append(memory * values[-1] + generator.standard_normal())
    return np.array(values)


def rows(volume, subject, split, method, values, *, metric="psnr"):
    return [
        (volume, subject, split, method, "foreground", metric, index, float(value))
        for index, value in enumerate(values)
    ]


def table(*parts):
    return pd.DataFrame([row for part in parts for row in part], columns=pd.Index(SLICES.columns))


def row_of(summary, split, method):
    found = summary[(summary["split"] == split) & (summary["method"] == method)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(("size", "block"), [(100, 8), (96, 8), (60, 1), (37, 5)])
def test_block_means_have_distribution_of_library(size, block):
    values = autoregressive(size, np.random.default_rng(0))
    ours = circular_block_means(values, block, 8000, np.random.default_rng(1))
    library = CircularBlockBootstrap(block, values, seed=2).apply(np.mean, 8000)[:, 0]
    comparison: Any = ks_2samp(ours, library)
    assert comparison.pvalue > 0.01
    assert ours.std() == pytest.approx(library.std(), rel=0.04)


@pytest.mark.parametrize(("size", "block"), [(12, 4), (13, 4), (13, 1)])
def test_block_means_have_exact_moments(size, block):
    values = np.random.default_rng(3).random(size)

    def sums(length):
        return np.array([sum(values[(start + step) % size] for step in range(length)) for start in range(size)])

    whole, rest = divmod(size, block)
    variance = (whole * sums(block).var() + sums(rest).var()) / size**2
    means = circular_block_means(values, block, 200_000, np.random.default_rng(4))
    assert means.mean() == pytest.approx(values.mean(), abs=5 * math.sqrt(variance / 200_000))
    assert means.var() == pytest.approx(variance, rel=0.02)


def test_block_as_long_as_series_has_finite_interval():
    values = np.random.default_rng(5).random(8)
    assert circular_block_means(values, 8, 500, np.random.default_rng(6)).std() > 0.01


def test_coverage_for_correlated_slices_requires_blocks():
    covered = {1: 0, 12: 0}
    for trial in range(200):
        values = autoregressive(150, np.random.default_rng(trial))
        for block in covered:
            means = circular_block_means(values, block, 400, np.random.default_rng(trial))
            low, high = percentile_interval(means, 0.95)
            covered[block] += low <= 0 <= high
    assert covered[12] >= 0.82 * 200
    assert covered[1] <= 0.65 * 200


def test_subjects_are_resampled():
    """With constant slices, the result is the ordinary bootstrap of the subject means."""
    levels = np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    series = {f"v{index}": np.full(20, level) for index, level in enumerate(levels)}
    subjects = {volume: f"s{volume}" for volume in series}
    means = resampled_means(series, subjects, 4, 50_000, 0)
    assert means.mean() == pytest.approx(levels.mean(), abs=0.03)
    assert means.std() == pytest.approx(levels.std() / math.sqrt(5), rel=0.02)


def test_volumes_of_subject_are_drawn_together():
    series = {name: np.full(6, value) for name, value in {"a1": 0.0, "a2": 0.0, "b": 3.0}.items()}
    means = resampled_means(series, {"a1": "a", "a2": "a", "b": "b"}, 2, 4000, 0)
    assert {round(float(mean), 9) for mean in means} == {0.0, 1.0, 3.0}


def test_subject_drawn_twice_has_independent_slices():
    """For n subjects with equal means, the variance is (variance of subjects + variance of slices) / n."""
    generator = np.random.default_rng(7)
    series = {f"v{index}": generator.standard_normal(10) for index in range(4)}
    means = resampled_means(series, {volume: volume for volume in series}, 1, 50_000, 0)
    levels = np.array([values.mean() for values in series.values()])
    within = np.mean([values.var() / 10 for values in series.values()])
    assert means.var() == pytest.approx((levels.var() + within) / 4, rel=0.03)


def test_resampling_depends_on_seed_but_not_on_order_of_volumes():
    series = {name: np.random.default_rng(index).random(9) for index, name in enumerate("abc")}
    subjects = {name: name for name in series}
    first = resampled_means(series, subjects, 3, 200, 5)
    turned = {name: series[name] for name in reversed(series)}
    np.testing.assert_array_equal(first, resampled_means(turned, subjects, 3, 200, 5))
    assert not np.array_equal(first, resampled_means(series, subjects, 3, 200, 6))


def test_single_slice_has_no_interval():
    mean, low, high = estimate({"v": np.array([3.0])}, {"v": "s"}, SETTINGS, 0)
    assert mean == 3
    assert math.isnan(low)
    assert math.isnan(high)


def test_signed_rank_test_needs_six_subjects():
    differences = {f"v{index}": np.array([index + 1.0, index + 2.0]) for index in range(6)}
    alone = {volume: volume for volume in differences}
    # all six agree: 2 of the 2^6 sign patterns are as extreme
    assert signed_rank_p(differences, alone) == pytest.approx(2 / 64)
    five = {**alone, "v5": "v4"}
    assert math.isnan(signed_rank_p(differences, five))


HAND: Any = table(
    rows("val1", "A", "val", "bicubic", [30, 32]),
    rows("val1", "A", "val", "zerofill", [29, 31]),
    rows("val1", "A", "val", "rrdb_l1", [33, 35]),
    rows("t1", "B", "test", "bicubic", [20, 22]),
    rows("t1", "B", "test", "zerofill", [24, 26]),
    rows("t1", "B", "test", "rrdb_l1", [22.5, 24.5]),
)


def test_summary_matches_manual_calculation():
    summary = summarise(HAND, SETTINGS, 1)
    assert list(summary.columns) == list(SUMMARY.columns)
    assert list(summary["method"]) == ["bicubic", "rrdb_l1", "zerofill"] * 2
    # bicubic is best on validation and remains the baseline although zerofill is better on test
    assert set(summary["baseline"]) == {"bicubic"}
    ours = row_of(summary, "test", "rrdb_l1")
    # a resample of two slices contains one twice (1/4 each) or both (1/2): the 95 % interval is their range
    assert tuple(ours[["n", "mean", "ci_low", "ci_high"]]) == (1, 23.5, 22.5, 24.5)
    # every slice is better by 2.5, so that the paired interval has zero width
    assert tuple(ours[["diff", "diff_ci_low", "diff_ci_high"]]) == (2.5, 2.5, 2.5)
    assert math.isnan(ours["p"])
    assert row_of(summary, "test", "zerofill")["diff"] == 4
    assert row_of(summary, "val", "rrdb_l1")["diff"] == 3
    for split in ("test", "val"):
        assert tuple(row_of(summary, split, "bicubic")[["diff", "diff_ci_low", "diff_ci_high"]]) == (0, 0, 0)


def test_means_over_volumes_ignore_number_of_slices():
    more = rows("t2", "C", "test", "bicubic", [10] * 6) + rows("t2", "C", "test", "zerofill", [10] * 6)
    more += rows("t2", "C", "test", "rrdb_l1", [11.5] * 6)
    ours = row_of(summarise(table(HAND.itertuples(index=False), more), SETTINGS, 1), "test", "rrdb_l1")
    assert ours["n"] == 2
    assert ours["mean"] == pytest.approx((23.5 + 11.5) / 2)
    assert ours["diff"] == pytest.approx((2.5 + 1.5) / 2)
    assert (ours["diff_ci_low"], ours["diff_ci_high"]) == (1.5, 2.5)


def whole(volume, subject, split, method, value, metric="psnr_3d"):
    return [(volume, subject, split, method, "foreground", metric, WHOLE_VOLUME, float(value))]


def test_value_of_whole_volume_takes_precedence_over_slices():
    methods = {"bicubic": (20, 30), "rrdb_l1": (21, 33)}
    parts = [whole("val1", "A", "val", method, values[0]) for method, values in methods.items()]
    parts += [whole("t1", "B", "test", method, values[0]) for method, values in methods.items()]
    parts += [rows("t1", "B", "test", method, [1, 2], metric="psnr_3d") for method in methods]
    one = table(*parts)
    summary = summarise(one, SETTINGS, 1)
    ours = row_of(summary, "test", "rrdb_l1")
    assert tuple(ours[["n", "mean", "diff"]]) == (1, 21, 1)
    assert all(math.isnan(ours[name]) for name in ("ci_low", "ci_high", "diff_ci_low", "diff_ci_high", "p"))
    assert "(one value, hence no interval, 1 volume)" in findings(summary)["test"][0]
    # a second volume of the same subject does not add a subject
    same = table(*parts, *(whole("t2", "B", "test", method, values[1]) for method, values in methods.items()))
    ours = row_of(summarise(same, SETTINGS, 1), "test", "rrdb_l1")
    assert (ours["n"], ours["mean"]) == (2, 27)
    assert math.isnan(ours["ci_low"])
    # another subject does, and each has a single difference
    two = table(*parts, *(whole("t2", "C", "test", method, values[1]) for method, values in methods.items()))
    ours = row_of(summarise(two, SETTINGS, 1), "test", "rrdb_l1")
    assert tuple(ours[["diff", "diff_ci_low", "diff_ci_high"]]) == (2, 1, 3)
    assert set(slices_of(two)["slice"]) == {0, 1}
    assert len(volume_table(two)) == 6


def test_best_baseline_is_chosen_per_metric():
    both = table(
        HAND.itertuples(index=False),
        rows("val1", "A", "val", "bicubic", [0.5, 0.6], metric="ssim"),
        rows("val1", "A", "val", "zerofill", [0.7, 0.8], metric="ssim"),
    )
    expected = {("foreground", "psnr"): "bicubic", ("foreground", "ssim"): "zerofill"}
    assert choose_baselines(volume_table(both)) == expected


def test_baseline_of_region_without_validation_is_chosen_over_foreground():
    structure = [rows("t1", "B", "test", method, [1, 2]) for method in ("bicubic", "zerofill", "rrdb_l1")]
    one = table(*structure).assign(region="label-hippocampus")
    both = pd.concat([HAND, one])
    assert choose_baselines(volume_table(both))["label-hippocampus", "psnr"] == "bicubic"
    found: Any = summarise(both, SETTINGS, 1)
    assert set(found.loc[found["region"] == "label-hippocampus", "split"]) == {"test"}


def test_summary_is_independent_of_row_order(tmp_path):
    for name, part in {"a": HAND, "b": HAND.sample(frac=1, random_state=3)}.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        outputs = [f"--{kind}={tmp_path / f'{name}.{kind}'}" for kind in ("volumes", "slices", "summary")]
        arguments = ["--parts", str(tmp_path / f"{name}.csv"), *outputs, "--seed", "4"]
        assert run(["summarise", *arguments, "--settings", SETTINGS.model_dump_json()]) == 0
    for kind in ("volumes", "slices", "summary"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.volumes").read_text().splitlines()[:2] == [
        "volume,subject,split,method,region,metric,value",
        "t1,B,test,bicubic,foreground,psnr,21",
    ]
    first = "test,bicubic,foreground,psnr,1,21,20,22,bicubic,0,0,0,"
    assert (tmp_path / "a.summary").read_text().splitlines()[1] == first


def test_names_resembling_numbers_or_missing_values_are_kept(tmp_path):
    part = tmp_path / "part.csv"
    part.write_text(",".join(SLICES.columns) + "\n007,NA,val,bicubic,foreground,psnr,3,inf\n")
    found = read_parts([part])
    assert found.iloc[0].tolist() == ["007", "NA", "val", "bicubic", "foreground", "psnr", 3, math.inf]


def test_invalid_parts_are_reported(tmp_path):
    good, other = tmp_path / "good.csv", tmp_path / "other.csv"
    HAND.to_csv(good, index=False)
    other.write_text("name,value\na,1\n")
    with pytest.raises(UserError, match="twice: t1, val1"):
        read_parts([good, good])
    with pytest.raises(UserError, match=r"other\.csv"):
        read_parts([good, other])
    with pytest.raises(UserError, match=r"absent\.csv"):
        read_parts([tmp_path / "absent.csv"])


def test_method_without_value_for_slice_is_reported():
    lacking = HAND[~((HAND["split"] == "test") & (HAND["method"] == "rrdb_l1") & (HAND["slice"] == 1))]
    with pytest.raises(UserError, match=r"'t1'.*'rrdb_l1'"):
        summarise(lacking, SETTINGS, 0)
    with pytest.raises(UserError, match=r"'t1'.*'bicubic'"):
        summarise(HAND[~((HAND["split"] == "test") & (HAND["method"] == "bicubic"))], SETTINGS, 0)


def test_baseline_requires_validation():
    with pytest.raises(UserError, match="'val'"):
        summarise(HAND[HAND["split"] == "test"], SETTINGS, 0)


def test_findings_contain_baseline_difference_interval_and_scope():
    assert findings(summarise(HAND, SETTINGS, 1)) == {
        "test": [
            "rrdb_l1 is better than bicubic, the best baseline on validation, by PSNR over the foreground: +2.50 dB "
            "(95 % confidence interval +2.50 to +2.50, 1 volume)."
        ]
    }
    assert scope("test", volume_table(HAND)) == (
        "Split test has 1 subject: the intervals cover only the slices of this subject. No conclusion about subjects "
        "in general is possible."
    )


@pytest.mark.parametrize(
    ("values", "words"), [([10, 11], "is worse than bicubic"), ([19, 24], "is not distinguishable from bicubic")]
)
def test_findings_depend_on_interval(values, words):
    others = HAND[~((HAND["split"] == "test") & (HAND["method"] == "rrdb_l1"))]
    changed = table(others.itertuples(index=False), rows("t1", "B", "test", "rrdb_l1", values))
    assert words in findings(summarise(changed, SETTINGS, 1))["test"][0]


def test_six_subjects_allow_general_conclusion():
    parts = [rows("val1", "A", "val", method, [30, 31]) for method in ("bicubic", "rrdb_l1")]
    for index in range(6):
        parts.append(rows(f"t{index}", f"S{index}", "test", "bicubic", [20, 21]))
        parts.append(rows(f"t{index}", f"S{index}", "test", "rrdb_l1", [21 + index / 10, 22]))
    slices = table(*parts)
    summary = summarise(slices, SETTINGS, 1)
    assert row_of(summary, "test", "rrdb_l1")["p"] == pytest.approx(2 / 64)
    assert "6 volumes, p = 0.031" in findings(summary)["test"][0]
    assert "the choice of subjects" in scope("test", volume_table(slices))


def test_summary_survives_a_round_trip_through_its_file():
    summary = summarise(HAND, SETTINGS, 1)
    again = pd.read_csv(io.StringIO(summary.to_csv(index=False)))
    assert findings(again) == findings(summary)


def test_holm_matches_statsmodels_and_ignores_nan():
    generator = np.random.default_rng(0)
    for count in (1, 2, 7):
        values = generator.random(count) ** 3
        expected = multipletests(values, method="holm")[1]
        assert holm(values.tolist()) == pytest.approx(expected)
    # Holm: 3 * 0.01, 2 * 0.03, then not smaller than the previous value
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([math.nan, 0.02, 0.03]) == pytest.approx([math.nan, 0.04, 0.04], nan_ok=True)


def test_rank_biserial_matches_definition():
    # Kerby's simple difference formula: ranks 1 2 3 4, of which 2 is negative: (8 - 2) / 10
    assert rank_biserial([0.5, -1.0, 2.0, 3.0, 0.0]) == pytest.approx(0.6)
    values = np.random.default_rng(1).standard_normal(9) + 0.4
    statistic: Any = wilcoxon(values)
    smaller_sum, total = statistic.statistic, 9 * 10 / 2
    assert abs(rank_biserial(list(values))) == pytest.approx(1 - 2 * smaller_sum / total)
    assert rank_biserial([1.0, 2.0]) == 1
    for undefined in ([], [2.0], [0.0, 0.0, 1.0], [0.0, 0.0], [1.0, math.inf, 2.0]):
        assert math.isnan(rank_biserial(undefined))


def cohort(subjects, gains):
    """Return values of subjects for which methods differ from bicubic by gains that increase slightly per subject."""
    parts = []
    for split, count in (("val", 1), ("test", subjects)):
        for index in range(count):
            level = 20 + index
            parts.append(rows(f"{split}{index}", f"{split}{index}", split, "bicubic", [level, level + 1]))
            for method, gain in gains.items():
                values = [level + gain * (1 + index / 10), level + 1 + gain]
                parts.append(rows(f"{split}{index}", f"{split}{index}", split, method, values))
    return table(*parts)


GAINS = {"lanczos": 0.5, "zerofill": -0.2, "pretrained": -3.0, "brainsr": 2.0}


def test_every_network_is_compared_with_every_baseline():
    found: Any = compare_all(cohort(7, GAINS), SETTINGS, 1)
    assert list(found.columns) == list(COMPARISONS.columns)
    test = found[found["split"] == "test"]
    pairs = set(zip(test["method"], test["baseline"], strict=True))
    baselines = {"bicubic", "lanczos", "zerofill"}
    ours = {("brainsr", baseline) for baseline in {*baselines, "pretrained"}}
    assert pairs == ours | {("pretrained", baseline) for baseline in baselines}
    row = test[(test["method"] == "brainsr") & (test["baseline"] == "lanczos")].iloc[0]
    means = [1.5 * (2 + index / 10) / 2 for index in range(7)]
    assert row["subjects"] == 7
    assert row["diff"] == pytest.approx(np.mean(means))
    assert row["diff_ci_low"] < row["diff"] < row["diff_ci_high"]
    assert row["effect"] == 1
    assert (row["p"], row["p_holm"]) == pytest.approx((2 / 2**7, 4 * 2 / 2**7))
    worse = test[test["method"] == "pretrained"]
    assert set(worse["effect"]) == {-1}
    assert list(worse["p_holm"]) == pytest.approx([3 * 2 / 2**7] * 3)


def test_difference_to_best_baseline_matches_summary():
    slices = cohort(3, GAINS)
    summary = summarise(slices, SETTINGS, 1)
    found: Any = compare_all(slices, SETTINGS, 1)
    ours = row_of(summary, "test", "brainsr")
    same = found[(found["split"] == "test") & (found["method"] == "brainsr") & (found["baseline"] == ours["baseline"])]
    for name in ("diff", "diff_ci_low", "diff_ci_high"):
        assert same.iloc[0][name] == pytest.approx(ours[name])


def test_minimum_numbers_of_subjects_for_test_and_effect():
    five: Any = compare_all(cohort(5, GAINS), SETTINGS, 1)
    one: Any = compare_all(cohort(1, GAINS), SETTINGS, 1)
    assert five["p"].isna().all()
    assert five["p_holm"].isna().all()
    assert set(five.loc[five["split"] == "test", "effect"]) == {-1, 1}
    assert one["effect"].isna().all()
    assert one["diff_ci_low"].notna().all()


def test_conclusion_follows_corrected_test():
    # For six subjects, the minimum p is 2 / 2^6 = 0.031, or 0.125 after correction for four baselines.
    six, ten = (against_all(compare_all(cohort(count, GAINS), SETTINGS, 1), split="test") for count in (6, 10))
    assert six[0] == "By PSNR, brainsr is not distinguishable from bicubic, lanczos, pretrained, zerofill."
    assert ten[0] == "By PSNR, brainsr is better than bicubic, lanczos, pretrained, zerofill."
    assert ten[1] == "By PSNR, pretrained is worse than bicubic, lanczos, zerofill."
    assert "signed-rank test over 10 subjects, corrected for the number of baselines" in ten[-1]
    mixed = {**GAINS, "nearest": 2.5}
    [first, *_, last] = against_all(compare_all(cohort(1, mixed), SETTINGS, 1), split="test")
    expected = "By PSNR, brainsr is better than bicubic, lanczos, pretrained, zerofill; it is worse than nearest."
    assert first == expected
    assert "With 1 subject, no test over subjects can reach p < 0.05" in last
    assert "No conclusion about subjects in general" in last
    assert against_all(compare_all(cohort(1, mixed), SETTINGS, 1), split="test_within_subject") == []


def test_lower_error_is_better():
    slices = cohort(10, {"pretrained": 1.0, "brainsr": -2.0}).assign(metric="nrmse")
    words = against_all(compare_all(slices, SETTINGS, 1), split="test")
    assert words[0] == "By NRMSE, brainsr is better than bicubic, pretrained."


def test_comparisons_are_written_with_other_tables(tmp_path):
    cohort(2, GAINS).to_csv(tmp_path / "part.csv", index=False)
    outputs = [f"--{kind}={tmp_path / f'{kind}.csv'}" for kind in ("volumes", "slices", "summary", "comparisons")]
    settings = ["--settings", SETTINGS.model_dump_json()]
    assert run(["summarise", "--parts", str(tmp_path / "part.csv"), *outputs, *settings]) == 0
    lines = (tmp_path / "comparisons.csv").read_text().splitlines()
    columns = "split,method,region,metric,baseline,subjects,diff,diff_ci_low,diff_ci_high,effect,p,p_holm"
    assert lines[0] == columns
    assert len(lines) == 1 + 2 * (4 + 3)
    assert lines[1].startswith("test,brainsr,foreground,psnr,bicubic,2,2.05,")
    assert lines[1].endswith(",1,,")
