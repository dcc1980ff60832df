"""Fetch a source, checks it, and write down what it is.

What was downloaded is kept in the folder of archives, so that nothing is fetched twice; the wanted file is taken
from there. Beside it, FILE.source.json records title, licence, citation and checksums.
"""

from __future__ import annotations

import logging
import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from pipeline import plugins
from pipeline.config.known import known_sources
from pipeline.config.load import read_entry
from pipeline.config.sources import HttpSource, LocalSource, S3Source, Source
from pipeline.errors import UserError
from pipeline.files import replacing, sha256_of, write_json
from pipeline.sources.chunks import read_pieces, write_pieces
from pipeline.sources.members import read_member
from pipeline.sources.packing import pack
from pipeline.sources.retries import Patience, shown
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)

KINDS = "pipeline.sources.kinds"
ARCHIVES_VARIABLE = "BRAINSR_ARCHIVES"
"""Environment variable with the folder of downloads, for workflows that share one."""


def record(name: str, source: Source, sha256: str, size_bytes: int) -> dict[str, Any]:
    """Return what is written down about a file.

    Args:
        name: name of the source.
        source: its entry of the configuration.
        sha256: of the wanted file.
        size_bytes: of the wanted file.

    Returns:
        The keys of the entry that are set, without `network`, and name, sha256 (of the wanted file),
        downloaded_sha256 (of the whole download) and size_bytes.
    """
    entry = source.model_dump(exclude={"network", "sha256"}, exclude_none=True)
    if isinstance(source, HttpSource):
        entry["url"] = shown(source.url)
    return {
        **entry,
        "name": name,
        "sha256": sha256,
        "downloaded_sha256": source.sha256 or sha256,
        "size_bytes": size_bytes,
    }


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
    write_json(record_path(output), record(name, source, sha256, size_bytes))
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


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    parser.add_argument("--name", required=True, help="name of the source")
    parser.add_argument(
        "--source",
        metavar="JSON",
        help="the source's entry of the configuration; default: the known source of that name",
    )
    parser.add_argument(
        "--fetched", type=Path, nargs="?", metavar="PATH", help="a copy of a file of S3, which snakemake has made"
    )
    add_path(parser, "--output", "the wanted file; its record is written beside it")
    parser.add_argument(
        "--archives",
        type=Path,
        default=Path(os.environ.get(ARCHIVES_VARIABLE) or "resources/archives"),
        metavar="PATH",
        help="folder in which whole downloads are kept, each under its checksum, so that many workflows may share it "
        f"(default: that of the environment variable {ARCHIVES_VARIABLE}, or else resources/archives)",
    )
    patience = Patience()
    for flag, kind, default, help_text in (
        ("--attempts", int, patience.attempts, "tries in a row that bring nothing new before giving up"),
        (
            "--retry-delay",
            float,
            patience.delay_seconds,
            "seconds before the second try; doubled with every further one",
        ),
        ("--timeout", float, patience.timeout_seconds, "longest silence of a server, in seconds"),
    ):
        text = f"{help_text} (default: %(default)s)"
        parser.add_argument(flag, type=_positive(kind), default=default, metavar="NUMBER", help=text)


def _positive(kind: type[int] | type[float]) -> Any:
    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise ArgumentTypeError(f"{text} is not above zero")
        return value

    parse.__name__ = kind.__name__  # argparse names it in its message about text that is no number
    return parse


def _source(name: str, text: str | None) -> Source:
    if text is not None:
        return read_entry(Source, text, "source")
    known = known_sources()
    if name not in known:
        raise UserError(
            f"there is no known source {name!r}; {plugins.suggest(name, known)} Or describe it with --source."
        )
    return known[name]


def main(arguments: Namespace) -> None:
    """Run the stage."""
    source = _source(arguments.name, arguments.source)
    patience = Patience(arguments.attempts, arguments.retry_delay, arguments.timeout)
    download(arguments.name, source, arguments.output, arguments.archives, patience, arguments.fetched)
