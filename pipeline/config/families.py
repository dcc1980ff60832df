"""Formats of volumes and suffixes of their results, from the names of files.

Formats are plug-ins (pipeline/formats) whose suffixes are read without importing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from pipeline import plugins
from pipeline.config.sources import Source
from pipeline.config.volumes import Volume

ROOM = "pipeline.formats"
COLLECTION_FORMAT = "tiff_stack"
"""Format of the results of a collection of pictures."""
COMBINED_FORMAT = "nifti"
"""Format of volumes that are combined from several scans."""


@cache
def read_suffixes(name: str) -> tuple[str, ...]:
    """Return the file name suffixes that a format reads."""
    return tuple(plugins.constant(ROOM, name, "SUFFIXES", ()))


@cache
def written_suffixes(name: str) -> tuple[str, ...]:
    """Return the file name suffixes of results in a format; the first is that of the workflow."""
    return tuple(plugins.constant(ROOM, name, "WRITTEN", ())) or read_suffixes(name)


@cache
def _formats() -> dict[str, str]:
    return {suffix: name for name in plugins.names(ROOM) for suffix in read_suffixes(name)}


def format_by_name(file_name: str) -> str | None:
    """Return the format with the longest suffix that matches a file name; None if there is none."""
    found = [suffix for suffix in _formats() if file_name.lower().endswith(suffix)]
    return _formats()[max(found, key=len)] if found else None


def format_of_volume(volume: Volume, sources: Mapping[str, Source]) -> str | None:
    """Return the format of a volume, from its source or from its file name; None if unknown."""
    if volume.is_stack:
        return COLLECTION_FORMAT
    if volume.is_combined:
        return COMBINED_FORMAT
    source = sources[volume.origin]
    return source.format or format_by_name(source.file_name)


def result_suffix(volume: Volume, sources: Mapping[str, Source]) -> str:
    """Return the suffix of the results of a volume, such as ".nii.gz"."""
    return written_suffixes(str(format_of_volume(volume, sources)))[0]


def check_formats(volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Check that the format of every volume is known; arguments as for `format_of_volume`."""
    known = [volume for volume in volumes if volume.origin in sources and sources[volume.origin].network is None]
    for name in dict.fromkeys(volume.origin for volume in known if format_of_volume(volume, sources) is None):
        choices = ", ".join(name for name in plugins.names(ROOM) if name != COLLECTION_FORMAT)
        yield (
            f"sources.{name}: the name {sources[name].file_name!r} does not determine the file format; set the key "
            f"format to one of {choices}"
        )
