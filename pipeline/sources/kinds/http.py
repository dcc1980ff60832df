"""Files on web servers."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sources import HttpSource
from pipeline.errors import UserError
from pipeline.sources.archives import archive, unchecked_archive
from pipeline.sources.retries import Patience


def fetch(source: HttpSource, archives: Path, patience: Patience) -> Path:
    """Return the path of the file in the folder `archives`; see `pipeline.sources.archives`.

    Raises:
        UserError: also for a converted file, which is not at the address.
    """
    if source.converted:
        raise UserError(
            f"{source.downloaded_name} is not published as such; it was made from {source.url} ({source.converted}). "
            "List its folder in BRAINSR_ARCHIVES, or convert the files and use your copy: kind: local."
        )
    if source.sha256 is None:
        return unchecked_archive(archives, source.downloaded_name, source.url, patience)
    return archive(archives, source.downloaded_name, source.sha256, lambda: source.url, patience)
