"""Licences and citations of the data that networks are trained and selected on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pipeline.config.base import Section
from pipeline.config.sources import Source
from pipeline.config.volumes import Volume


class Terms(Section):
    """Licence and citation that some volumes of a run have in common."""

    licence: str
    """licence"""
    citation: str
    """citation"""
    volumes: int
    """number of these volumes"""


def terms_of(volumes: Iterable[Volume], sources: Mapping[str, Source]) -> tuple[Terms, ...]:
    """Return the licences and citations of volumes, each once, in the order of the volumes.

    Args:
        volumes: the volumes; one that is combined from several scans counts for each of their licences.
        sources: all sources, by name.
    """
    counts = Counter(
        pair
        for volume in volumes
        for pair in dict.fromkeys((sources[name].licence, sources[name].citation) for name in volume.source_names)
    )
    return tuple(Terms(licence=pair[0], citation=pair[1], volumes=count) for pair, count in counts.items())
