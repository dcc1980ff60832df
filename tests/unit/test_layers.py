"""The rooms of the package import downwards: design.md, section 2."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from pipeline.code_version import PACKAGE_FOLDER

LAYERS = (
    {"tables", "config"},
    {"image", "physics", "sources", "formats"},
    {"baselines", "models", "metrics", "statistics"},
    {"training", "inference"},
    {"fidelity", "provenance"},
    {"reporting"},
)
"""Each room imports from its own layer and those before it."""
PROGRAMS = {"commands", "steps"}
"""Import any room; nothing imports them."""
TOP = {"code_version", "console", "errors", "files", "plugins"}
"""Modules at the top of the package, shared by all rooms."""

UPWARD: set[tuple[str, str]] = set()
"""Modules that still import from a later layer, with the room; to be emptied."""


def imports() -> Iterator[tuple[str, str]]:
    """Yield every module below a room with the room, or module at the top, that it imports."""
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


def layer(room: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


def rooms_only() -> Iterator[tuple[str, str, str]]:
    """Yield module, its room and the imported room, of all imports between different rooms."""
    known = set().union(*LAYERS)
    for module, imported in imports():
        room = Path(module).parts[0]
        if room in known and imported in known and imported != room:
            yield module, room, imported


def test_every_room_has_a_layer():
    rooms = {path.parent.name for path in PACKAGE_FOLDER.glob("*/__init__.py")}
    assert rooms == set().union(*LAYERS) | PROGRAMS
    modules = {path.stem for path in PACKAGE_FOLDER.glob("*.py")} - {"__init__", "__main__"}
    assert modules == TOP


def test_nothing_imports_a_command_or_a_step():
    found = {(module, imported) for module, imported in imports() if imported in PROGRAMS}
    assert {one for one in found if Path(one[0]).parts[0] != one[1]} == set()


def test_a_command_or_step_imports_none_of_its_kind():
    """But for what they share, in modules whose names begin with an underscore."""
    for folder in PROGRAMS:
        for path in (PACKAGE_FOLDER / folder).glob("[a-z]*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"pipeline.{folder}"):
                    assert node.module.split(".")[-1].startswith("_"), path


def test_rooms_import_downwards():
    assert {(module, imported) for module, room, imported in rooms_only() if layer(imported) > layer(room)} == UPWARD


def test_rooms_of_one_layer_form_no_circle():
    edges = {(room, imported) for _, room, imported in rooms_only() if layer(room) == layer(imported)}
    for rooms in LAYERS:
        order = TopologicalSorter({room: {end for start, end in edges if start == room} for room in rooms})
        order.prepare()  # raises CycleError, which names the rooms
