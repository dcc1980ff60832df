"""Of which format a volume is, and what its results are called: both are known before any file is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline import plugins
from pipeline.config.sources import Source
from pipeline.config.volumes import Volume
from pipeline.formats import ROOM, format_by_name, written_suffixes

COLLECTION_FORMAT = "tiff_stack"
"""Of the results of pictures of a collection."""


def format_of_volume(volume: Volume, sources: Mapping[str, Source]) -> str | None:
    """Return the name of a volume's format: as its source says, or as the name of its file tells; None for neither."""
    if volume.is_stack:
        return COLLECTION_FORMAT
    source = sources[volume.source]
    return source.format or format_by_name(source.file_name)


def result_suffix(volume: Volume, sources: Mapping[str, Source]) -> str:
    """Return the ending of the names of a volume's results, such as ".nii.gz", by the family of its source."""
    return written_suffixes(str(format_of_volume(volume, sources)))[0]


def result_suffixes() -> list[str]:
    """Return all endings that results in a run can have."""
    endings = [written_suffixes(name) for name in plugins.names(ROOM)]
    return sorted({suffixes[0] for suffixes in endings})


def check_formats(volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Name sources of volumes whose format nobody tells; arguments as `format_of_volume`, unknown sources left out."""
    known = [volume for volume in volumes if volume.source in sources and sources[volume.source].network is None]
    for name in dict.fromkeys(volume.source for volume in known if format_of_volume(volume, sources) is None):
        choices = ", ".join(name for name in plugins.names(ROOM) if name != COLLECTION_FORMAT)
        yield (
            f"sources.{name}: the name {sources[name].file_name!r} does not tell the format of the images; add the key "
            f"format: one of {choices}"
        )
