"""The final outputs of a run, and what of two runs is the same."""

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
    "predictions of all methods": ("predictions/**/*",),
    "tables": ("metrics/*.csv", "duplicates.csv"),
}
"""What is final in a run's folder, by kind. Pages have clocks on them; other files are on the way to these."""

HISTORY = "history.csv"

IDENTICAL, DIFFERENT, MISSING, ADDED = "identical", "different", "missing", "only there"


@dataclass(frozen=True)
class Comparison:
    """A file of two runs: its kind, its path in their folders, and `IDENTICAL`, `DIFFERENT`, `MISSING` or `ADDED`."""

    kind: str
    path: str
    verdict: str


def final_outputs(results: Path) -> dict[str, str]:
    """Return the kind of every final output by its path in the run's folder, in a fixed order."""
    found = {
        path.relative_to(results).as_posix(): kind
        for kind, patterns in KINDS.items()
        for pattern in patterns
        for path in results.glob(pattern)
        if path.is_file() and not path.name.startswith(".")
    }
    return dict(sorted(found.items()))


def checksums(paths: Sequence[Path], checksum: Callable[[Path], str] = sha256_of) -> list[str]:
    """Return the SHA-256 of many files, several at a time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(checksum, paths))


def checksum_without_clock(path: Path) -> str:
    """Return the SHA-256 of a file; of a training's history, without its clock."""
    if path.name != HISTORY:
        return sha256_of(path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    text = table.drop(columns=CLOCK, errors="ignore").to_csv(index=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def compare(results: Path, again: Path) -> list[Comparison]:
    """Compare the final outputs of two runs byte by byte, but for the clock of histories."""
    before, after = final_outputs(results), final_outputs(again)
    shared = [path for path in before if path in after]
    sums = [checksums([folder / path for path in shared], checksum_without_clock) for folder in (results, again)]
    same = {path: one == two for path, one, two in zip(shared, *sums, strict=True)}
    return [
        *(Comparison(kind, path, _verdict(same.get(path))) for path, kind in before.items()),
        *(Comparison(kind, path, ADDED) for path, kind in after.items() if path not in before),
    ]


def _verdict(same: bool | None) -> str:
    return MISSING if same is None else IDENTICAL if same else DIFFERENT


def counts(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Return how many files of every kind are what: one row a kind, one column a verdict."""
    table = pd.DataFrame([(one.kind, one.verdict) for one in comparisons], columns=["kind", "verdict"])
    counted = table.value_counts().unstack(fill_value=0)
    verdicts = [IDENTICAL, DIFFERENT, MISSING, ADDED]
    kinds = [kind for kind in KINDS if kind in counted.index]
    return counted.reindex(index=kinds, columns=verdicts, fill_value=0).astype(int)
