"""Fetch a source, check it, and record its licence and checksums.

What was downloaded is kept in the folder of archives, so that nothing is fetched twice; the wanted file is taken
from there. Beside it, FILE.source.json records title, licence, citation and checksums.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline import plugins
from pipeline.config.known import known_sources
from pipeline.config.sources import LocalSource, S3Source, Source
from pipeline.errors import UserError
from pipeline.files import replacing, sha256_of
from pipeline.sources.chunks import read_pieces, write_pieces
from pipeline.sources.download_record import DownloadRecord
from pipeline.sources.members import read_member
from pipeline.sources.packing import pack
from pipeline.sources.retries import Patience
from pipeline.steps._framework import entry

logger = logging.getLogger(__name__)

KINDS = "pipeline.sources.kinds"
ARCHIVES_VARIABLE = "BRAINSR_ARCHIVES"
"""Environment variable with the folder of downloads, for workflows that share one."""


def download(
    name: str, source: Source, output: Path, archives: Path, patience: Patience, fetched: Path | None = None
) -> None:
    """Make the wanted file of a source and its record, FILE.source.json, beside it.

    Args:
        name: name of the source.
        source: its entry of the configuration.
        output: the wanted file.
        archives: folder of downloaded files.
        patience: how long a server is waited for.
        fetched: a copy of what the source names, where it is here already.

    Raises:
        UserError: naming the source.
    """
    try:
        original = fetched or plugins.load(KINDS, source.kind).fetch(source, archives, patience)
        sha256, size_bytes = take(original, source, output)
    except UserError as error:
        raise UserError(f"source {name!r}: {error}") from error
    DownloadRecord.of(name, source, sha256, size_bytes).write(record_path(output))
    logger.info("%s: %s, %d bytes, SHA-256 %s", name, output, size_bytes, sha256)


def record_path(output: Path) -> Path:
    """Return the path of the record that stands beside a file."""
    return output.with_name(output.name + ".source.json")


def take(original: Path, source: Source, output: Path) -> tuple[str, int]:
    """Copy the wanted file, or the wanted member of an archive, to `output`, whole or not at all.

    What was downloaded is checked already; the user's own files, and those of S3, are checked here.

    A folder of pictures becomes a zip archive of them, so that all stages after this one read one checked file.

    Returns:
        SHA-256 and size in bytes of the wanted file.

    Raises:
        UserError: the original cannot be read or is not the file it should be, or `output` cannot be written.
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
            f"{original} is not the file it should be: expected SHA-256 {source.sha256}, found {found}. "
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
    archives: Annotated[Path, Parameter(env_var=ARCHIVES_VARIABLE)] = Path("resources/archives")
    """Folder of whole downloads, each under its checksum, which several workflows may share."""
    attempts: Annotated[int, Number(gt=0)] = Patience.attempts
    """Maximum number of attempts in a row that transfer nothing new."""
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
        raise UserError(
            f"there is no known source {name!r}; {plugins.suggest(name, known)} Or describe it with --source."
        )
    patience = Patience(options.attempts, options.retry_delay, options.timeout)
    download(name, options.source or known[name], options.output, options.archives, patience, options.fetched)
