"""Fetch a source, check it, and record its licence and checksums.

Downloads are cached in the archive folder, from which the file is copied. Files that exist there, or in one of further
folders, are not downloaded. FILE.source.json, in the same folder as the
copy, records title, licence, citation and checksums.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline import plugins
from pipeline.config.known import known_sources
from pipeline.config.sources import HttpSource, LocalSource, PackageSource, S3Source, Source
from pipeline.errors import UserError
from pipeline.files import replacing, sha256_of
from pipeline.sources.archives import stored_copy
from pipeline.sources.chunks import read_pieces, write_pieces
from pipeline.sources.download_record import DownloadRecord
from pipeline.sources.members import read_member
from pipeline.sources.packing import pack
from pipeline.sources.retries import Patience
from pipeline.steps._framework import entry

logger = logging.getLogger(__name__)

KINDS = "pipeline.sources.kinds"
ARCHIVES_VARIABLE = "BRAINSR_ARCHIVES"
"""Environment variable with the archive folder, or several separated as in PATH, for workflows that share them."""


def download(
    name: str,
    source: Source,
    output: Path,
    archives: Path | Sequence[Path],
    patience: Patience,
    fetched: Path | None = None,
) -> None:
    """Write the file of a source, and its record FILE.source.json in the same folder.

    Args:
        name: name of the source.
        source: its entry of the configuration.
        output: the file to write.
        archives: archive folder; or several, which are searched in this order, the first of them for downloads.
        patience: timeouts and retries.
        fetched: local copy of the source, if it exists already.

    Raises:
        UserError: the source cannot be fetched; the message names it.
    """
    folders = [archives] if isinstance(archives, Path) else archives
    kind = plugins.load(KINDS, source.kind)
    try:
        original = fetched or _stored(source, folders) or kind.fetch(source, folders[0], patience)
        sha256, size_bytes = take(original, source, output)
    except UserError as error:
        raise UserError(f"source {name!r}: {error}") from error
    DownloadRecord.of(name, source, sha256, size_bytes).write(record_path(output))
    logger.info("%s: %s, %d bytes, SHA-256 %s", name, output, size_bytes, sha256)


def _stored(source: Source, folders: Sequence[Path]) -> Path | None:
    """Return the file of a source with a checksum that would otherwise be downloaded, if it exists already."""
    if not isinstance(source, PackageSource | HttpSource) or source.sha256 is None:
        return None
    return stored_copy(folders, source.downloaded_name, source.sha256)


def record_path(output: Path) -> Path:
    """Return the path of the record of a file."""
    return output.with_name(output.name + ".source.json")


def take(original: Path, source: Source, output: Path) -> tuple[str, int]:
    """Copy a file, or a member of an archive, to `output` atomically.

    Downloads are already checked; local files and those from S3 are checked here. A folder of pictures is packed into a
    zip archive, so that all later steps read one checked file.

    Returns:
        SHA-256 and size in bytes of `output`.

    Raises:
        UserError: the original cannot be read or has another SHA-256, or `output` cannot be written.
    """
    if source.member is not None and isinstance(source, LocalSource | S3Source):
        _check(original, source, sha256_of(original))
    content = read_pieces(original) if source.member is None else read_member(original, source.member)
    with replacing(output) as partial:
        if original.is_dir():
            pack(original, partial)
        else:
            write_pieces(content, partial, "wb", output.name)
        found = sha256_of(partial)
        if source.member is None:
            _check(original, source, found)
        return found, partial.stat().st_size


def _check(original: Path, source: Source, found: str) -> None:
    if source.sha256 not in (None, found):
        raise UserError(
            f"{original} has an unexpected checksum: expected SHA-256 {source.sha256}, found {found}. "
            "Restore the file, or correct the key sha256."
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    name: str
    """Name of the source."""
    source: Annotated[Source | None, entry(Source, "source")] = None
    """Entry of the source in the configuration (default: the known source of that name)."""
    fetched: Path | None = None
    """Local copy of a file in S3, made by Snakemake."""
    output: Path
    """The file of the source; its record is written beside it."""
    archives: Annotated[tuple[Path, ...], Parameter(env_var=ARCHIVES_VARIABLE)] = (Path("resources/archives"),)
    """Archive folders, which several workflows may share: the first one receives the downloads, and all of them are
    searched for files before."""
    attempts: Annotated[int, Number(gt=0)] = Patience.attempts
    """Maximum number of consecutive attempts without progress."""
    retry_delay: Annotated[float, Number(gt=0)] = Patience.delay_seconds
    """Delay before the second attempt, in seconds; doubled with every further one."""
    timeout: Annotated[float, Number(gt=0)] = Patience.timeout_seconds
    """Maximum time without data from a server, in seconds."""


def run(options: Options) -> None:
    """Fetch the source and write its record.

    Raises:
        UserError: the source is unknown, or cannot be fetched.
    """
    known, name = known_sources(), options.name
    if options.source is None and name not in known:
        raise UserError(f"unknown source {name!r}; {plugins.suggest(name, known)} Or describe it with --source.")
    patience = Patience(options.attempts, options.retry_delay, options.timeout)
    download(name, options.source or known[name], options.output, options.archives, patience, options.fetched)
