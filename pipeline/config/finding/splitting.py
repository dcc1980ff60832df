"""Assignment of subjects to splits, explicitly or by a hash of their names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pipeline import plugins
from pipeline.config.datasets import SPLIT_ORDER, DatasetSplit
from pipeline.config.stable_hash import HASHES, hash_of


def point_of(subject: str) -> float:
    """Return a number between 0 and 1 for a subject: the first 64 bits of the SHA-256 of its name, as a fraction."""
    return hash_of(subject) / HASHES


def split_by_hash(subject: str, shares: Mapping[DatasetSplit, float]) -> DatasetSplit | None:
    """Return the split of a subject, which depends on its name and the fractions only; None without fractions."""
    point, reached = point_of(subject), 0.0
    given: list[DatasetSplit] = [split for split in SPLIT_ORDER if shares.get(split, 0) > 0]
    for split in given:
        reached += shares[split]
        if point < reached:
            return split
    return given[-1] if given else None  # the shares add up to 1 but for rounding


def split_of(
    subject: str, shares: Mapping[DatasetSplit, float], subjects: Mapping[DatasetSplit, Sequence[str]]
) -> DatasetSplit | None:
    """Return the split of a subject: assigned explicitly, otherwise by its hash, otherwise None."""
    named: DatasetSplit | None = next((split for split, names in subjects.items() if subject in names), None)
    return named or split_by_hash(subject, shares)


def unknown_subjects(
    place: str,
    subjects: Mapping[DatasetSplit, Sequence[str]],
    found: Collection[str],
    left_out: Mapping[str, str],
) -> Iterator[str]:
    """Check for assigned subjects that are missing from the data set or left out, with the reason."""
    for split, names in subjects.items():
        for name in (name for name in names if name not in found):
            if name in left_out:
                yield f"{place}.subjects.{split}: {name!r} has no volume: {left_out[name]}"
            else:
                nearest = plugins.suggest(name, sorted(found))
                yield f"{place}.subjects.{split}: no subject is called {name!r}; {nearest}"
