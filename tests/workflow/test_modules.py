"""The workflow as a module of another one, from a read-only checkout, and as the workflow catalog expects it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.config.load import read_run
from tests.helpers import CHECKOUT, without_privileges
from tests.workflow.project import environment, jobs, make_project

ADAPTED = """\
configfile: "small.yaml"


module brainsr:
    snakefile:
        {snakefile!r}
    config:
        config


use rule * from brainsr as brainsr_*


rule mine:
    default_target: True
    input:
        "results/small/extracted/head-test.safetensors",
    output:
        "size.txt",
    shell:
        "wc -c {{input:q}} > {{output:q}}"
"""
DEPLOYED = """\
configfile: "small.yaml"


module brainsr:
    snakefile:
        gitfile({repository!r}, path="workflow/Snakefile", commit="HEAD")
    config:
        config


use rule * from brainsr
"""
TARGETS = {"report_index", "ro_crate", "enforce", "provenance"}


def tracked_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return listing.stdout.split("\0")[:-1]


@pytest.fixture(scope="module")
def read_only(tmp_path_factory) -> Path:
    """A copy of the checkout that nobody may write to, in a folder whose name has blanks, quotes and an umlaut."""
    checkout = tmp_path_factory.mktemp("checkout") / 'Müller\'s "new" checkout'
    for name in tracked_files():
        copy = checkout / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((CHECKOUT / name).read_bytes())
    for path in [checkout, *checkout.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return checkout


def snakemake(
    folder: Path, *arguments: str | Path, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run snakemake in a folder, without root's right to write everywhere."""
    prefix = without_privileges() if os.geteuid() == 0 else []
    command = [*prefix, "snakemake", "--cores", "1", *arguments]
    given = environment() | (variables or {})
    return subprocess.run(list(map(str, command)), cwd=folder, env=given, capture_output=True, text=True, check=False)


def test_another_workflow_uses_the_rules_of_a_read_only_checkout(read_only, tmp_path):
    folder = tmp_path / "Ärzte's study"
    make_project(folder)
    (folder / "Snakefile").write_text(ADAPTED.format(snakefile=str(read_only / "Snakefile")))
    result = snakemake(folder)
    assert result.returncode == 0, result.stderr
    size = (folder / "results/small/extracted/head-test.safetensors").stat().st_size
    assert (folder / "size.txt").read_text().split()[0] == str(size)
    planned = jobs(snakemake(folder, "--dry-run", "brainsr_all"))
    assert {f"brainsr_{rule}" for rule in TARGETS} <= set(planned)


def test_the_path_of_the_catalog_is_the_whole_workflow(tmp_path):
    arguments = ["--snakefile", CHECKOUT / "workflow/Snakefile", "--configfile", make_project(tmp_path)]
    assert set(jobs(snakemake(tmp_path, "--dry-run", *arguments))) >= {"everything", *TARGETS}


def test_a_module_read_from_a_repository_uses_the_installed_package(tmp_path):
    """As snakedeploy writes it, apart from the host."""
    make_project(tmp_path)
    (tmp_path / "Snakefile").write_text(DEPLOYED.format(repository=str(CHECKOUT)))
    result = snakemake(tmp_path, "--dry-run", variables={"PYTHONPATH": str(CHECKOUT)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(jobs(result)) >= TARGETS


def test_the_catalog_finds_its_files():
    settings = yaml.safe_load((CHECKOUT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(settings["software-stack-deployment"]) <= {"conda", "apptainer", "apptainer+conda", "report"}
    text = (CHECKOUT / "config/README.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(read_run(yaml.safe_load(example)).volumes) == 3
    named = re.findall(r"`(examples/[\w-]+\.yaml)`", text)
    assert len(named) >= 5
    assert all((CHECKOUT / name).is_file() for name in named)
    assert (CHECKOUT / "config/config.yaml").read_text() == (CHECKOUT / "config.yaml").read_text()
