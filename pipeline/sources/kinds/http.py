"""Files on web servers."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sources import HttpSource
from pipeline.sources.archives import archive, unchecked_archive
from pipeline.sources.retries import Patience


def fetch(source: HttpSource, archives: Path, patience: Patience) -> Path:
    """Return the path of the file in the folder `archives`; see `pipeline.sources.archives`."""
    if source.sha256 is None:
        return unchecked_archive(archives, source.downloaded_name, source.url, patience)
    return archive(archives, source.downloaded_name, source.sha256, lambda: source.url, patience)
