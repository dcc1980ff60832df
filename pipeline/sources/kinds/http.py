"""Files on web servers."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sources import HttpSource
from pipeline.sources.archives import archive
from pipeline.sources.network import Patience


def fetch(source: HttpSource, archives: Path, patience: Patience) -> Path:
    """Returns the path of the checked file in the folder `archives`; see `pipeline.sources.archives.archive`."""
    return archive(archives, source.downloaded_name, source.sha256, lambda: source.url, patience)
