"""Files in S3, which are downloaded by Snakemake's storage plugin with its own settings and credentials."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.sources import S3Source
from pipeline.errors import UserError
from pipeline.sources.retries import Patience


def fetch(source: S3Source, archives: Path, patience: Patience) -> Path:
    """Raise an error: the step download receives the copy made by Snakemake.

    Raises:
        UserError: always.
    """
    del archives, patience
    raise UserError(
        f"{source.path} is downloaded by Snakemake. Without the workflow, give a local copy with --fetched."
    )
