"""Hashes of the code that a step depends on, so that a changed step is run again."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parent
WITHOUT_EFFECT = PACKAGE_FOLDER / "config"
"""Not hashed: rules pass complete settings to their steps, so a change here matters only if it changes a setting."""
HASHED = tuple(WITHOUT_EFFECT / name for name in ("bids", "families.py", "length_units.py", "parameters.py"))
"""Exceptions, on which steps depend directly."""


@cache
def code_version(module: str) -> str:
    """Return 16 hexadecimal digits that change with the source of `module` or of any module of `pipeline` it imports.

    The source is parsed, not executed. A package named in a string ("pipeline.metrics") counts with all its modules,
    because plug-ins are found by name; a package that is only imported from counts with its `__init__` alone.

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
    """Return 16 hexadecimal digits that change with any file below `folder`."""
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
        if path not in seen and (any(map(path.is_relative_to, HASHED)) or not path.is_relative_to(WITHOUT_EFFECT)):
            seen.add(path)
            waiting.extend(_dependencies(path))
    return seen


@cache
def _dependencies(path: Path) -> tuple[Path, ...]:
    """Return the files that a source file imports, and all modules of the packages that it names in strings."""
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
    """Return the source of a module, or the `__init__` of a package; nothing for names outside `pipeline`."""
    parts = module.split(".")
    if parts[0] != PACKAGE_FOLDER.name or len(parts) == 1:
        return []
    base = PACKAGE_FOLDER.joinpath(*parts[1:])
    return [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]


def _plugins_of(text: str) -> list[Path]:
    """Return all modules of the package that a string names, if it names one."""
    parts = text.split(".")
    if parts[0] != PACKAGE_FOLDER.name or len(parts) == 1 or not all(part.isidentifier() for part in parts):
        return []
    return sorted(PACKAGE_FOLDER.joinpath(*parts[1:]).glob("*.py"))
