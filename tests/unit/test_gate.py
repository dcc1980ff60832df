"""The consistency gate: it detects manipulations, valid results pass, and no reference is needed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from benchmarks.inserted_cheats import ball, cheats, shifted
from pipeline.baselines import bspline3, lanczos, nlm_bspline3, zerofill
from pipeline.baselines.tuning.apply import BASELINES, default_settings
from pipeline.errors import UserError
from pipeline.fidelity.gate import consistency
from pipeline.fidelity.gate.consistency import (
    GATE_NAMES,
    GateStatistics,
    check_consistency,
    matched_filter,
    residuals,
    window_sizes,
)
from pipeline.fidelity.gate.measurement import as_measurement
from pipeline.fidelity.gate.volumes import check_prediction
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import write_prediction
from pipeline.image.image import Image
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise import noncentral_chi, serial_sections
from pipeline.physics.operators import antialiased_bicubic, binning, missing_section
from pipeline.plugins import load
from pipeline.tables.gates import GATES, GateResult
from tests.helpers import described, ras_affine, run_command, run_step, synthetic_head, the_message, write_nifti

SHAPE = (94, 104, 18)
FACTORS = (4, 4, 1)
WINDOWS = window_sizes((4.0, 4.0, 1.0), 2, across_slices=True)
MODEL_BASED = ("least_squares", "total_variation")
NLM = {"h_in_sigma": 1.0, "patch_size": 3, "patch_distance": 3}


def reference(seed: int = 0) -> Image:
    data = synthetic_head((94, 104, 40), seed)[..., 12:30] / np.float32(1000)
    return Image(data, ras_affine(), masks={"foreground": data > 0.1})


def model(sigma: float = 0.02, noise: str = "rician", seed: int = 5, **changes) -> ForwardModel:
    return ForwardModel(FACTORS, SHAPE, noise, sigma, seed, **changes)


def restorations(measured: np.ndarray, forward: ForwardModel) -> dict[str, np.ndarray]:
    """Outputs that were not tampered with."""
    sigma = forward.noise_sigma
    made = {
        "zerofill": zerofill.upsample(measured, forward, {}),
        "bspline3": bspline3.upsample(measured, forward, {}),
        "lanczos": lanczos.upsample(measured, forward, {}),
        "nlm_bspline3": nlm_bspline3.upsample(measured, forward, {**NLM, "sigma": sigma}),
        **{one: load(BASELINES, one).upsample(measured, forward, default_settings(one, sigma)) for one in MODEL_BASED},
    }
    return {name: volume[: SHAPE[0], : SHAPE[1]] for name, volume in made.items()}


def failed(restored: np.ndarray, measured: np.ndarray, forward: ForwardModel, windows=WINDOWS) -> set[str]:
    """Return the gates that an output fails."""
    checks = check_consistency(restored, measured, forward, windows)
    assert [check.gate for check in checks] == list(GATE_NAMES)
    return {check.gate for check in checks if not check.passed}


@cache
def scene(sigma: float, noise: str, seed: int) -> tuple[Image, ForwardModel, np.ndarray, dict[str, np.ndarray]]:
    """Return a head, its forward model, the low-resolution input, and valid results: restorations and the reference."""
    head, forward = reference(seed), model(sigma, noise, seed)
    measured = forward.simulate(head.data)
    return head, forward, measured, {"reference": head.data, **restorations(measured, forward)}


SCENES = [(0.01, "rician", 0), (0.02, "rician", 1), (0.05, "rician", 2), (0.02, "gaussian", 3)]
METHODS = ["reference", "zerofill", "bspline3", "lanczos", "nlm_bspline3", *MODEL_BASED]


@pytest.mark.parametrize("setting", SCENES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_a_valid_result_passes(setting, method):
    """28 cases: no false alarm."""
    _, forward, measured, valid = scene(*setting)
    assert not failed(valid[method], measured, forward)


@pytest.mark.parametrize("setting", SCENES, ids=str)
@pytest.mark.parametrize("method", ["reference", "nlm_bspline3"])
def test_every_inserted_cheat_is_caught(setting, method):
    """Eight times ten cases: lesions added and removed, half a voxel of shift, a gamma. None is missed."""
    head, forward, measured, valid = scene(*setting)
    cases = list(cheats(valid[method], head, measured, forward, seed=7))
    kinds = [case.kind for case in cases]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "invented lesion": 3,
        "removed lesion": 3,
        "shift": 2,
        "gamma": 2,
    }
    missed = [case.kind for case in cases if not failed(case.restored, case.measured, forward)]
    assert missed == []


def test_real_factors():
    """In-plane voxels of 2.5 and 3.3 voxels: valid results pass, and every cheat is caught."""
    head = reference(1)
    forward = replace(model(seed=1), factors=(2.5, 3.3, 1))
    windows = window_sizes((2.5, 3.3, 1.0), 2, across_slices=True)
    measured = forward.simulate(head.data)
    for restored in (head.data, *(one.upsample(measured, forward, {}) for one in (zerofill, bspline3))):
        assert not failed(restored[: SHAPE[0], : SHAPE[1]], measured, forward, windows)
    cases = list(cheats(head.data, head, measured, forward, seed=7))
    assert [case.kind for case in cases if not failed(case.restored, case.measured, forward, windows)] == []


def test_each_kind_of_cheating_is_seen_by_the_gate_that_is_made_for_it():
    head, forward, measured, valid = scene(*SCENES[1])
    expected = {"invented lesion": "local", "removed lesion": "local", "shift": "shift", "gamma": "intensity"}
    for case in cheats(valid["zerofill"], head, measured, forward, seed=3):
        assert expected[case.kind] in failed(case.restored, case.measured, forward)


@pytest.mark.parametrize("noise", ["none", "gaussian", "noncentral_chi", "poisson_gaussian", "electron"])
def test_other_noises_are_weighed_by_their_own_deviation(noise):
    sigma = 0.0 if noise == "none" else 0.03
    head, forward, measured, valid = scene(sigma, noise, 4)
    for method in ("reference", "zerofill"):
        assert not failed(valid[method], measured, forward)
    lesion = 0.2 * ball(SHAPE, np.array([47, 52, 9]), np.array([8.0, 8.0, 8.0]))
    assert failed(head.data + lesion, measured, forward)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_an_output_that_holds_a_part_of_the_noise_is_honest(share):
    """What is left of the noise rises with what is held; neither says anything of the intensities."""
    head, forward, measured, valid = scene(*SCENES[2])
    mixed = (1 - share) * head.data + share * valid["zerofill"]
    assert not failed(mixed, measured, forward)
    bent = check_consistency(np.maximum(mixed, 0) ** 0.9, measured, forward, WINDOWS)
    assert "intensity" in {check.gate for check in bent if not check.passed}


def test_many_coils_raise_the_floor_and_honest_outputs_may_show_it():
    forward = model(0.03, "noncentral_chi", noise_parameters=noncentral_chi.Parameters(coils=32))
    measured = forward.simulate(reference().data)
    for restored in (reference().data, restorations(measured, forward)["zerofill"]):
        assert not failed(restored, measured, forward)


@pytest.mark.parametrize("operator", [binning, antialiased_bicubic])
def test_other_operators(operator):
    head, forward = reference(), model(operators=(operator.Parameters(),))
    measured = forward.simulate(head.data)
    assert not failed(head.data, measured, forward)
    assert failed(shifted(head.data, 0), measured, forward)


def test_detail_below_the_resolution_cannot_be_seen():
    """What the operator wipes out leaves no trace: no gate can tell it, which the documentation says."""
    head, forward, measured, _ = scene(*SCENES[1])
    stripes = 0.2 * np.cos(np.pi * np.arange(SHAPE[1]))[None, :, None] * head.masks["foreground"]
    assert not failed(head.data + stripes, measured, forward)


def test_numbers_that_are_none_do_not_pass():
    head, forward, measured, _ = scene(*SCENES[1])
    broken = head.data.copy()
    broken[40, 40, 5] = np.nan
    assert failed(broken, measured, forward) == set(GATE_NAMES)


def test_noise_alone_seldom_exceeds_a_limit():
    """The values of 120 right outputs, without any tolerance, against the limits that 16 draws set."""
    head, forward = reference().data[:60, :60, :4], replace(model(), hr_shape=(60, 60, 4))
    exceeded = 0
    for seed in range(30):
        one = replace(forward, seed=seed)
        found = residuals(head, one.simulate(head), one)
        statistics = GateStatistics(found, one, WINDOWS)
        by_chance = consistency.gumbel_limits(
            np.array([statistics.compute(draw) for draw in consistency.noise_draws(found, one)])
        )
        exceeded += int(np.sum(np.array(statistics.compute(found)) > by_chance))
    # 0.12 are expected; three have a probability below 1e-3.
    assert exceeded <= 2


def test_limits_are_quantiles_of_gumbels_distribution():
    draws = np.random.default_rng(0).gumbel([1.0, 20.0], [0.5, 3.0], size=(16, 2))
    scale = draws.std(axis=0, ddof=1) * np.sqrt(6) / np.pi
    place = draws.mean(axis=0) - np.euler_gamma * scale
    expected = stats.gumbel_r.ppf(1 - consistency.FALSE_ALARM_RATE, place, scale)
    np.testing.assert_allclose(consistency.gumbel_limits(draws), expected, rtol=1e-6)


def test_residuals_of_the_reference_are_standardised():
    head, forward, measured, _ = scene(*SCENES[1])
    found = residuals(head.data, measured, forward)
    whitened = (found.measured - found.expected) / found.deviation
    assert abs(whitened.mean()) < 4 / np.sqrt(whitened.size)
    assert whitened.std() == pytest.approx(1, abs=0.02)


def test_windows_keep_the_variance_of_white_noise_up_to_the_border():
    noise = np.random.default_rng(0).standard_normal((4000, 9, 7))
    found = matched_filter(noise, (0.0, 1.3, 2.0))
    np.testing.assert_allclose(found.std(axis=0), 1, atol=0.05)
    place = np.zeros((1, 41, 41))
    place[0, 20, 20] = 1
    kernel = np.asarray(ndimage.gaussian_filter(place, (0, 1.3, 2.0)))
    np.testing.assert_allclose(matched_filter(place, (0.0, 1.3, 2.0)), kernel / np.sqrt(np.sum(kernel**2)), atol=2e-3)


def test_a_constant_error_within_the_tolerance_is_none_and_beyond_it_is():
    head, forward, measured, _ = scene(*SCENES[2])
    dark, bright = (check_consistency(head.data + offset, measured, forward, WINDOWS) for offset in (0.01, 0.06))
    assert all(check.passed for check in dark)
    assert {check.gate for check in bright if not check.passed} >= {"local", "intensity"}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_shift_is_measured_in_voxels(axis):
    smooth = np.asarray(ndimage.gaussian_filter(reference().data, 3), dtype=np.float32)
    forward = replace(model(0.005, "gaussian"), factors=(2, 2, 1))
    measured = forward.simulate(smooth)
    found = residuals(shifted(smooth, axis), measured, forward)
    moved = GateStatistics(found, forward, WINDOWS).shift(found)
    assert moved[axis] == pytest.approx(0.5, abs=0.06)
    assert np.abs(np.delete(moved, axis)).max() < 0.05


def test_windows_reach_across_slices_in_heads_alone():
    assert window_sizes((4.0, 4.0, 1.0), 2, across_slices=True)[0] == (0.75, 0.75, 3.0)
    assert window_sizes((2.0, 1.0, 9.0), 2, across_slices=False)[0] == (0.75, 1.5, 0.0)
    assert window_sizes((1.0, 1.0, 4.0), 2, across_slices=True)[0] == (3.0, 3.0, 0.75)


def test_slices_that_have_nothing_to_do_with_each_other_are_looked_at_one_by_one():
    head, forward = reference(), model()
    measured = forward.simulate(head.data)
    apart = window_sizes((4.0, 4.0, 1.0), 2, across_slices=False)
    assert not failed(head.data, measured, forward, apart)
    lesion = 0.2 * ball(SHAPE, np.array([47, 52, 9]), np.array([5.0, 5.0, 0.5]))
    assert "local" in failed(head.data + lesion, measured, forward, apart)


def test_a_single_slice_is_judged():
    head = reference().data[..., 9:10]
    forward = replace(model(), hr_shape=(94, 104, 1))
    measured = forward.simulate(head)
    assert not failed(head, measured, forward)
    assert failed(shifted(head, 1), measured, forward)


# The stages


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """An extracted volume, its measurement, a valid prediction and one that was shifted."""
    folder = tmp_path_factory.mktemp("gate")
    source = write_nifti(folder / "head.nii.gz", np.rint(synthetic_head((64, 72, 16))).astype(np.int16), ras_affine())
    entry = '{"id": "head", "subject": "S1", "split": "test", "source": "x"}'
    volumes = ("--input", folder / "hr.safetensors", "--output", folder / "lr.safetensors")
    for command in (
        ("extract", "--input", source, "--output", folder / "hr.safetensors", "--volume", entry),
        ("degrade", *volumes, "--forward-model", folder / "forward.json", "--seed", "3"),
    ):
        result = run_step(*command)
        assert result.returncode == 0, result.stderr
    measured = read_image(folder / "lr.safetensors", LowResolutionImage)
    restored = zerofill.upsample(measured.data, measured.forward_model, {})
    write_prediction(folder / "zerofill/head.nii.gz", measured, restored)
    write_prediction(folder / "cheat/head.nii.gz", measured, shifted(restored, 0))
    return folder


def gate_command(files: Path, output: Path, *more: str | Path):
    predictions = [files / name / "head.nii.gz" for name in ("cheat", "zerofill")]
    return run_step("gate", "--lr", files / "lr.safetensors", "--predictions", *predictions, "--output", output, *more)


def test_the_stage_judges_without_reference_and_twice_alike(files, tmp_path):
    for name in ("one.csv", "two.csv"):
        result = gate_command(files, tmp_path / name)
        assert result.returncode == 0, result.stderr
    assert "head: cheat: shift" in result.stderr and "FAILED" in result.stderr
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    with (tmp_path / "one.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert list(table[0]) == ["volume", "subject", "split", "method", "gate", "value", "limit", "passed"]
    assert {(row["volume"], row["subject"], row["split"]) for row in table} == {("head", "S1", "test")}
    assert {row["passed"] for row in table if row["method"] == "zerofill"} == {"true"}
    assert [row["passed"] for row in table if (row["method"], row["gate"]) == ("cheat", "shift")] == ["false"]


def test_shifts_are_looked_for_across_slices_only_where_these_are_neighbours(files, tmp_path):
    lr = read_image(files / "lr.safetensors", LowResolutionImage)
    valid = zerofill.upsample(lr.data, lr.forward_model, {})
    for axis in (0, 2):
        write_prediction(tmp_path / f"{axis}/head.nii.gz", lr, shifted(valid, axis))
    count = lr.data.shape[2]
    unrelated = {
        "channels": {"channels": ["a", "b"], "sections": [index // 2 for index in range(count)]},
        "pictures": {"plane": "picture", "sizes": ((30, 20),) * count},
    }

    def moved(measured: LowResolutionImage, axis: int) -> bool:
        rows = {row.gate: row for row in check_prediction(measured, "m", tmp_path / f"{axis}/head.nii.gz")}
        return not rows["shift"].passed

    assert moved(lr, 0) and moved(lr, 2)
    for records in unrelated.values():
        apart = described(lr, **records)
        assert moved(apart, 0), "shifts within the slices are seen as before"
        assert not moved(apart, 2), "what lies before and after says nothing"


def test_a_prediction_of_another_volume_is_refused(files, tmp_path):
    (tmp_path / "m").mkdir()
    other = write_nifti(tmp_path / "m/head.nii.gz", synthetic_head((60, 72, 16)))
    command = ("gate", "--lr", files / "lr.safetensors", "--predictions", other, "--output", tmp_path / "g.csv")
    message = the_message(run_step(*command))
    assert "Is it a prediction of this volume?" in message and f"volume 'head' ({other})" in message


def test_an_image_of_ones_own_is_checked_by_hand(files, tmp_path):
    """The measurement as an ordinary file: another program wrote it, nothing is recorded in it."""
    measured = read_image(files / "lr.safetensors", LowResolutionImage)
    scan = write_nifti(tmp_path / "scan.nii.gz", measured.data * np.float32(1000), measured.affine)
    (tmp_path / "zerofill").mkdir()
    restored = zerofill.upsample(measured.data, measured.forward_model, {})
    image = measured.affine @ np.diag([0.25, 0.25, 1, 1])
    image[:2, 3] = measured.affine[:2, 3] - 1.5
    sharp = write_nifti(tmp_path / "zerofill/sharp.nii.gz", restored * np.float32(1000), image)
    command = ("gate", "--lr", scan, "--predictions", sharp, "--output", tmp_path / "g.csv")
    assert "--forward-model" in the_message(run_command(*command))
    result = run_command(*command, "--forward-model", files / "forward.json")
    assert result.returncode == 0, result.stderr
    assert {row.passed for row in GATES.read_rows(tmp_path / "g.csv")} == {True}
    assert {row.volume for row in GATES.read_rows(tmp_path / "g.csv")} == {"scan"}


def test_another_plane_takes_its_factors_along():
    lr = described(Image(np.zeros((20, 30, 10), np.float32), ras_affine((1.0, 4.0, 4.0))), slice_axis=0)
    taken = as_measurement(lr, model(), 0.03, "scan").forward_model
    assert (taken.factors, taken.hr_shape, taken.noise_sigma) == ((1, 4, 4), (20, 120, 40), 0.03)
    assert taken.spacing_mm == (1.0, 1.0, 1.0)


def row(**changes) -> GateResult:
    return replace(GateResult("head", "S1", "test", "brainsr", "local", 3.0, 5.5, True), **changes)


def test_an_image_of_ones_own_has_the_largest_grid_that_its_voxels_cover(files):
    lr = read_image(files / "lr.safetensors", LowResolutionImage)
    taken = as_measurement(lr, replace(model(), factors=(2.5, 2.5, 1)), 0.03, "scan").forward_model
    assert taken.hr_shape == (40, 45, 16)
    assert taken.lr_shape == lr.data.shape == (16, 18, 16)


def test_the_tables_of_volumes_are_read_back_when_they_are_put_together(tmp_path):
    GATES.write(tmp_path / "b.csv", [row(volume="b"), row(volume="b", gate="shift", value=np.nan, passed=False)])
    GATES.write(tmp_path / "a.csv", [row(volume="007")])
    command = ("summarise_fidelity", "--gates", tmp_path / "b.csv", tmp_path / "a.csv", "--deliver", "brainsr")
    assert run_step(*command, "--output", tmp_path / "metrics").returncode == 0
    found = GATES.read_rows(tmp_path / "metrics/gates.csv")
    assert [(one.volume, one.passed) for one in found] == [("b", True), ("b", False), ("007", True)]


@pytest.mark.parametrize("text", ["", "volume,value\nx,1\n", "{},x,y,z,m,local,1,2,maybe\n"])
def test_damaged_tables_are_told(tmp_path, text):
    path = tmp_path / "gates.csv"
    path.write_text(text.replace("{}", f"{','.join(GATES.columns)}\nv"))
    with pytest.raises(UserError, match=r"gates\.csv"):
        GATES.read_rows(path)


def enforce(folder: Path, on_gate_failure: str, method: str = "brainsr"):
    output = folder / "gates.txt"
    return run_step(
        *(
            "enforce",
            "--gates",
            folder / "gates.csv",
            "--method",
            method,
            "--on-gate-failure",
            on_gate_failure,
            "--output",
            output,
        )
    )


def test_enforcement_stops_for_the_delivered_method_alone(tmp_path):
    bad = row(volume="other", value=12.25, passed=False)
    GATES.write(tmp_path / "gates.csv", [row(), bad, row(method="srgan")])
    message = the_message(enforce(tmp_path, "fail"))
    assert "brainsr contradicts the measurement in 1 of 2 volumes" in message
    assert "volume 'other': local is 12.25, limit 5.5" in message
    assert "evaluate.on_gate_failure" in message
    assert not (tmp_path / "gates.txt").exists()
    assert enforce(tmp_path, "warn").returncode == 0
    assert "'other': local is 12.25" in (tmp_path / "gates.txt").read_text()
    assert enforce(tmp_path, "fail", "srgan").returncode == 0
    assert "agrees with the measurement of all 1 volumes" in (tmp_path / "gates.txt").read_text()
    assert "no 'esrgan'" in the_message(enforce(tmp_path, "warn", "esrgan"))


def test_brightness_and_shifts_of_sections_are_noise_to_the_gate():
    """The gate knows their distribution, not their values: the reference passes, an invented structure does not."""
    shape = (40, 44, 64)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 2)
    hr = np.asarray(0.5 + 0.12 * texture / texture.std(), dtype=np.float32)
    steps = (binning.Parameters(), missing_section.Parameters(depth=0.3))
    sections = serial_sections.Parameters(brightness=0.03, shift_pixels=0.3, drift_sections=4.0)
    windows = window_sizes((1.0, 1.0, 4.0), 2, across_slices=True)
    failures = 0
    for seed in range(3):
        forward = ForwardModel(
            (1, 1, 4), shape, "serial_sections", 0.02, seed, operators=steps, noise_parameters=sections
        )
        measured = forward.simulate(hr)
        again = ForwardModel.from_json(json.loads(json.dumps(forward.to_json())))
        np.testing.assert_array_equal(again.simulate(hr), measured)
        assert not failed(hr, measured, forward, windows)
        failures += bool(failed(hr, measured, replace(forward, noise="gaussian", noise_parameters=None), windows))
        invented = hr + np.float32(0.5) * ball(shape, np.array([20, 22, 40]), np.full(3, 6.0))
        assert "local" in failed(invented, measured, forward, windows)
    assert failures == 2, "a gate that expects ideal sections rejects the reference where the sections differ more"
