"""Commands that people type: apply, figure, table, export, run, and the help of all commands and steps."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from pipeline import __version__
from pipeline.__main__ import COMMANDS, main
from pipeline.inference.restore_file import default_output
from pipeline.models.generator import Generator, Shape
from pipeline.models.weights import load_generator, save_generator
from pipeline.steps._framework import names
from pipeline.tables.summary import SUMMARY
from pipeline.tables.volumes import VOLUMES
from tests.helpers import (
    CHECKOUT,
    configuration,
    ras_affine,
    reoriented,
    restore_slice,
    run_command,
    run_step,
    synthetic_head,
    the_message,
    write_nifti,
)
from tests.provenance import provenance

METRICS = ["psnr", "ssim", "ms_ssim", "nrmse", "hfen", "gmsd"]
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
    result = run_command("apply", "--model", generator, source, "--output", output, "--plane", plane, "--force")
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
    result = run_command("apply", "--model", generator, source, "--output", output, "--no-uncertainty", "--force")
    assert result.returncode == 0, result.stderr
    after: Any = nib.load(output)
    assert after.shape == (20, 256, 256)
    np.testing.assert_allclose(after.header.get_zooms(), [5.0, 0.25, 0.25])
    assert "slices: sagittal, since voxels are at least 1.5 times longer" in result.stderr


def test_slices_that_are_too_small_name_the_file_and_what_to_do(generator, tmp_path):
    source = write_nifti(tmp_path / "in.nii.gz", synthetic_head((12, 40, 40)))
    result = run_command("apply", "--model", generator, source, "--output", tmp_path / "out.nii.gz")
    message = the_message(result, after_progress=True)
    assert "in.nii.gz: slices of 12 x 40 voxels" in message
    assert "--plane" in message and "--noise-sigma" in message


def test_apply_names_a_file_that_is_no_network(generator, tmp_path):
    source = write_nifti(tmp_path / "in.nii", synthetic_head((20, 22, 18)))
    message = the_message(run_command("apply", "--model", source, source, "--output", tmp_path / "out.nii"))
    assert "in.nii: is not a generator of BrainSR" in message
    assert not (tmp_path / "out.nii").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "see"),
    [
        (["combine", "a.nii", "b.nii"], "--output is missing.", "brainsr combine"),
        (["apply", "a.nii", "--model"], "--model requires a value.", "brainsr apply"),
        (["bids", "raw"], "OUTPUT_DIR is missing.", "brainsr bids"),
        (["aply", "a.nii"], 'Unknown command "aply". Did you mean "apply"?', "brainsr"),
    ],
)
def test_a_wrong_command_line_names_what_is_wrong_and_a_help_page_that_exists(arguments, message, see, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.endswith(f"See: {see} --help\n")


@pytest.fixture
def finished(tmp_path) -> Path:
    """The folder of a finished run of two networks and two baselines, of which brainsr is delivered."""
    run = tmp_path / "results/small"
    methods = {"bicubic": 20.5, "zerofill": 21.0, "rrdb_l1": 22.75, "brainsr": 22.25}
    common = {"split": "test", "region": "foreground", "baseline": "zerofill", "n": 1, "p": math.nan}
    rows = []
    for metric in (*METRICS, "residual_noise"):
        for method, mean in methods.items():
            low, high = mean - 0.25, mean + 0.25
            bounds = {"diff": mean - 21, "diff_ci_low": low - 21, "diff_ci_high": high - 21}
            rows.append(
                {**common, "method": method, "metric": metric, "mean": mean, "ci_low": low, "ci_high": high, **bounds}
            )
    for name in ("metrics", "reports"):
        (run / name).mkdir(parents=True)
    pd.DataFrame(rows)[list(SUMMARY.columns)].to_csv(run / "metrics/summary.csv", index=False)
    row = ("head", "S2", "test", "brainsr", "foreground", "psnr", 22.25)
    pd.DataFrame([row], columns=list(VOLUMES.columns)).to_csv(run / "metrics/volumes.csv", index=False)
    config = {"infer": {"deliver": "brainsr"}, "evaluate": {"metrics": METRICS, "confidence": 0.95}}
    provenance(config).write(run / "provenance.json")
    return run


def test_table_prints_the_verdict_and_fits_into_80_columns(finished, tmp_path):
    result = run_command("table", "small", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    text = " ".join(result.stdout.split())
    assert "BrainSR on the split test: " in text and "(Zero-filled k-space), " in text
    assert "PSNR 22.25 against 21.00 dB, difference +1.25 dB (95 % interval [+1.00, +1.50])" in text
    assert "The interval covers the slices of this one subject" in text
    assert "results/small/reports/index.html" in text
    rows = {line.split("  ")[0]: line for line in result.stdout.splitlines()}
    assert "22.75*" in rows["RRDB network, pixel loss"] and "22.25*" not in rows["BrainSR"]
    assert "Residual noise" not in result.stdout and "1 more with --wide" in text
    assert "esidual" in run_command("table", finished, "--wide").stdout


def test_table_of_a_run_that_has_not_finished_is_a_clear_message(tmp_path):
    assert "provenance.json is missing" in the_message(run_command("table", tmp_path))


def test_export_writes_a_network_that_other_programs_run(generator, tmp_path):
    import onnxruntime

    output = tmp_path / "network.onnx"
    result = run_command("export", "--model", generator, "--format", "onnx", "--output", output)
    assert result.returncode == 0, result.stderr
    image = np.random.default_rng(0).random((1, 1, 12, 14), dtype=np.float32)
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    inputs = {"image": image, "sigma": np.array([0.02], dtype=np.float32)}
    restored = np.asarray(session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})[0])  # pyright: ignore
    expected = restore_slice(load_generator(generator).eval(), image[0, 0], 0.02)
    np.testing.assert_allclose(np.squeeze(restored), expected, atol=1e-4)


COMPLETE = """\
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_brainsr
echo "${COMPREPLY[@]}"
"""


def test_completion_for_the_shell_knows_commands_and_options(tmp_path):
    result = run_command("--install-completion", environment={"HOME": str(tmp_path), "SHELL": "/bin/bash"})
    assert result.returncode == 0, result.stderr
    (script,) = tmp_path.rglob("completions/brainsr")
    assert script.name in (tmp_path / ".bashrc").read_text()

    def offered(*words: str) -> set[str]:
        command = ["bash", "--norc", "-c", COMPLETE, "bash", str(script), "brainsr", *words]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

    assert offered("") == set(COMMANDS)
    assert offered("comb") == {"combine"}
    assert {"--noise-sigma", "--model"} <= offered("apply", "--") and "--voxel-mm" not in offered("apply", "--")
    assert offered("combine", "a.nii", "--vox") == {"--voxel-mm"}
    assert offered("apply", "--plane", "") == {"auto", "axial", "coronal", "sagittal"}
    assert offered("bids", "raw", "out", "") == {"participant", "group"}


def test_run_hands_its_options_to_snakemake(tmp_path):
    (tmp_path / "small.yaml").write_text(json.dumps(configuration()))
    for name in ("mine.nii.gz", "theirs.nii.gz"):
        (tmp_path / name).touch()
    result = run_command("run", "-n", "--configfile", "small.yaml", "networks", "--quiet", "rules", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "train" in result.stdout + result.stderr
    failed = run_command("run", "--cores", "1", "no_such_target", folder=tmp_path)
    assert failed.returncode == 1


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


def test_the_default_output_lies_beside_the_input_and_is_named_after_it(generator, tmp_path):
    data = synthetic_head((20, 64, 64))
    source = write_nifti(tmp_path / "sub-01_acq-low_T1w.nii.gz", data, ras_affine((5.0, 1.0, 1.0)))
    result = run_command("apply", source, "--model", generator, "--no-uncertainty", "--force")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "sub-01_acq-low_T1w.nii.gz",
        "sub-01_acq-low_desc-sr_T1w.nii.gz",
    ]
    assert default_output(tmp_path / "scan.mgz").name == "scan_sr.mgz"
    assert default_output(tmp_path / "a.ome.tiff").name == "a_sr.ome.tiff"


def test_images_for_which_no_network_ships_are_refused_with_the_names_of_the_alternatives(tmp_path):
    picture = tmp_path / "cells.png"
    Picture.fromarray(np.zeros((32, 32), np.uint8)).save(picture)
    message = the_message(run_command("apply", picture))
    assert "no network for such images ships" in message
    assert "--model bspline3 --factor 2" in message
    assert list(tmp_path.iterdir()) == [picture]


def test_every_command_has_a_help_page():
    overview = run_command("--help").stdout
    for command in COMMANDS:
        assert f" {command} " in overview
        assert f"Usage: brainsr {command}" in run_command(command, "--help").stdout
    assert f"{__version__}\n" == run_command("--version").stdout


def test_help_is_instant():
    """The time itself depends on the machine; it is imports that take it."""
    code = (
        "import sys; from pipeline.__main__ import main; assert main(['--help']) == main(['apply', '--help']) == 0;"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())
    assert "cyclopts" in imported
    assert not imported & {"numpy", "pandas", "PIL", "pydantic", "scipy", "snakemake", "torch", "tqdm", "yaml"}


def test_the_console_script_is_the_same_program():
    scripts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
    assert EntryPoint("brainsr", scripts["brainsr"], "console_scripts").load() is main


def test_every_step_has_a_help_page():
    overview = run_step("--help").stdout
    for step in names():
        assert f"  {step} " in overview
        assert f"python -m pipeline.steps {step}" in run_step(step, "--help").stdout
