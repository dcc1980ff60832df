"""Commands that a user calls without Snakemake: apply, figure, table, and the list of stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import save_generator
from pipeline.steps._framework import names
from tests.helpers import ras_affine, reoriented, run_command, run_step, synthetic_head, the_message, write_nifti

SHAPE = {"blocks": 1, "features": 8, "growth": 4}


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "generator.safetensors"
    save_generator(path, Generator(Shape.from_json(SHAPE)))
    return path


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_apply_sharpens_a_file_in_place_and_kind(generator, tmp_path, plane, axis):
    table = np.array([[2, -1], [0, 1], [1, -1]])  # the file's axes run down, right and to the back
    data, affine = reoriented(synthetic_head((20, 22, 18)), ras_affine((2.0, 2.0, 3.0)), table)
    source = write_nifti(tmp_path / "in.nii.gz", np.rint(data).astype(np.int16), affine)
    output = tmp_path / "out.nii.gz"
    result = run_command(
        "apply", "--model", generator, "--input", source, "--output", output, "--plane", plane, "--force"
    )
    assert result.returncode == 0, result.stderr
    before: Any = nib.load(source)
    after: Any = nib.load(output)
    factors = np.array([1 if ras == axis else 4 for ras in table[:, 0]])
    assert after.shape == tuple(np.array(before.shape) * factors)
    assert after.get_data_dtype() == np.int16
    # The outer faces of the volume stay where they were, in millimetres.
    for corner in ([-0.5] * 3, np.array(before.shape) - 0.5):
        scaled = (np.asarray(corner) + 0.5) * factors - 0.5
        assert np.allclose(after.affine @ [*scaled, 1], before.affine @ [*corner, 1], atol=1e-4)


def test_apply_enlarges_thick_slices_within_them(generator, tmp_path):
    source = write_nifti(tmp_path / "in.nii.gz", synthetic_head((20, 64, 64)), ras_affine((5.0, 1.0, 1.0)))
    output = tmp_path / "out.nii.gz"
    result = run_command(
        "apply", "--model", generator, "--input", source, "--output", output, "--no-uncertainty", "--force"
    )
    assert result.returncode == 0, result.stderr
    after: Any = nib.load(output)
    assert after.shape == (20, 256, 256)
    np.testing.assert_allclose(after.header.get_zooms(), [5.0, 0.25, 0.25])
    assert "slices: sagittal, since voxels are at least 1.5 times longer" in result.stderr


def test_slices_that_are_too_small_name_the_file_and_what_to_do(generator, tmp_path):
    source = write_nifti(tmp_path / "in.nii.gz", synthetic_head((12, 40, 40)))
    result = run_command("apply", "--model", generator, "--input", source, "--output", tmp_path / "out.nii.gz")
    message = the_message(result, after_progress=True)
    assert "in.nii.gz: slices of 12 x 40 voxels" in message
    assert "--plane" in message and "--noise-sigma" in message


def test_apply_names_a_file_that_is_no_network(generator, tmp_path):
    source = write_nifti(tmp_path / "in.nii", synthetic_head((20, 22, 18)))
    message = the_message(run_command("apply", "--model", source, "--input", source, "--output", tmp_path / "out.nii"))
    assert "in.nii: is not a generator of BrainSR" in message
    assert not (tmp_path / "out.nii").exists()


def test_table_prints_the_metrics_and_where_the_report_is(tmp_path):
    rows = [("test", name, "foreground", "psnr", value) for name, value in (("bicubic", 20.5), ("rrdb_l1", 21.25))]
    (tmp_path / "metrics").mkdir()
    table = pd.DataFrame(rows, columns=["split", "method", "region", "metric", "mean"])
    table.to_csv(tmp_path / "metrics" / "summary.csv", index=False)
    printed = run_command("table", tmp_path).stdout
    assert "20.500" in printed
    assert "21.250" in printed
    assert str(tmp_path / "reports" / "index.html") in printed


def test_table_of_a_run_that_has_not_ended_is_a_clear_message(tmp_path):
    assert "Has the run ended?" in the_message(run_command("table", tmp_path))


def test_figure_draws_what_it_is_given(tmp_path):
    source = write_nifti(tmp_path / "head.nii.gz", synthetic_head((40, 44, 36)))
    entry = '{"id": "head", "subject": "S", "split": "test", "source": "x"}'
    hr, lr = tmp_path / "hr.safetensors", tmp_path / "lr.safetensors"
    tuning = tmp_path / "tuning.json"
    for command in (
        ("extract", "--input", source, "--output", hr, "--volume", entry),
        ("degrade", "--input", hr, "--output", lr, "--forward-model", tmp_path / "forward.json"),
        ("tune", "--hr", hr, "--lr", lr, "--output", tuning),
        ("interpolate", "--lr", lr, "--tuning", tuning, "--output", tmp_path / "predictions"),
    ):
        result = run_step(*command)
        assert result.returncode == 0, result.stderr
    shown = [tmp_path / "predictions" / name / "head.nii.gz" for name in ("nearest", "zerofill")]
    result = run_command("figure", "--hr", hr, "--lr", lr, "--predictions", *shown, "--output", tmp_path / "a.png")
    assert result.returncode == 0, result.stderr
    picture = np.asarray(Picture.open(tmp_path / "a.png").convert("L"))
    assert picture.shape[1] > picture.shape[0]
    assert picture.std() > 20


def test_every_step_has_a_help_page():
    overview = run_step("--help").stdout
    for step in names():
        assert f"  {step} " in overview
        assert f"python -m pipeline.steps {step}" in run_step(step, "--help").stdout
