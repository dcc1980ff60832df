"""The conda environments: what their files name, and how conda, the package index and Python call it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.helpers import CHECKOUT

REQUIREMENTS = CHECKOUT / "requirements"
LOCK = REQUIREMENTS / "run.lock"
ENVIRONMENTS = ("imaging", "learning")

CONDA_NAMES = {
    "PIL": "pillow",
    "SimpleITK": "simpleitk",
    "cc3d": "connected-components-3d",
    "fill_voids": "fill-voids",
    "google": "onnx",
    "matplotlib": "matplotlib-base",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "pypi_simple": "pypi-simple",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "urllib3": "requests",
    "yaml": "pyyaml",
}
"""Modules that conda knows by another name than Python, or that always come with another package."""

INDEX_NAMES = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
"""Packages that the package index knows by another name than conda."""

PLUG_INS = {"imagecodecs": "tifffile"}
"""Packages that another package imports for some files, and that BrainSR itself does not import."""


def packages(path: Path) -> dict[str, SpecifierSet]:
    """Return the packages of an environment file by conda's names, with their ranges; Python is one of them.

    A single equals sign, as in python=3.12, stands for all releases that begin with what follows, as conda reads it.
    """
    found = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]:
        name, versions = re.fullmatch(r"([a-z0-9._-]+)(.*)", entry).groups()  # pyright: ignore[reportOptionalMemberAccess]
        found[name] = SpecifierSet(re.sub(r"^=([\d.]+)$", r"==\1.*", versions))
    return found


def ranges(name: str = "run") -> dict[str, SpecifierSet]:
    """Return the ranges that requirements/NAME.in states itself, by the package index's names."""
    lines = (REQUIREMENTS / f"{name}.in").read_text(encoding="utf-8").splitlines()
    stated = [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]
    return {canonicalize_name(one.name): one.specifier for one in stated}


def environment_file(name: str) -> Path:
    """Return the file of an environment."""
    return CHECKOUT / f"envs/{name}.yaml"


def locked_requirements() -> list[str]:
    """Return what run.lock allows, such as "numpy==2.4.6 ; python_full_version < '3.12'", without its hashes."""
    found = re.findall(r"^[A-Za-z0-9][^\\\n]*", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return [line.strip() for line in found]


def locked_names() -> set[str]:
    """Return the names of all locked packages."""
    return {line.partition("==")[0] for line in locked_requirements()}


def stages_with_environments() -> dict[str, str]:
    """Return the environment of every stage, from the rules that call it."""
    found: dict[str, str] = {}
    for rules in (CHECKOUT / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^ *rule\b", rules.read_text(), flags=re.MULTILINE)[1:]:
            environment = re.search(r"envs/(\w+)\.yaml", rule)
            stage = re.search(r"python -m (?:\{resources.launch\} )?pipeline.steps (\w+)", rule)
            if environment and stage:
                found[stage.group(1)] = environment.group(1)
    return found
