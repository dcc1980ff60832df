"""Plug-ins are modules: a file in a plug-in package is known by its own name, and nothing else lists it.

Names are found without importing anything, so that a configuration can be checked where numpy is absent.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from pipeline.errors import UserError


def names(package: str) -> list[str]:
    """Returns the names of all plug-ins of `package` (such as "pipeline.metrics"), sorted."""
    paths = importlib.import_module(package).__path__
    return sorted(module.name for module in pkgutil.iter_modules(paths) if not module.name.startswith("_"))


def load(package: str, name: str) -> ModuleType:
    """Imports the plug-in `name` of `package`.

    Raises:
        UserError: no such plug-in; the message names the nearest one.
    """
    known = names(package)
    if name not in known:
        raise UserError(f"no {package.rsplit('.', 1)[-1]} called {name!r}; {suggest(name, known)}.")
    return importlib.import_module(f"{package}.{name}")


def suggest(name: str, known: Iterable[str]) -> str:
    """Says which of `known` is nearest to `name`, or lists them all."""
    options = list(known)
    nearest = difflib.get_close_matches(name, options, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(options)}"
