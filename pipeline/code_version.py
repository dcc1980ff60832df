"""What code a stage depends on: a hash of every module of this package that it can reach by imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parent


def code_version(module: str) -> str:
    """Returns 16 hexadecimal digits that change when `module`, or anything of `pipeline` it imports, changes.

    The source is parsed, never run. A package is taken with all its modules, since plug-ins are found by name.

    Args:
        module: dotted name inside this package, such as "pipeline.extract".
    """
    digest = hashlib.sha256()
    for path in sorted(_reachable(module)):
        digest.update(path.relative_to(PACKAGE_FOLDER).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _reachable(module: str) -> set[Path]:
    seen: set[Path] = set()
    waiting = list(_files_of(module))
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting.extend(file for name in _imports(path) for file in _files_of(name))
    return seen


@cache
def _files_of(module: str) -> tuple[Path, ...]:
    """The files behind a dotted name: a module's own, or all of a package's; none for a name inside a module."""
    parts = module.split(".")
    if parts[0] != PACKAGE_FOLDER.name or len(parts) == 1:
        return ()
    base = PACKAGE_FOLDER.joinpath(*parts[1:])
    if base.with_suffix(".py").is_file():
        return (base.with_suffix(".py"),)
    return tuple(sorted(base.glob("*.py"))) if base.is_dir() else ()


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """All dotted names that a source file imports, or names in a string as a plug-in package ("pipeline.metrics")."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found.extend(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("pipeline."):
            found.append(node.value)
    return tuple(found)
