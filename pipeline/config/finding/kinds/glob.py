"""Files, or folders with one DICOM series each, that match a pattern."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from pipeline.config.datasets import GlobDataset
from pipeline.config.finding.items import Item, Outcome, item_of_path
from pipeline.config.mistakes import explain
from pipeline.config.sources import LocalSource, Source

MAX_FILES = 100_000
"""Maximum number of files; more are considered a mistake in the pattern."""


def find(dataset: GlobDataset, place: str, sources: Mapping[str, Source]) -> Outcome:
    """Find the files that match a pattern, in the order of their paths; no file is opened."""
    del sources
    paths = sorted(islice(glob.iglob(dataset.pattern, recursive=True), MAX_FILES + 1))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    if not paths:
        where = "" if Path(dataset.pattern).is_absolute() else f" in {Path.cwd()}"
        return Outcome(mistakes=[f"{place}.pattern: no file fits {dataset.pattern!r}{where}"])
    if len(paths) > MAX_FILES:
        return Outcome(mistakes=[f"{place}.pattern: more than {MAX_FILES} files fit {dataset.pattern!r}; narrow it"])
    outcomes = [_item(dataset, path) for path in paths]
    items = [one for one in outcomes if isinstance(one, Item)]
    return Outcome(items, [f"{place}.{one}" for one in outcomes if isinstance(one, str)])


def _item(dataset: GlobDataset, path: str) -> Item | str:
    try:
        source = LocalSource(
            kind="local",
            path=path,
            format=dataset.format,
            title=dataset.title,
            licence=dataset.licence,
            citation=dataset.citation,
        )
    except ValidationError as error:
        return f"pattern: {explain(error, LocalSource)[0]}"
    return item_of_path(path, source, dataset.subject, dataset.volume)
