"""The conda environments hold what the stages import, and the versions of the lock file."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.code_version import PACKAGE_FOLDER, WITHOUT_EFFECT, _dependencies, _files_of
from tests.helpers import CHECKOUT

CONDA_NAMES = {
    "PIL": "pillow",
    "SimpleITK": "simpleitk",
    "google": "onnx",
    "matplotlib": "matplotlib-base",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "pypi_simple": "pypi-simple",
    "skimage": "scikit-image",
    "torch": "pytorch",
    "urllib3": "requests",
    "yaml": "pyyaml",
}
"""Packages that conda knows by another name than Python, or that always come with another one."""

INDEX_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
"""Packages that the package index knows by another name than conda."""


def stages_with_environments() -> dict[str, str]:
    """Returns the environment of every stage, from the rules that call it."""
    found: dict[str, str] = {}
    for rules in (CHECKOUT / "workflow/rules").glob("*.smk"):
        for rule in f"\n{rules.read_text()}".split("\nrule ")[1:]:
            environment = re.search(r"envs/(\w+)\.yaml", rule)
            stage = re.search(r"python -m (?:\{resources.launch\} )?pipeline (\w+)", rule)
            if environment and stage:
                found[stage.group(1)] = environment.group(1)
    return found


def packages(environment: str) -> dict[str, str]:
    """Returns names and versions of an environment file."""
    entries = yaml.safe_load((CHECKOUT / f"envs/{environment}.yaml").read_text())["dependencies"]
    return dict(entry.split("=") for entry in entries)


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


@pytest.mark.parametrize(("stage", "environment"), sorted(stages_with_environments().items()))
def test_an_environment_holds_all_that_its_stages_import(stage, environment):
    missing = imported_packages(modules_of(stage)) - set(packages(environment))
    assert missing == set()


@pytest.mark.parametrize("environment", sorted(set(stages_with_environments().values())))
def test_an_environment_holds_nothing_that_no_stage_imports(environment):
    stages = [stage for stage, name in stages_with_environments().items() if name == environment]
    needed = set().union(*(imported_packages(modules_of(stage)) for stage in stages))
    assert set(packages(environment)) - needed == {"python"}


@pytest.mark.parametrize("environment", ["imaging", "learning"])
def test_versions_agree_with_the_lock_file(environment):
    lock = (CHECKOUT / "requirements/run.lock").read_text().lower()
    torch = re.search(r"TORCH_VERSION := (\S+)", (CHECKOUT / "Makefile").read_text())
    assert torch
    for name, version in packages(environment).items():
        if name == "python":
            continue
        index_name = INDEX_NAMES.get(name, name)
        locked = torch.group(1) == version if index_name == "torch" else f"{index_name}=={version} " in lock
        assert locked, f"{name} {version}"
