"""The conda environments hold what the stages import, and the versions of the lock file."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from pipeline.code_version import PACKAGE_FOLDER, WITHOUT_EFFECT, _dependencies, _files_of
from tests.environments import (
    CONDA_NAMES,
    INDEX_NAMES,
    LOCK,
    environment_file,
    packages,
    stages_with_environments,
)
from tests.helpers import CHECKOUT


def modules_of(stage: str) -> set[Path]:
    """Returns every file of the package that a stage can reach, the configuration's included."""
    seen: set[Path] = set()
    waiting = [PACKAGE_FOLDER / "__main__.py", *_files_of(f"pipeline.{stage}")]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            # The configuration names plug-ins without importing them.
            found = _dependencies(path)
            rooms = {
                "backends",
                "formats",
                "upsamplers",
                "losses",
                "metrics",
                "operators",
                "noise",
                "adversarial",
                "discriminators",
                "generators",
            }
            named = WITHOUT_EFFECT in path.parents
            waiting.extend(file for file in found if not (named and file.parent.name in rooms))
    return seen


def imported_packages(paths: set[Path]) -> set[str]:
    """Returns the conda names of all packages outside the standard library that the files import."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return {CONDA_NAMES.get(name, name) for name in names - set(sys.stdlib_module_names) - {"pipeline"}}


OPTIONAL = {"onnxruntime"}
"""Used by those who ask for it and have it."""


@pytest.mark.parametrize(("stage", "environment"), sorted(stages_with_environments().items()))
def test_an_environment_holds_all_that_its_stages_import(stage, environment):
    missing = imported_packages(modules_of(stage)) - set(packages(environment_file(environment))) - OPTIONAL
    assert missing == set()


@pytest.mark.parametrize("environment", sorted(set(stages_with_environments().values())))
def test_an_environment_holds_nothing_that_no_stage_imports(environment):
    stages = [stage for stage, name in stages_with_environments().items() if name == environment]
    needed = set().union(*(imported_packages(modules_of(stage)) for stage in stages))
    assert set(packages(environment_file(environment))) - needed == {"python"}


@pytest.mark.parametrize("environment", ["imaging", "learning"])
def test_versions_agree_with_the_lock_file(environment):
    lock = LOCK.read_text().lower()
    torch = re.search(r"TORCH_VERSION := (\S+)", (CHECKOUT / "Makefile").read_text())
    assert torch
    for name, version in packages(environment_file(environment)).items():
        if name == "python":
            continue
        index_name = INDEX_NAMES.get(name, name)
        locked = torch.group(1) == version if index_name == "torch" else f"{index_name}=={version} " in lock
        assert locked, f"{name} {version}"
