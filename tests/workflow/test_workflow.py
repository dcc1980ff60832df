"""The real workflow, from files to reports, on a small cut of a real head."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.helpers import CHECKOUT, contents
from tests.workflow.project import CONTRACT, configuration, environment, jobs, make_project, snakemake

REPORTS = {"provenance", "report_index", "report_training", "report_volume", "enforce", "all"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder in which the workflow has run to its end; its name has a blank, as folders of users do."""
    folder = tmp_path_factory.mktemp("a project")
    config = make_project(folder)
    result = snakemake(folder, "--configfile", config)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def dry_run(finished):
    """Plans a run of the finished project with a changed configuration; returns the jobs by rule."""

    def plan(checkout: Path = CHECKOUT, **changes) -> dict[str, int]:
        config = finished / "changed.yaml"
        config.write_text(yaml.safe_dump({**configuration(), **changes}), encoding="utf-8")
        result = snakemake(finished, "--configfile", config, "--dry-run", checkout=checkout)
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


def test_a_second_run_does_nothing(finished):
    result = snakemake(finished, "--configfile", finished / "small.yaml", "--dry-run")
    assert "Nothing to be done" in result.stdout + result.stderr


def test_a_change_of_the_report_reruns_reports_only(dry_run):
    planned = dry_run(report={"title": "another title"})
    assert planned and set(planned) <= REPORTS


def test_a_change_of_the_resources_reruns_nothing(dry_run):
    assert dry_run(resources={"device": "cpu", "memory_mb": 5000, "gpu": 0, "runtime_minutes": 9}) == {}


def test_a_change_of_the_reader_study_reruns_nothing(dry_run):
    assert dry_run(reading={"slices": 3, "methods": ["truth", "bicubic"]}) == {}


def test_what_contradicts_the_measurement_stops_the_run_where_the_user_wants_it(finished, dry_run, tmp_path):
    """A network of six steps is no good, and says so without a truth."""
    gates = pd.read_csv(finished / "results/small/metrics/gates.csv")
    assert list(gates) == ["volume", "subject", "split", "method", "gate", "value", "limit", "passed"]
    assert not gates.loc[gates["method"] == "rrdb_l1", "passed"].all()
    assert "rrdb_l1 contradicts what was measured" in (finished / "results/small/metrics/gates.txt").read_text()
    stopping = {**configuration(), "evaluate": {**configuration()["evaluate"], "on_gate": "fail"}}
    assert set(dry_run(evaluate=stopping["evaluate"])) == {"enforce", "all"}
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / "small.yaml").write_text(yaml.safe_dump(stopping), encoding="utf-8")
    result = snakemake(folder, "--configfile", folder / "small.yaml")
    assert result.returncode != 0
    assert "rrdb_l1 contradicts what was measured" in result.stdout + result.stderr
    assert "evaluate.on_gate" in result.stdout + result.stderr
    assert (folder / "results/small/reports/index.html").is_file()
    page = (folder / "results/small/reports/failures.html").read_text(encoding="utf-8")
    assert "One step failed" in page and "rrdb_l1 contradicts what was measured" in page
    assert not (folder / "results/small/metrics/gates.txt").exists()
    (folder / "small.yaml").write_text(yaml.safe_dump(configuration()), encoding="utf-8")
    result = snakemake(folder, "--configfile", folder / "small.yaml")
    assert result.returncode == 0, result.stderr
    assert not (folder / "results/small/reports/failures.html").exists()


def test_a_change_of_the_training_keeps_what_came_before(dry_run):
    planned = dry_run(recipes={"rrdb_l1": {**configuration()["recipes"]["rrdb_l1"], "steps": 7}})
    assert {"train", "infer_delivered", "evaluate", "summarise"} <= set(planned)
    assert not {"download", "extract", "degrade", "tune", "interpolate", "convert"} & set(planned)


def test_an_edit_of_the_code_reruns_what_it_affects(finished, dry_run, tmp_path):
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".git", ".venv", "results", "resources", ".snakemake", "*cache*")
    shutil.copytree(CHECKOUT, copy, ignore=ignored)
    assert dry_run(copy) == {}
    module = copy / "pipeline/upsamplers/bicubic.py"
    module.write_text(module.read_text() + "\n# an edit\n")
    planned = set(dry_run(copy))
    assert "interpolate" in planned
    assert not {"extract", "degrade", "train", "infer"} & planned


def test_snakemake_makes_its_own_report(finished):
    report = finished / "report.zip"
    result = snakemake(finished, "--configfile", finished / "small.yaml", "--report", report)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(report) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    main = next(content.decode() for name, content in inside.items() if name.endswith("report.html"))
    for part in ("Reports", "Metrics", "which method wins and by how much", "all volumes", "trainings"):
        assert part in main, part
    for page in ("index", "training", "head-test"):
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


def test_a_killed_run_goes_on_and_ends_the_same(finished, tmp_path):
    folder = tmp_path / "killed"
    folder.mkdir()
    for name in ("one.nii.gz", "other.nii.gz", "small.safetensors", "small.yaml"):
        shutil.copy(finished / name, folder / name)
    command = ["snakemake", "--snakefile", CHECKOUT / "Snakefile", "--directory", folder, "--cores", "2"]
    command += ["--configfile", folder / "small.yaml"]
    running = subprocess.Popen(
        list(map(str, command)),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    checkpoints = folder / "results/small/checkpoints/rrdb_l1"
    deadline = time.monotonic() + 300
    while not list(checkpoints.glob("generation-*.pt")) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    subprocess.run(["pkill", "-KILL", "-s", str(running.pid)], check=False)
    running.wait()
    assert running.returncode == -signal.SIGKILL, "the run ended before it was killed"
    snakemake(folder, "--configfile", folder / "small.yaml", "--unlock")
    again = snakemake(folder, "--configfile", folder / "small.yaml")
    assert again.returncode == 0, again.stderr
    results = "results/small"
    same = {**_comparable(finished / results), "provenance.json": ""}
    assert {**_comparable(folder / results), "provenance.json": ""} == same


def _comparable(results: Path) -> dict[str, str]:
    """Hashes of all results but those with a clock in them."""
    clocks = ("logs/", "benchmarks/", "models/rrdb_l1/history.csv", "reports/")
    return {name: digest for name, digest in contents(results).items() if not name.startswith(clocks)}
