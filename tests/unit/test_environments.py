"""The conda environments hold what the stages import, in the ranges of the requirements; the locks keep to them."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.code_version import HASHED, PACKAGE_FOLDER, WITHOUT_EFFECT, _dependencies, _files_of
from tests.environments import (
    CONDA_NAMES,
    ENVIRONMENTS,
    INDEX_NAMES,
    PLUG_INS,
    REQUIREMENTS,
    environment_file,
    locked_requirements,
    packages,
    ranges,
    stages_with_environments,
)
from tests.helpers import CHECKOUT

CALLED = PACKAGE_FOLDER / "baselines/_model_based.py"
"""Imports PyTorch where it is called; other stages than these need the titles of its methods only."""
CALLING = {"tune", "interpolate", "insert_structures", "mismatch"}


def modules_of(stage: str) -> set[Path]:
    """Return every file of the package that a stage can reach, the configuration's included."""
    seen: set[Path] = set()
    waiting = [PACKAGE_FOLDER / "steps/__main__.py", *_files_of(f"pipeline.steps.{stage}")]
    while waiting:
        path = waiting.pop()
        if path not in seen and (path != CALLED or stage in CALLING):
            seen.add(path)
            # The configuration names plug-ins without importing them.
            found = _dependencies(path)
            plug_ins = {
                "backends",
                "formats",
                "baselines",
                "losses",
                "metrics",
                "operators",
                "noise",
                "adversarial",
                "discriminators",
                "generators",
            }
            named = WITHOUT_EFFECT in path.parents and path not in HASHED
            waiting.extend(file for file in found if not (named and file.parent.name in plug_ins))
    return seen


def needed_packages(paths: set[Path]) -> set[str]:
    """Return the conda names of all packages outside the standard library that files import, and their plug-ins."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    found = {CONDA_NAMES.get(name, name) for name in names - set(sys.stdlib_module_names) - {"pipeline"}}
    return found | {plug_in for plug_in, package in PLUG_INS.items() if package in found}


OPTIONAL = {"onnxruntime", *ranges("optional")}
"""Used where they are installed: no stage may need them."""


@pytest.mark.parametrize(("stage", "environment"), sorted(stages_with_environments().items()))
def test_an_environment_holds_all_that_its_stages_import(stage, environment):
    missing = needed_packages(modules_of(stage)) - set(packages(environment_file(environment))) - OPTIONAL
    assert missing == set()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_holds_nothing_that_no_stage_imports(environment):
    stages = [stage for stage, name in stages_with_environments().items() if name == environment]
    needed = set().union(*(needed_packages(modules_of(stage)) for stage in stages))
    assert set(packages(environment_file(environment))) - (needed - OPTIONAL) == {"python"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_the_ranges_of_the_requirements(environment):
    given = packages(environment_file(environment))
    assert str(given.pop("python")) == "==3.12.*"
    stated = ranges()
    assert given == {name: stated[INDEX_NAMES.get(name, name)] for name in given}
    bounds = {name: sorted(one.operator for one in versions) for name, versions in given.items()}
    assert bounds == {name: ["<", ">="] for name in given}, "no single release, and none that nobody has seen"


def test_locked_versions_lie_in_the_ranges():
    torch = re.search(r"TORCH_VERSION := (\S+)", (CHECKOUT / "Makefile").read_text())
    assert torch
    locked = [*map(Requirement, locked_requirements()), Requirement(f"torch=={torch.group(1)}")]
    stated = ranges() | ranges("optional")
    assert stated.keys() <= {one.name for one in locked}
    for one in locked:
        (version,) = one.specifier
        assert version.version in stated.get(one.name, one.specifier), one


@pytest.mark.parametrize("name", ["run", "dev", "docs"])
def test_a_lock_file_names_no_host(name):
    assert "://" not in (REQUIREMENTS / f"{name}.lock").read_text()


def test_names_that_differ_are_those_of_one_package():
    """A module is one of the package that conda's name stands for, or of a package that this one always brings."""
    owners = metadata.packages_distributions()
    for module, conda_name in CONDA_NAMES.items():
        package = INDEX_NAMES.get(conda_name, conda_name)
        brought = [Requirement(text) for text in metadata.requires(package) or []]
        expected = {package, *(canonicalize_name(one.name) for one in brought if one.marker is None)}
        assert expected & set(map(canonicalize_name, owners[module])), module
        assert package in ranges()
