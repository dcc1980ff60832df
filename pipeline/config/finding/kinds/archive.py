"""Members of an archive, each a volume; the archive is downloaded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline import plugins
from pipeline.config.datasets import ArchiveDataset
from pipeline.config.finding.items import Item, Outcome, item_of_path
from pipeline.config.sources import Source


def find(dataset: ArchiveDataset, place: str, sources: Mapping[str, Source]) -> Outcome:
    """Return a source for each member; their existence is checked after the download."""
    source = sources.get(dataset.source)
    if source is None:
        return Outcome(
            mistakes=[f"{place}.source: {dataset.source!r} is unknown; {plugins.suggest(dataset.source, sources)}"]
        )
    twice = [member for member, count in Counter(dataset.members).items() if count > 1]
    if twice:
        return Outcome(mistakes=[f"{place}.members: {member!r} is listed more than once" for member in twice])
    outcomes = [
        item_of_path(member, source.model_copy(update={"member": member}), dataset.subject, dataset.volume)
        for member in dataset.members
    ]
    items = [one for one in outcomes if isinstance(one, Item)]
    return Outcome(items, [f"{place}.{one}" for one in outcomes if isinstance(one, str)])
