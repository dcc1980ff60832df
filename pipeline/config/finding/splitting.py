"""Which split a subject belongs to: by hand, or by a hash of its name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pipeline import plugins
from pipeline.config.datasets import SPLIT_ORDER, DatasetSplit
from pipeline.config.stable_hash import HASHES, hash_of


def point_of(subject: str) -> float:
    """Return the subject's place between 0 and 1: the first 64 bits of the SHA-256 of its name, as a fraction."""
    return hash_of(subject) / HASHES


def split_by_hash(subject: str, shares: Mapping[DatasetSplit, float]) -> DatasetSplit | None:
    """Return the split of a subject, which hangs on its name and the shares alone; None where there are no shares."""
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
    """Return the split of a subject: the one that names it, else that of its hash, else None."""
    named: DatasetSplit | None = next((split for split, names in subjects.items() if subject in names), None)
    return named or split_by_hash(subject, shares)


def unknown_subjects(
    place: str,
    subjects: Mapping[DatasetSplit, Sequence[str]],
    found: Collection[str],
    left_out: Mapping[str, str],
) -> Iterator[str]:
    """Name subjects of the configuration that the data set does not have, or that it leaves out, and why."""
    for split, names in subjects.items():
        for name in (name for name in names if name not in found):
            if name in left_out:
                yield f"{place}.subjects.{split}: {name!r} has no volume: {left_out[name]}"
            else:
                nearest = plugins.suggest(name, sorted(found))
                yield f"{place}.subjects.{split}: no subject is called {name!r}; {nearest}"
