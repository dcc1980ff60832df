"""Expansion of the data sets of a configuration into volumes; one module per kind in `kinds`.

Snakemake does this at every start, so names, tables and sidecars are all that is read: no image is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pipeline import plugins
from pipeline.config.datasets import BidsDataset, Dataset, TableDataset
from pipeline.config.finding.items import Item, Outcome, shortened
from pipeline.config.finding.splitting import split_of, unknown_subjects
from pipeline.config.known import known_sources
from pipeline.config.mistakes import explain
from pipeline.config.sources import Source
from pipeline.config.volumes import Volume

KINDS = "pipeline.config.finding.kinds"


@dataclass(frozen=True)
class Found:
    """Volumes and sources of data sets.

    Attributes:
        volumes: in the order of the configuration.
        sources: those that only the data sets name, by name.
        mistakes: what is wrong, one line each.
        notes: what is not wrong but should be known, one line each.
    """

    volumes: list[Volume] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_all(datasets: Sequence[Dataset], sources: Mapping[str, Source]) -> Found:
    """Find the volumes of all data sets.

    Args:
        datasets: as they stand in the configuration.
        sources: those of the configuration.
    """
    found = Found()
    known = {**known_sources(), **sources}
    for index, dataset in enumerate(datasets):
        place = f"datasets[{index}]"
        outcome: Outcome = plugins.load(KINDS, dataset.kind).find(dataset, place, known)
        found.mistakes.extend(shortened([*outcome.mistakes, *_add(found, dataset, place, outcome, known)]))
        found.notes.extend(outcome.notes)
    return found


def _add(found: Found, dataset: Dataset, place: str, outcome: Outcome, known: Mapping[str, Source]) -> Iterator[str]:
    """Add the volumes and sources of a data set; yield the mistakes."""
    items = outcome.items
    if outcome.mistakes and not items and not outcome.left_out:
        return  # nothing could be looked up, so nobody knows which subjects there are
    subjects = {str(item.values["subject"]) for item in items}
    yield from unknown_subjects(place, dataset.subjects, subjects, outcome.left_out)
    taken: dict[str, str] = {}
    for item in items:
        entry = _entry(dataset, item)
        name = entry["id"]
        if entry["split"] is None:
            continue  # neither named nor given a share
        if taken.setdefault(name, item.where) != item.where:
            yield f"{place}: {taken[name]!r} and {item.where!r} would both be called {name!r}{_remedy(dataset)}"
        elif not isinstance(item.source, str) and (name in found.sources or name in known):
            yield f"{place}: {item.where!r} would be called {name!r}, as another source is; give the key prefix"
        yield from item.mistakes
        volume, mistakes = _volume(entry, dataset, place, item)
        yield from mistakes
        if volume is not None:
            found.volumes.append(volume)
        if item.source is not None and not isinstance(item.source, str):
            found.sources.setdefault(name, item.source)


def _entry(dataset: Dataset, item: Item) -> dict[str, Any]:
    """Return the entry of `volumes` for an item; its split is None if the data set leaves out the subject."""
    name, subject = (str(item.values[key]) for key in ("id", "subject"))
    split = item.values.get("split") or split_of(subject, dataset.splits, dataset.subjects)
    named = {"id": dataset.prefix + name, "subject": dataset.prefix + subject, "split": split}
    source = item.source if isinstance(item.source, str) else named["id"]  # its own source is called like it
    return {**dataset.each_volume, **item.values, **named, "source": source}


def _remedy(dataset: Dataset) -> str:
    if isinstance(dataset, BidsDataset):
        return "; if they are one image in two formats, name one of them in .bidsignore"
    return "; give the key volume" if hasattr(dataset, "volume") else ""


def _volume(entry: Mapping[str, Any], dataset: Dataset, place: str, item: Item) -> tuple[Volume | None, list[str]]:
    """Return the volume of an entry, or the mistakes in it."""
    try:
        return Volume.model_validate_json(json.dumps(entry)), []
    except ValidationError as error:
        lines = explain(error, Volume)
    return None, [_told(line, dataset, place, item) for line in lines]


def _told(line: str, dataset: Dataset, place: str, item: Item) -> str:
    key = re.split(r"[:.\[]", line, maxsplit=1)[0]
    if key in dataset.each_volume and key not in item.values:
        return f"{place}.each_volume.{line}"
    return f"{item.where}, column {line}" if isinstance(dataset, TableDataset) else f"{place}: {item.where!r}: {line}"
