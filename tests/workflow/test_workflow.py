"""The real workflow, from files to reports, on a small cut of a real head."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.provenance.reproduction import prepare_folder
from tests.helpers import CHECKOUT, contents, run_command
from tests.interruption import run_killed
from tests.workflow.project import CONTRACT, configuration, environment, jobs, snakemake

REPORTS = {
    *("provenance", "report_index", "report_training", "report_volumes", "publish_pages", "report_resources"),
    *("ro_crate", "enforce", "all"),
}


@pytest.fixture
def dry_run(finished, conda):
    """Plan a run of the finished project with a changed configuration; return the jobs by rule."""

    def plan(checkout: Path = CHECKOUT, **changes) -> dict[str, int]:
        config = finished / "changed.yaml"
        config.write_text(yaml.safe_dump({**configuration(), **changes}), encoding="utf-8")
        result = snakemake(finished, "--configfile", config, "--dry-run", checkout=checkout, conda=conda)
        assert result.returncode == 0, result.stderr
        return jobs(result)

    return plan


def test_the_run_leaves_every_file_of_the_contract(finished):
    missing = [name for name in CONTRACT if not (finished / "results/small" / name).is_file()]
    assert missing == []
    assert not list(finished.rglob(".partial-*"))


def test_a_finished_training_leaves_no_resume_state(finished):
    assert not (finished / "results/small/checkpoints/rrdb_l1").exists()


def test_predictions_lie_where_the_source_does(finished):
    source: Any = nib.load(finished / "other.nii.gz")
    for method in ("bicubic", "rrdb_l1"):
        made: Any = nib.load(finished / f"results/small/predictions/{method}/head-test.nii.gz")
        assert made.shape == source.shape
        assert made.get_data_dtype() == source.get_data_dtype()
        assert np.allclose(made.affine, source.affine, atol=1e-4)


def test_the_deliverable_is_the_chosen_method(finished):
    folder = finished / "results/small"
    delivered = (folder / "sr/head-test.nii.gz").read_bytes()
    assert delivered == (folder / "predictions/rrdb_l1/head-test.nii.gz").read_bytes()


def test_the_tables_have_the_columns_of_the_contract(finished):
    metrics = finished / "results/small/metrics"
    volumes, slices, summary = (pd.read_csv(metrics / f"{name}.csv") for name in ("volumes", "slices", "summary"))
    assert list(volumes) == ["volume", "subject", "split", "method", "region", "metric", "value"]
    assert set(slices) == {*volumes, "slice"}
    assert list(summary) == [
        *("split", "method", "region", "metric", "n", "mean", "ci_low", "ci_high"),
        *("baseline", "diff", "diff_ci_low", "diff_ci_high", "p"),
    ]
    assert set(volumes["split"]) == {"val", "test", "test_within_subject"}
    assert set(volumes["method"]) >= {"nearest", "bicubic", "nlm_bspline3", "pretrained", "rrdb_l1"}
    assert set(volumes["region"]) == {"foreground", "whole"}
    assert not np.isnan(volumes["value"].to_numpy()).any()


def test_the_provenance_names_data_code_and_settings(finished):
    provenance = json.loads((finished / "results/small/provenance.json").read_text())
    text = json.dumps(provenance)
    assert "head-block" in text and "a cut of an average head" in text and "snakemake" in text
    assert str(configuration()["recipes"]["rrdb_l1"]["steps"]) in text


def test_a_second_run_does_nothing(finished, conda):
    result = snakemake(finished, "--configfile", finished / "small.yaml", "--dry-run", conda=conda)
    assert "Nothing to be done" in result.stdout + result.stderr


def test_a_change_of_the_report_reruns_reports_only(dry_run):
    planned = dry_run(report={"title": "another title"})
    assert planned and set(planned) <= REPORTS


def test_a_change_of_the_resources_reruns_nothing(dry_run):
    assert dry_run(resources={"device": "cpu", "memory_mb": 5000, "gpu": 0, "runtime_minutes": 9}) == {}


def test_a_change_of_the_reader_study_reruns_nothing(dry_run):
    assert dry_run(reading={"slices": 3, "methods": ["reference", "bicubic"]}) == {}


def test_what_contradicts_the_measurement_stops_the_run_where_the_user_wants_it(finished, conda, dry_run, tmp_path):
    """A network of six steps is no good, and says so without a reference."""
    gates = pd.read_csv(finished / "results/small/metrics/gates.csv")
    assert list(gates) == ["volume", "subject", "split", "method", "gate", "value", "limit", "passed"]
    assert not gates.loc[gates["method"] == "rrdb_l1", "passed"].all()
    assert "rrdb_l1 contradicts the measurement" in (finished / "results/small/metrics/gates.txt").read_text()
    stopping = {**configuration(), "evaluate": {**configuration()["evaluate"], "on_gate_failure": "fail"}}
    assert set(dry_run(evaluate=stopping["evaluate"])) == {"enforce", "all"}
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "small.yaml").write_text(yaml.safe_dump(stopping), encoding="utf-8")
    result = snakemake(folder, "--configfile", folder / "small.yaml", conda=conda)
    assert result.returncode != 0
    assert "rrdb_l1 contradicts the measurement" in result.stdout + result.stderr
    assert "evaluate.on_gate_failure" in result.stdout + result.stderr
    assert (folder / "results/small/reports/index.html").is_file()
    page = (folder / "results/small/reports/failures.html").read_text(encoding="utf-8")
    assert "One step failed" in page and "rrdb_l1 contradicts the measurement" in page
    assert not (folder / "results/small/metrics/gates.txt").exists()
    (folder / "small.yaml").write_text(yaml.safe_dump(configuration()), encoding="utf-8")
    result = snakemake(folder, "--configfile", folder / "small.yaml", conda=conda)
    assert result.returncode == 0, result.stderr
    assert not (folder / "results/small/reports/failures.html").exists()


def test_a_change_of_the_training_keeps_what_came_before(dry_run):
    planned = dry_run(recipes={"rrdb_l1": {**configuration()["recipes"]["rrdb_l1"], "steps": 7}})
    assert {"train", "infer_delivered", "evaluate", "summarise"} <= set(planned)
    assert not {"download", "extract", "degrade", "tune", "interpolate", "convert_weights"} & set(planned)


def test_an_edit_of_the_code_reruns_what_it_affects(finished, dry_run, tmp_path):
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".git", ".venv", "results", "resources", ".snakemake", "*cache*")
    shutil.copytree(CHECKOUT, copy, ignore=ignored)
    assert dry_run(copy) == {}
    module = copy / "pipeline/baselines/bicubic.py"
    module.write_text(module.read_text() + "\n# an edit\n")
    planned = set(dry_run(copy))
    assert "interpolate" in planned
    assert not {"extract", "degrade", "train", "infer"} & planned


def test_snakemake_makes_its_own_report(finished, conda):
    report = finished / "report.zip"
    result = snakemake(finished, "--configfile", finished / "small.yaml", "--report", report, conda=conda)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(report) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    main = next(content.decode() for name, content in inside.items() if name.endswith("report.html"))
    for part in (
        "Reports",
        "Metrics",
        "Every method on every split",
        "all volumes",
        "trainings",
        "time and memory",
    ):
        assert part in main, part
    for page in ("index", "training", "resources", "head-test"):
        assert (finished / f"results/small/reports/{page}.html").read_bytes() in inside.values(), page


def test_mistakes_are_told_all_at_once_without_a_traceback(finished):
    config = finished / "broken.yaml"
    broken = {**configuration(), "degrade": {"factor": 40, "noize": "rician"}, "seeed": 1}
    config.write_text(yaml.safe_dump(broken), encoding="utf-8")
    result = snakemake(finished, "--configfile", config, "--dry-run")
    assert result.returncode != 0
    for part in ("degrade.factor", "degrade.noize", "'noise'", "seeed", "'seed'"):
        assert part in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_failed_stage_shows_its_message(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "p", ignore=shutil.ignore_patterns("results", "resources", ".snakemake"))
    other = tmp_path / "p" / "other.nii.gz"
    other.write_bytes(other.read_bytes()[:3000])
    result = snakemake(tmp_path / "p", "--configfile", tmp_path / "p" / "small.yaml", "--until", "extract")
    assert result.returncode != 0
    assert "other.nii.gz: cannot be read as NIfTI" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_snakemake_may_be_called_by_its_path(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "p", ignore=shutil.ignore_patterns("results", "resources", ".snakemake"))
    wanted = ("--configfile", tmp_path / "p" / "small.yaml", "--until", "extract")
    result = snakemake(tmp_path / "p", *wanted, activated=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "p/results/small/extracted/head-test.safetensors").is_file()


def test_a_repetition_from_the_provenance_ends_the_same_though_it_was_killed(finished, tmp_path):
    run, folder = finished / "results/small", tmp_path / "again"
    prepare_folder(run, folder)
    command = ["snakemake", "--snakefile", CHECKOUT / "Snakefile", "--directory", folder, "--cores", "2"]
    command += ["--configfile", folder / "config.json"]
    run_killed(command, file="generation-?.pt", folder=folder, environment=environment())
    assert list((folder / "results/small/checkpoints/rrdb_l1").glob("generation-?.pt"))
    snakemake(folder, "--configfile", folder / "config.json", "--unlock")
    again = reproduce(run, folder)
    assert again.returncode == 0, again.stderr + again.stdout
    assert "files are identical" in again.stdout
    assert "Fetching" not in again.stderr, "downloads are shared"
    assert _comparable(folder / "results/small") == _comparable(run)
    (folder / "results/small/sr/head-test.nii.gz").write_bytes(b"another")
    changed = run_command("reproduce", run, "--into", folder, "--compare-only")
    assert changed.returncode == 1
    assert "different: sr/head-test.nii.gz" in changed.stdout


def reproduce(run: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `make reproduce` with this test's environment in place of the one that make would set up."""
    command = ["make", "reproduce", f"RUN={run}", f"INTO={folder}", f"VENV={sys.prefix}", "--assume-old=setup"]
    return subprocess.run(command, cwd=CHECKOUT, env=environment(), capture_output=True, text=True, check=False)


def _comparable(results: Path) -> dict[str, str]:
    """Hashes of all results but those with a clock in them, or with what was installed."""
    clocks = ("logs/", "benchmarks/", "models/rrdb_l1/history.csv", "reports/", "pages/", "provenance.json", "ro-crate")
    return {name: digest for name, digest in contents(results).items() if not name.startswith(clocks)}
