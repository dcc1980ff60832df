"""The Snakefile needs nothing but what snakemake itself installs."""

from __future__ import annotations

import re
import subprocess
import venv
from pathlib import Path

import pytest
import yaml

from tests.helpers import CHECKOUT
from tests.workflow.project import configuration


def locked(name: str) -> str:
    """Return the requirement of a package as it is locked, such as "snakemake==9.27.1"."""
    found = re.search(rf"^{re.escape(name)}==\S+", (CHECKOUT / "requirements/run.lock").read_text(), re.MULTILINE)
    assert found
    return found.group()


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """The Python of a new environment that holds snakemake and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip(python, locked("snakemake"))
    return python


def pip(python: Path, *requirements: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)


def plan(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "snakemake", "--snakefile", CHECKOUT / "Snakefile", "--directory", folder, "--dry-run"]
    return subprocess.run(list(map(str, [*command, *arguments])), capture_output=True, text=True, check=False)


def test_a_dry_run_needs_only_snakemake(bare_python, tmp_path):
    result = plan(bare_python, tmp_path, "--cores", "1")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^train\s+2$", result.stdout, re.MULTILINE)
    assert subprocess.run([bare_python, "-c", "import numpy"], capture_output=True, check=False).returncode != 0


def test_a_dry_run_for_slurm_needs_only_its_plugin_on_top(bare_python, tmp_path):
    pip(bare_python, "snakemake-executor-plugin-slurm", locked("snakemake"))
    result = plan(bare_python, tmp_path, "--executor", "slurm", "--jobs", "2")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^train\s+2$", result.stdout, re.MULTILINE)


def test_the_page_on_a_failed_run_needs_only_snakemake(bare_python, tmp_path):
    log = tmp_path / "run.log"
    log.write_text("Error in rule extract:\n    jobid: 1\n    log: absent.log (check log file(s) for error details)\n")
    page = tmp_path / "failures.html"
    code = (
        "from pathlib import Path; from pipeline.reporting.pages.failures import write_failure_page; "
        f"write_failure_page([Path({str(log)!r})], Path({str(tmp_path)!r}), 'title', Path({str(page)!r}))"
    )
    command = [bare_python, "-c", code]
    result = subprocess.run(list(map(str, command)), cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "One step failed" in page.read_text(encoding="utf-8")


def test_images_in_s3_need_a_plugin_which_is_named(bare_python, tmp_path):
    given = configuration()
    given["sources"]["one"] = {"kind": "s3", "path": "s3://scans/one.nii.gz"}
    config = tmp_path / "stored.yaml"
    config.write_text(yaml.safe_dump(given))
    result = plan(bare_python, tmp_path, "--cores", "1", "--configfile", str(config))
    assert result.returncode != 0
    assert "source 'one' is in S3" in result.stdout
    assert "pip install snakemake-storage-plugin-s3" in result.stdout
