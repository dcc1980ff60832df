"""Test that packages import only packages of the same or an earlier layer, without cycles: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from pipeline.code_version import PACKAGE_FOLDER

LAYERS = (
    {"tables", "config"},
    {"image"},
    {"physics", "sources", "formats"},
    {"baselines", "models", "metrics", "statistics"},
    {"training", "inference"},
    {"fidelity", "provenance"},
    {"reporting"},
)
"""Each package imports only packages of its own layer and of those before it."""
PROGRAMS = {"commands", "steps"}
"""Import any package; nothing imports them."""
TOP = {"code_version", "console", "errors", "files", "plugins"}
"""Modules at the top of the package, shared by all packages."""

UPWARD: set[tuple[str, str]] = set()
"""Modules that still import from a later layer, with the package; to be emptied."""


def imports() -> Iterator[tuple[str, str]]:
    """Yield each module with the package, or module at the top, that it imports, for every import."""
    for path in sorted(PACKAGE_FOLDER.rglob("*.py")):
        module = path.relative_to(PACKAGE_FOLDER).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == PACKAGE_FOLDER.name and len(parts) > 1:
                    yield module, parts[1]


def layer(package: str) -> int:
    return next(number for number, packages in enumerate(LAYERS) if package in packages)


def between_packages() -> Iterator[tuple[str, str, str]]:
    """Yield module, its package and the imported package, of all imports between different packages."""
    known = set().union(*LAYERS)
    for module, imported in imports():
        package = Path(module).parts[0]
        if package in known and imported in known and imported != package:
            yield module, package, imported


def test_every_package_has_a_layer():
    packages = {path.parent.name for path in PACKAGE_FOLDER.glob("*/__init__.py")}
    assert packages == set().union(*LAYERS) | PROGRAMS
    modules = {path.stem for path in PACKAGE_FOLDER.glob("*.py")} - {"__init__", "__main__"}
    assert modules == TOP


def test_nothing_imports_a_command_or_a_step():
    found = {(module, imported) for module, imported in imports() if imported in PROGRAMS}
    assert {one for one in found if Path(one[0]).parts[0] != one[1]} == set()


def test_a_command_or_step_imports_none_of_its_kind():
    """Except for shared modules, whose names begin with an underscore."""
    for folder in PROGRAMS:
        for path in (PACKAGE_FOLDER / folder).glob("[a-z]*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"pipeline.{folder}"):
                    assert node.module.split(".")[-1].startswith("_"), path


def test_packages_import_downwards():
    upward = {(module, imported) for module, one, imported in between_packages() if layer(imported) > layer(one)}
    assert upward == UPWARD


def test_packages_of_one_layer_form_no_cycle():
    edges = {(package, imported) for _, package, imported in between_packages() if layer(package) == layer(imported)}
    for packages in LAYERS:
        order = TopologicalSorter({package: {end for start, end in edges if start == package} for package in packages})
        order.prepare()  # raises CycleError, which names the packages
