"""The RO-Crate of a finished run: judged by the validator of the community, and by the files that it names."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.conda_stand_in import uv
from tests.helpers import CHECKOUT

CRATE = "ro-crate-metadata.json"
VALIDATOR = ("roc-validator==0.13.0", "rocrate==0.16.0")


@pytest.fixture
def results(finished) -> Path:
    return finished / "results/small"


@pytest.fixture
def graph(results) -> dict[str, Any]:
    return {entity["@id"]: entity for entity in json.loads((results / CRATE).read_text())["@graph"]}


@pytest.fixture(scope="module")
def validator(tmp_path_factory) -> Path:
    """The Python of an environment that holds the validator: it cannot share one with the tests' newer packages."""
    folder = tmp_path_factory.mktemp("validator")
    uv("venv", folder)
    uv("pip", "install", "--python", folder / "bin/python", *VALIDATOR)
    return folder / "bin/python"


def test_the_crate_is_valid_and_a_damaged_one_is_not(results, validator, tmp_path):
    # The validator takes a blank in the path of a crate for a mistake of the crate.
    whole = shutil.copytree(results, tmp_path / "whole")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    content = json.loads((results / CRATE).read_text())
    root = next(entity for entity in content["@graph"] if entity["@id"] == "./")
    del root["datePublished"]
    root["hasPart"] = [{"@id": "provenance.json"}]
    (damaged / CRATE).write_text(json.dumps(content))
    command = [validator, CHECKOUT / "tests/validate_crate.py", tmp_path / "cache.sqlite", "process-run-crate"]
    done = subprocess.run([*map(str, command), str(whole), str(damaged)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    good, bad = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert good == []
    assert any("datePublished" in message for message in bad)


def test_checksums_and_sizes_are_those_of_the_files(results, graph):
    files = {unquote(name): entity for name, entity in graph.items() if entity["@type"] == "File"}
    assert {"config.json", "sr/head-test.nii.gz", "metrics/summary.csv", "reports/index.html"} <= set(files)
    assert "models/rrdb_l1/generator.safetensors" in files
    for name, entity in files.items():
        content = (results / name).read_bytes()
        assert int(entity["contentSize"]) == len(content)
        if not name.startswith("reports/"):
            assert entity["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_crate_names_data_code_and_configuration(results, graph):
    run = graph["#run"]
    assert {"@id": "config.json"} in run["object"] and {"@id": "#source-one"} in run["object"]
    assert graph["#source-one"]["name"] == "a cut of an average head"
    record = json.loads((results / "provenance.json").read_text())
    assert graph["#package-numpy"]["softwareVersion"] == record["packages"]["numpy"]
    assert graph["#package-snakemake"]["softwareVersion"].startswith("9.")
    assert json.loads((results / "config.json").read_text())["run"] == "small"
