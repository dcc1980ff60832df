"""Sidecars of images in the Brain Imaging Data Structure, with the principle of inheritance.

A sidecar applies to all images below its folder that have its suffix and all its entities. Values of sidecars nearer to
the image take precedence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config.bids.names import parse, parse_stem
from pipeline.errors import UserError

MICROMETRES = {"mm": 1000.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 0.001}
"""Micrometres per unit of PixelSizeUnits; the standard is um, but existing files use both micro signs as well."""
PLANE_AXES, SPACE_AXES = 2, 3
DATA_SET = "dataset_description.json"
"""File in the folder of every BIDS data set."""


def sidecars_of(root: str, path: str) -> list[str]:
    """Return the sidecars that apply to an image, the farthest first.

    Args:
        root: folder of the data set.
        path: path of the image, relative to `root`, with forward slashes.
    """
    return list(_sidecars_of(root, path))


def _sidecars_of(root: str, path: str) -> list[str]:
    name = parse(PurePosixPath(path).name)
    folders = [folder.as_posix() for folder in reversed(PurePosixPath(path).parents)]
    found: list[str] = []
    for folder in folders:
        place = root if folder == "." else f"{root}/{folder}"
        fitting = [
            (len(entities), file)
            for file, entities, suffix in _json_files(place)
            if suffix == name.suffix and entities.items() <= name.entities.items()
        ]
        found.extend(f"{place}/{file}" for _, file in sorted(fitting))
    return found


def sidecars_of_file(path: str | Path) -> list[str]:
    """Return the sidecars that apply to a NIfTI file, the farthest first.

    They are the JSON file of the same name and, in a BIDS data set, those that the file inherits. The data set is the
    nearest folder above the file with a dataset_description.json.
    """
    name = str(path)[:-3] if str(path).lower().endswith(".gz") else str(path)
    own, whole = Path(name).with_suffix(".json"), Path(os.path.abspath(path))  # noqa: PTH100 (keeps DataLad's links)
    root = next((folder for folder in whole.parents if (folder / DATA_SET).is_file()), None)
    try:
        found = sidecars_of(root.as_posix(), whole.relative_to(root).as_posix()) if root else []
    except ValueError:
        found = []  # the file has no BIDS name
    inherited = [one for one in found if one != str(whole.with_name(own.name))]
    return [*inherited, str(own)] if own.is_file() else inherited


@cache
def _json_files(folder: str) -> list[tuple[str, dict[str, str], str]]:
    """Return the sidecars in a folder: names, entities and suffixes."""
    found = []
    for path in Path(folder).glob("*.json"):
        try:
            entities, suffix = parse_stem(path.stem)
        except ValueError:
            continue  # such as dataset_description.json
        found.append((path.name, entities, suffix))
    return found


@cache
def _read(path: str) -> Mapping[str, Any]:
    """Read one sidecar; raises UserError."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        why = "if it is a DataLad link, fetch it with: datalad get" if Path(path).is_symlink() else error.strerror
        raise UserError(f"{path}: cannot be read ({why}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not valid JSON ({error}).") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: is not a sidecar: it must contain a JSON object.")
    return values


def read_sidecars(paths: Sequence[str]) -> dict[str, Any]:
    """Merge sidecars; later ones take precedence.

    Raises:
        UserError: a sidecar cannot be read or is not a JSON object.
    """
    return {key: value for path in paths for key, value in _read(path).items()}


def forget_sidecars() -> None:
    """Clear the caches, since files may have changed."""
    _json_files.cache_clear()
    _read.cache_clear()


def pixel_size_um(values: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the pixel size from the keys PixelSize and PixelSizeUnits of microscopy.

    Args:
        values: merged sidecars.

    Returns:
        x and y, or x, y and z, in micrometres; None if the sidecars have no PixelSize.

    Raises:
        ValueError: the keys do not follow the standard; the message describes the error.
    """
    sizes, unit = values.get("PixelSize"), values.get("PixelSizeUnits")
    if sizes is None:
        return None
    numbers = isinstance(sizes, list) and all(
        isinstance(size, int | float) and not isinstance(size, bool) and size > 0 for size in sizes
    )
    if not numbers or len(sizes) not in (PLANE_AXES, SPACE_AXES):
        raise ValueError(f"PixelSize: {json.dumps(sizes)} must be [x, y] or [x, y, z], all positive")
    if not isinstance(unit, str) or unit not in MICROMETRES:
        raise ValueError(f"PixelSizeUnits: {json.dumps(unit, ensure_ascii=False)} must be mm, um or nm")
    return tuple(float(f"{size * MICROMETRES[unit]:.12g}") for size in sizes)
