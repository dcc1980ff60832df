"""Every rule's command runs in an environment of what its file names and nothing else, and fails without any of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from packaging.version import Version

from pipeline.config.known import known_sources
from tests.conda_stand_in import conda_base
from tests.environments import (
    ENVIRONMENTS,
    INDEX_NAMES,
    PLUG_INS,
    environment_file,
    packages,
    stages_with_environments,
)
from tests.helpers import CHECKOUT, synthetic_head, write_nifti
from tests.image_files import write_series
from tests.known import known_file
from tests.stacks import write_stacks
from tests.unit import test_cells, test_diagnosis, test_membranes
from tests.unit.test_ome_zarr import write_store
from tests.workflow.project import Conda, make_project, snakemake

RUN = "results/small"
NOT_MISSED = {("learning", "simpleitk"), ("learning", "imagecodecs")}
"""Imported where `brainsr apply` reads compressed DICOM or TIFF images; no rule does so."""

DECLARED = [
    (environment, name)
    for environment in ENVIRONMENTS
    for name in packages(environment_file(environment))
    if name != "python" and (environment, name) not in NOT_MISSED
]
HELP = """
import sys
from pipeline.steps.__main__ import main
for stage in sys.argv[1:]:
    try:
        main([stage, "--help"])
    except SystemExit as end:
        assert end.code == 0
"""
MODULES = "import json; from importlib.metadata import packages_distributions as p; print(json.dumps(p()))"
VERSIONS = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"


@dataclass(frozen=True)
class Call:
    """A command that ran to its end in an environment: its arguments, the modules that it imported, and its time."""

    environment: str
    arguments: list[str]
    modules: set[str]
    seconds: float


@dataclass(frozen=True)
class Bench:
    """The environments of a run, the calls that were made in them, and a folder where they can be made again.

    `installed` has, by environment and top-level module, the packages that install it.
    """

    pythons: Mapping[str, Path]
    calls: Sequence[Call]
    folder: Path
    installed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def run(self, environment: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the Python of an environment as a rule does: the checkout is found through PYTHONPATH alone."""
        command = [str(self.pythons[environment]), *map(str, arguments)]
        cached = str(self.pythons[environment].parents[1] / "compiled")
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        given = {**inherited, "PYTHONPATH": str(CHECKOUT), "PYTHONPYCACHEPREFIX": cached, **variables}
        return subprocess.run(command, cwd=self.folder, env=given, capture_output=True, text=True, check=False)

    def imports_of(self, environment: str, package: str) -> set[str]:
        """Return the top-level modules that a package of conda's installs."""
        name = _plain(INDEX_NAMES.get(package, package))
        return {module for module, owners in self.installed[environment].items() if name in map(_plain, owners)}


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def entry(name: str) -> str:
    return json.dumps({"id": name, "subject": name, "split": "test", "source": name})


def stage(name: str, /, **options: str | Path | Sequence[str]) -> list[str]:
    """Return a command of `python -m pipeline`; underscores in option names become hyphens."""
    command = [name]
    for option, values in options.items():
        command += [f"--{option.replace('_', '-')}", *([str(values)] if isinstance(values, str | Path) else values)]
    return command


def bids_app_commands(image: Path) -> list[list[str]]:
    """Return the commands of `brainsr bids` for one image, which they take for that of a data set."""
    name = {"path": image.name, "subject": "sub-1", "stem": "restored/sub-1_desc-", "suffix": "T1w"}
    data, images = json.dumps({"root": str(image.parent), "title": "heads"}), json.dumps(name)
    settings = '{"model": "bspline3", "factor": 2}'
    return [
        stage("bids_image", root=image.parent, output=".", image=images, settings=settings),
        stage("bids_page", data=data, images=images, subject="sub-1", output="sub-1.html"),
        stage("bids_methods", data=data, images=images, output="./logs/methods.md", bibtex="methods.bib"),
    ]


def further_commands(folder: Path) -> list[list[str]]:
    """Return commands of the stages, formats and settings that the finished run had no use for."""
    head, section, cells = folder / "head.nii.gz", folder / "section.ome.tif", folder / "cells.ome.zarr"
    write_nifti(head, synthetic_head((40, 44, 64)))
    slices = synthetic_head((80, 72, 4)).astype(np.uint16)
    sizes: dict[str, Any] = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(section, slices.T, ome=True, photometric="minisblack", compression="jpeg2000", metadata=sizes)
    zipped = Path(shutil.make_archive(str(cells), "zip", write_store(cells, slices.T, "zyx")))
    scan = Path(shutil.make_archive(str(folder / "scan"), "zip", write_series(folder / "scan", slices)))
    raw = folder / "raw/dataset_description.json"
    raw.parent.mkdir()
    raw.write_text('{"Name": "heads", "BIDSVersion": "1.10.0"}')
    extracted, degraded = f"{RUN}/extracted/head-test.safetensors", f"{RUN}/degraded/head-test.safetensors"
    predictions = [f"{RUN}/predictions/{method}/head-test.nii.gz" for method in ("bicubic", "rrdb_l1")]
    model = f"{RUN}/models/rrdb_l1/generator.safetensors"
    package, features = known_sources()["mni152-2009a"], known_sources()["vgg16-brain-tumor"]
    known_file("mni152-2009a")
    image = {"kind": "local", "bids": "raw", "path": "raw/sub-1/anat/sub-1_T1w.nii.gz"}
    thick = '{"direction": "through_plane", "factor": 4, "noise": "none"}'
    bids = "sub-1/anat/sub-1_desc-brainsr_T1w"
    archives = CHECKOUT / "resources/archives"
    corrected = '{"bias_correction": true}'
    stacks = folder / "stacks"
    stacks.mkdir()
    labels, label_map = (
        folder / "labels.nii.gz",
        {"id": "map", "subject": "map", "split": "train", "source": "map", "content": "labels"},
    )
    write_nifti(labels, np.digitize(synthetic_head((40, 44, 64)), [30, 100, 200]).astype(np.int16))
    several = {"id": "three", "subject": "three", "split": "test", "sources": ["axial", "coronal", "sagittal"]}
    commands = [
        stage(
            "combine",
            scans=[str(path) for path in write_stacks(stacks)],
            volume=json.dumps(several),
            settings='{"method": "least_squares"}',
            output="three.nii.gz",
            page="three.html",
        ),
        stage(
            "download", name="mni152-2009a", source=package.model_dump_json(), output="mni.nii.gz", archives=archives
        ),
        stage("extract", input=head, volume=entry("head"), settings=corrected, output="head.hr"),
        stage("synthesise", input=labels, volume=json.dumps(label_map), output="labels.hr"),
        stage("degrade", input="head.hr", output="thick.lr", settings=thick, forward_model="thick.json"),
        stage("self_supervised_pairs", lr="thick.lr", output="own"),
        stage("denoise", input=f"{RUN}/extracted/head-val.safetensors", output="denoised"),
        stage("reading_page", hr=extracted, predictions=predictions, page="study.html", key="key.json"),
        stage(
            "derivatives",
            results=RUN,
            run="small",
            method="rrdb_l1",
            entries=json.dumps({"name": bids, "volume": "head-test", "source": image, "link": "raw"}),
            links='{"raw": "raw"}',
            output="bids",
        ),
        *bids_app_commands(head),
        stage(
            "convert_vgg", weights=known_file("vgg16-brain-tumor"), source=features.model_dump_json(), output="features"
        ),
        stage(
            "mismatch",
            hr=extracted,
            lr=degraded,
            models=model,
            names="one",
            output="m.csv",
            figure="m.png",
            device="cpu",
        ),
        test_diagnosis.command(folder / "classes"),
        test_membranes.command(folder),
        test_cells.command(folder),
    ]
    for name, source, kind in (
        ("section", section, "tiff"),
        ("cells", zipped, "ome_zarr"),
        ("scan", scan, "dicom"),
    ):
        commands += [
            stage("extract", input=source, volume=entry(name), output=f"{name}.hr", format=kind),
            stage("degrade", input=f"{name}.hr", output=f"{name}.lr", forward_model=f"{name}.json"),
            stage("infer", model=model, lr=f"{name}.lr", output="restored", device="cpu"),
        ]
    return commands


@pytest.fixture(scope="module")
def bench(finished, conda, tmp_path_factory) -> Bench:
    """All commands of the finished run, and further ones that run in a copy of it."""
    folder = tmp_path_factory.mktemp("bench") / "copy"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".snakemake"))
    pythons = {}
    for path in conda.prefix.glob("*.yaml"):
        names = [name for name in ENVIRONMENTS if environment_file(name).read_bytes() == path.read_bytes()]
        pythons |= dict.fromkeys(names, path.with_suffix("") / "bin/python")
    further = tmp_path_factory.mktemp("imports") / "further.jsonl"
    made = Bench(pythons, [], folder)
    for command in further_commands(folder):
        environment = stages_with_environments()[command[0]]
        result = made.run(environment, "-m", "pipeline.steps", *command, WATCH_IMPORTS=str(further))
        assert result.returncode == 0, f"{command}: {result.stderr}"
    named = {str(python.parents[1]): name for name, python in pythons.items()}
    installed = {name: json.loads(made.run(name, "-c", MODULES).stdout) for name in pythons}
    calls = [_call(line, named) for path in (conda.watch, further) for line in _lines(path)]
    return replace(made, calls=calls, installed=installed)


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["arguments"][:1] and line["arguments"][0] in stages_with_environments()]


def _call(line: Mapping[str, Any], named: Mapping[str, str]) -> Call:
    return Call(named[line["python"]], line["arguments"], set(line["modules"]), line["seconds"])


def test_every_stage_ran_in_its_own_environment(bench):
    ran = {(call.arguments[0], call.environment) for call in bench.calls}
    assert ran == {**stages_with_environments(), "evaluate": "imaging"}.items(), "no metric of this run needs torch"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_stage_explains_itself_in_its_environment(bench, environment):
    stages = sorted(stage for stage, name in stages_with_environments().items() if name == environment)
    result = bench.run(environment, "-c", HELP, *stages)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Usage: python -m pipeline.steps ") == len(stages)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_closed(bench, environment):
    """Neither snakemake nor the tests' own packages can be imported in it."""
    result = bench.run(environment, "-c", "import pytest")
    assert "No module named 'pytest'" in result.stderr
    result = bench.run(environment, "-c", "import snakemake")
    assert "No module named 'snakemake'" in result.stderr


@pytest.mark.parametrize(("environment", "package"), DECLARED)
def test_without_one_package_a_command_fails(bench, environment, package):
    """Commands that imported the package are run again without it, quick ones first: other packages may do without.

    What is said where a plug-in is missing is up to the package that imports it.
    """
    modules = bench.imports_of(environment, package)
    of_environment = [call for call in bench.calls if call.environment == environment and call.modules & modules]
    # The files of process substitutions are gone.
    using = [call for call in of_environment if not any("/dev/fd/" in word for word in call.arguments)]
    for call in sorted(using, key=lambda one: one.seconds):
        result = bench.run(environment, "-m", "pipeline.steps", *call.arguments, REFUSE_IMPORTS=",".join(modules))
        if result.returncode != 0:
            assert "No module named" in result.stderr or package in PLUG_INS
            return
    pytest.fail(f"no command of {environment}.yaml needs {package}")


def test_a_container_can_be_made_of_both_environments(conda, tmp_path):
    result = snakemake(tmp_path, "--containerize", conda=conda)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("FROM ")
    for name in ENVIRONMENTS:
        assert re.search(rf"^COPY .*envs/{name}\.yaml ", result.stdout, re.MULTILINE)
    assert result.stdout.count("conda env create") == 2


@pytest.mark.long
def test_the_workflow_runs_with_the_lowest_versions_that_the_environments_allow(tmp_path):
    conda = Conda(conda_base(tmp_path / "base", lowest=True), tmp_path / "environments", tmp_path / "imports.jsonl")
    result = snakemake(tmp_path, "--configfile", make_project(tmp_path), conda=conda)
    assert result.returncode == 0, result.stderr
    for path in conda.prefix.glob("*.yaml"):
        python = path.with_suffix("") / "bin/python"
        answer = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True)
        ran_with = {_plain(name): Version(version) for name, version in json.loads(answer.stdout).items()}
        for name, versions in packages(path).items():
            if name not in ("python", "pytorch"):
                (lowest,) = (Version(one.version) for one in versions if one.operator == ">=")
                found = ran_with[_plain(INDEX_NAMES.get(name, name))]
                assert found.release[: len(lowest.release)] == lowest.release, name
