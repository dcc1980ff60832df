"""The key of a reader study: which code stands for what. It stays with those who ask, away from those who read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.fidelity.reading.design import Item
from pipeline.files import read_json, write_json


@dataclass(frozen=True)
class Key:
    """What a study asked.

    Attributes:
        study: name of the study, which stands in the page and in the answers too.
        seed: root of the random numbers.
        items: in the order of the page.
    """

    study: str
    seed: int
    items: tuple[Item, ...]

    @property
    def methods(self) -> list[str]:
        """All methods, sorted."""
        return sorted({method for item in self.items for method in item.methods})


def write_key(path: Path, key: Key) -> None:
    """Write a key as JSON, whole or not at all."""
    write_json(path, {"study": key.study, "seed": key.seed, "items": [asdict(item) for item in key.items]})


def read_key(path: Path) -> Key:
    """Read what `write_key` wrote.

    Raises:
        UserError: the file cannot be read or is no key.
    """
    values: Any = read_json(path)
    try:
        items = tuple(Item(**item) for item in values["items"])
        return Key(str(values["study"]), int(values["seed"]), items)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: is no key of a reader study. Give the key.json that was written with the page."
        ) from error
