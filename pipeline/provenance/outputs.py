"""The final outputs of a run, and their comparison between two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.files import sha256_of
from pipeline.tables.history import CLOCK

KINDS: Mapping[str, tuple[str, ...]] = {
    "networks": ("models/**/*.safetensors", "models/**/*.csv", "models/**/*.md", "models/**/*.json"),
    "super-resolved volumes": ("sr/**/*", "bids/**/*"),
    "combined scans": ("combined/*",),
    "predictions of all methods": ("predictions/**/*",),
    "tables": ("metrics/*.csv", "duplicates.csv"),
}
"""Patterns of the final outputs by kind. Pages are left out since they show dates, other files are intermediate."""

HISTORY = "history.csv"

IDENTICAL, DIFFERENT, MISSING, ADDED = "identical", "different", "missing", "added"


@dataclass(frozen=True)
class Comparison:
    """Comparison of one file between two runs.

    Attributes:
        kind: a key of `KINDS`.
        path: relative to the folders of the results, with slashes.
        verdict: `IDENTICAL`, `DIFFERENT`, `MISSING` (from the second run) or `ADDED` (in the second run).
    """

    kind: str
    path: str
    verdict: str


def final_outputs(results: Path) -> dict[str, str]:
    """Return the kind of every final output by its path in the run's folder, sorted."""
    found = {
        path.relative_to(results).as_posix(): kind
        for kind, patterns in KINDS.items()
        for pattern in patterns
        for path in results.glob(pattern)
        if path.is_file() and not path.name.startswith(".")
    }
    return dict(sorted(found.items()))


def checksums(paths: Sequence[Path], checksum: Callable[[Path], str] = sha256_of) -> list[str]:
    """Return the SHA-256 of several files, computed in parallel."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(checksum, paths))


def checksum_without_clock(path: Path) -> str:
    """Return the SHA-256 of a file; of a training history, without the column of elapsed seconds."""
    if path.name != HISTORY:
        return sha256_of(path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    text = table.drop(columns=CLOCK, errors="ignore").to_csv(index=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def compare(results: Path, again: Path) -> list[Comparison]:
    """Compare the final outputs of two runs byte by byte, except for the elapsed seconds in training histories."""
    before, after = final_outputs(results), final_outputs(again)
    shared = [path for path in before if path in after]
    sums = [checksums([folder / path for path in shared], checksum_without_clock) for folder in (results, again)]
    verdicts = {path: IDENTICAL if one == two else DIFFERENT for path, one, two in zip(shared, *sums, strict=True)}
    return [
        *(Comparison(kind, path, verdicts.get(path, MISSING)) for path, kind in before.items()),
        *(Comparison(kind, path, ADDED) for path, kind in after.items() if path not in before),
    ]


def counts(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Count files: one row per kind, one column per verdict."""
    table = pd.DataFrame([(one.kind, one.verdict) for one in comparisons], columns=["kind", "verdict"])
    counted = table.value_counts().unstack(fill_value=0)
    verdicts = [IDENTICAL, DIFFERENT, MISSING, ADDED]
    kinds = [kind for kind in KINDS if kind in counted.index]
    return counted.reindex(index=kinds, columns=verdicts, fill_value=0).astype(int)
