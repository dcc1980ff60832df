"""File formats. Each module offers SUFFIXES, `read(path)` and `write(path, image)`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pipeline import plugins
from pipeline.errors import UserError


def format_of(path: Path) -> ModuleType:
    """Returns the module whose SUFFIXES fit a file's name.

    Raises:
        UserError: no format fits.
    """
    modules = [plugins.load(__name__, name) for name in plugins.names(__name__)]
    for module in modules:
        if path.name.lower().endswith(module.SUFFIXES):
            return module
    known = ", ".join(suffix for module in modules for suffix in module.SUFFIXES)
    raise UserError(f"{path}: this format is unknown; known are {known}.")
