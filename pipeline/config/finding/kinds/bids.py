"""Images of one kind in a folder of the Brain Imaging Data Structure, chosen by the entities in their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import plugins
from pipeline.bids_names import EXTENSIONS, BidsName, check_place
from pipeline.config.datasets import BidsDataset
from pipeline.config.finding.items import Item, Outcome, holds, named_after
from pipeline.config.mistakes import explain, shown
from pipeline.config.sources import LocalSource, Source

DESCRIPTION_FILE = "dataset_description.json"
LARGEST_DESCRIPTION_BYTES = 2**20


class Description(BaseModel):
    """What is read of dataset_description.json; names as in the standard, which knows more of them."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    Name: str = Field(min_length=1)
    BIDSVersion: str
    License: str = "not stated"
    Authors: tuple[str, ...] = ()
    HowToAcknowledge: str = ""
    DatasetDOI: str = ""

    @property
    def citation(self) -> str:
        """How to cite the data set: as it asks for, else its authors, name and DOI."""
        known = self.Authors or self.DatasetDOI
        parts = [", ".join(self.Authors), self.Name, self.DatasetDOI] if known else []
        return self.HowToAcknowledge or ". ".join(part for part in parts if part)


def find(dataset: BidsDataset, place: str, sources: Mapping[str, Source]) -> Outcome:
    """Finds the images of a BIDS folder, in the order of their paths; only the description of the data set is read."""
    del sources
    root = Path(dataset.path)
    if not holds(root.is_dir):
        where = "" if root.is_absolute() else f" in {Path.cwd()}"
        return [], [f"{place}.path: there is no folder {shown(dataset.path)}{where}"]
    description = read_description(root)
    if isinstance(description, list):
        return [], [f"{place}.path: {trouble}" for trouble in description]
    items: list[Item] = []
    mistakes: list[str] = []
    labels: dict[str, set[str]] = {}
    for path in images(root, dataset.suffix):
        one = _item(dataset, root, path, description)
        if isinstance(one, str):
            mistakes.append(f"{place}.path: {one}")
            continue
        name, item = one
        for key, label in name.entities.items():
            labels.setdefault(key, set()).add(label)
        if all(name.entities.get(key) in wanted for key, wanted in dataset.only.items()):
            items.append(item)
    mistakes.extend(f"{place}.only.{trouble}" for trouble in _unknown_labels(dataset, labels))
    if not items and not mistakes:
        chosen = f" with the labels of `only`: {dict(dataset.only)}" if dataset.only else ""
        what = f"sub-*/**/*_{dataset.suffix}{EXTENSIONS[0]}"
        mistakes.append(f"{place}.path: {dataset.path!r} holds no image {what}{chosen}")
    return items, mistakes


def read_description(root: Path) -> Description | list[str]:
    """Reads what a data set says of itself; returns the mistakes where it cannot be read."""
    path = root / DESCRIPTION_FILE
    if not path.is_file():
        return [
            f"{path}: there is no such file; a BIDS folder has one, with at least the keys Name and BIDSVersion. "
            "Write it, or take the files by a data set of kind glob"
        ]
    try:
        return Description.model_validate_json(json.dumps(_mapping(path)))
    except ValidationError as error:
        return [f"{path}: {line}" for line in explain(error, Description)]
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"]
    except (ValueError, RecursionError) as error:
        return [f"{path}: is no description of a data set: {error}"]


def _mapping(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_DESCRIPTION_BYTES:
        raise ValueError(f"larger than {LARGEST_DESCRIPTION_BYTES} bytes")
    values = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(values, dict):
        raise ValueError("expected keys and values")
    return values


def images(root: Path, suffix: str) -> Iterator[Path]:
    """Gives the files that end in _<suffix>.nii.gz or .nii in the subjects' folders, sorted by path."""
    endings = tuple(f"_{suffix}{extension}" for extension in EXTENSIONS)
    for subject in sorted(root.glob("sub-*")):
        places = [*subject.glob("*"), *subject.glob("ses-*/*")]
        for folder in sorted(path for path in places if path.is_dir() and not path.name.startswith("ses-")):
            yield from sorted(path for path in folder.iterdir() if path.name.endswith(endings))


def _item(dataset: BidsDataset, root: Path, path: Path, description: Description) -> tuple[BidsName, Item] | str:
    """Returns the parts of an image's name and its item, or what is wrong with it."""
    relative = path.relative_to(root).as_posix()
    try:
        name = check_place(relative)
    except ValueError as error:
        return str(error)
    if not path.resolve().is_relative_to(root.resolve()):
        return f"{relative!r} is a link that leads out of the data set"
    if not path.is_file():
        return f"{relative!r} is no file that can be read; where it is a link of DataLad, fetch it with: datalad get"
    source = LocalSource(
        kind="local",
        path=f"{dataset.path}/{relative}",
        bids=dataset.path,
        title=f"{description.Name}: {path.name}",
        licence=description.License,
        citation=description.citation,
    )
    values: dict[str, Any] = {"id": named_after(path.name), "subject": f"sub-{name.entities['sub']}"}
    return name, Item(relative, source, values)


def _unknown_labels(dataset: BidsDataset, labels: Mapping[str, set[str]]) -> Iterator[str]:
    for key, wanted in dataset.only.items():
        if key not in labels:
            yield f"{key}: no image has this entity; {plugins.suggest(key, sorted(labels))}"
            continue
        for label in wanted:
            if label not in labels[key]:
                yield f"{key}: no image has {key}-{label}; {plugins.suggest(label, sorted(labels[key]))}"
