"""Plug-ins are modules: a file in a plug-in package is known by its own name, and nothing else lists it.

Names are found without importing anything, so that a configuration can be checked where numpy is absent.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UserError

MAX_LISTED = 30
"""Maximum number of names that a message lists to choose from."""


def names(package: str) -> list[str]:
    """Return the names of all plug-ins of `package` (such as "pipeline.metrics"), sorted."""
    paths = importlib.import_module(package).__path__
    found = pkgutil.iter_modules(paths)
    return sorted(module.name for module in found if not module.name.startswith("_") and not module.ispkg)


def constant(package: str, name: str, wanted: str, default: Any = None) -> Any:
    """Return the literal that a plug-in sets a constant of its module to; its source is parsed, never run."""
    paths = importlib.import_module(package).__path__
    source = next(path for path in (Path(folder) / f"{name}.py" for folder in paths) if path.is_file())
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and wanted in (ast.unparse(target) for target in node.targets):
            return ast.literal_eval(node.value)
    return default


def load(package: str, name: str) -> ModuleType:
    """Import the plug-in `name` of `package`.

    Raises:
        UserError: no such plug-in; the message names the nearest one.
    """
    known = names(package)
    if name not in known:
        raise UserError(f"no {package.rsplit('.', 1)[-1]} called {name!r}; {suggest(name, known)}.")
    return importlib.import_module(f"{package}.{name}")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return which of `known` is nearest to `name`, or lists them."""
    options = list(known)
    if not options:
        return "there is none"
    nearest = difflib.get_close_matches(name, options, n=1)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    rest = len(options) - MAX_LISTED
    more = f" and {rest} more" if rest > 0 else ""
    return f"choose one of {', '.join(options[:MAX_LISTED])}{more}"
