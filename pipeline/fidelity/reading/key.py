"""The key of a reader study: the meaning of each code. It must be kept from the readers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.fidelity.reading.design import Item
from pipeline.files import read_json, write_json


@dataclass(frozen=True)
class Key:
    """The items of a study.

    Attributes:
        study: identifier of the study, also contained in the page and in the answers.
        seed: random seed.
        items: items in the order of the page.
    """

    study: str
    seed: int
    items: tuple[Item, ...]

    @property
    def methods(self) -> list[str]:
        """All methods, sorted."""
        return sorted({method for item in self.items for method in item.methods})


def write_key(path: Path, key: Key) -> None:
    """Write a key as JSON, atomically."""
    write_json(path, {"study": key.study, "seed": key.seed, "items": [asdict(item) for item in key.items]})


def read_key(path: Path) -> Key:
    """Read a key.

    Raises:
        UserError: the file cannot be read or is not a key.
    """
    values: Any = read_json(path)
    try:
        items = tuple(Item(**item) for item in values["items"])
        return Key(str(values["study"]), int(values["seed"]), items)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: is not the key of a reader study. Give the key.json that was written with the page."
        ) from error
