"""What code a stage depends on: a hash of every module of this package that it can reach by imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
WITHOUT_EFFECT = PACKAGE_FOLDER / "config"
"""Code of the configuration: rules pass complete settings to their steps, so results depend on the settings alone."""
BIDS = WITHOUT_EFFECT / "bids"
"""The exception: steps that write derivatives use it."""


@cache
def code_version(module: str) -> str:
    """Return 16 hexadecimal digits that change when `module`, or anything of `pipeline` it imports, changes.

    The source is parsed, never run. A package that is named in a string ("pipeline.metrics") is taken with all its
    modules, since plug-ins are found by name; one that is only imported from is not.

    Args:
        module: dotted name inside this package, such as "pipeline.steps.extract".
    """
    digest = hashlib.sha256()
    for path in sorted(_reachable(module)):
        digest.update(path.relative_to(PACKAGE_FOLDER).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def files_version(folder: Path) -> str:
    """Return 16 hexadecimal digits that change when any file below `folder` changes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _reachable(module: str) -> set[Path]:
    seen: set[Path] = set()
    waiting = _files_of(module)
    while waiting:
        path = waiting.pop()
        if path not in seen and (path.is_relative_to(BIDS) or not path.is_relative_to(WITHOUT_EFFECT)):
            seen.add(path)
            waiting.extend(_dependencies(path))
    return seen


@cache
def _dependencies(path: Path) -> tuple[Path, ...]:
    """The files that a source file imports, and all plug-ins of the packages that it names in strings."""
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.extend(file for alias in node.names for file in _files_of(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found.extend(file for name in names for file in _files_of(name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.extend(_plugins_of(node.value))
    return tuple(found)


def _files_of(module: str) -> list[Path]:
    """The file behind a dotted name, none where it is no module of this package; a package's is its __init__."""
    parts = module.split(".")
    if parts[0] != PACKAGE_FOLDER.name or len(parts) == 1:
        return []
    base = PACKAGE_FOLDER.joinpath(*parts[1:])
    return [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]


def _plugins_of(text: str) -> list[Path]:
    """All modules of the package that a string names, none where it names no package."""
    parts = text.split(".")
    if parts[0] != PACKAGE_FOLDER.name or len(parts) == 1 or not all(part.isidentifier() for part in parts):
        return []
    return sorted(PACKAGE_FOLDER.joinpath(*parts[1:]).glob("*.py"))
