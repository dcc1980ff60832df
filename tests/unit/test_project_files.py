"""Files that other programs read about the project: citation, changelog, continuous integration."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from pipeline import __version__
from tests.helpers import CHECKOUT

WORKFLOWS = sorted((CHECKOUT / ".github/workflows").glob("*.yml"))
SCHEMAS = {"CITATION.cff": "citation-file-format"} | {
    str(path.relative_to(CHECKOUT)): "github-workflows" for path in WORKFLOWS
}


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_a_file_follows_its_schema(name, schema):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", CHECKOUT / name]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_citation_and_changelog_describe_this_version():
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    releases = re.findall(r"^## \[([\d.]+)\] - ([\d-]+)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == __version__
    assert releases[0] == (__version__, str(citation["date-released"]))
    assert releases == sorted(releases, key=lambda one: one[1], reverse=True)


def test_continuous_integration_calls_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values()]
    called = [re.findall(r"\bmake ([a-z-]+)", " ".join(step.get("run", "") for step in job["steps"])) for job in jobs]
    assert all(called)
    assert (
        {"lint", "test", "test-slurm"} <= {target for targets_of_job in called for target in targets_of_job} <= targets
    )
