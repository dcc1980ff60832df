"""Files in S3. Snakemake's storage plugin brings them here, with its own settings and credentials, not this package."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sources import S3Source
from pipeline.errors import UserError
from pipeline.sources.retries import Patience


def fetch(source: S3Source, archives: Path, patience: Patience) -> Path:
    """Refuses: the stage download is given the copy that Snakemake has made.

    Raises:
        UserError: always.
    """
    del archives, patience
    raise UserError(f"{source.path} is brought here by snakemake. By hand, name a copy of it with --fetched.")
