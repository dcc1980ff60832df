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
    room = "pipeline.image.formats"
    modules = [plugins.load(room, name) for name in plugins.names(room)]
    for module in modules:
        if path.name.lower().endswith(module.SUFFIXES):
            return module
    known = ", ".join(suffix for module in modules for suffix in module.SUFFIXES)
    raise UserError(f"{path}: this format is unknown; known are {known}.")
