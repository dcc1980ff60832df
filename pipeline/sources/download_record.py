"""Record of a downloaded file, stored next to it as FILE.source.json."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from pipeline.config.base import Section
from pipeline.config.sources import HttpSource, Source
from pipeline.errors import UserError
from pipeline.files import read_json, write_json


class DownloadRecord(Section):
    """Licence, origin and checksums of a file; None if the source does not have the property.

    The properties of the origin are those of the source in the configuration, see `pipeline.config.sources`.
    """

    name: str
    """name of the source"""
    kind: str
    """kind of the source: package, http, s3, local, or shipped for a network that ships"""
    title: str = ""
    licence: str = "not stated"
    citation: str = ""
    features: str | None = None
    format: str | None = None
    project: str | None = None
    version: str | None = None
    url: str | None = None
    """address without user name and password"""
    path: str | None = None
    bids: str | None = None
    file: str | None = None
    converted: str | None = None
    member: str | None = None
    sha256: str
    """SHA-256 of the file"""
    downloaded_sha256: str
    """SHA-256 of the whole download, such as an archive"""
    size_bytes: int
    """size of the file"""

    @classmethod
    def of(cls, name: str, source: Source, sha256: str, size_bytes: int) -> DownloadRecord:
        """Return the record of a downloaded file.

        Args:
            name: name of the source.
            source: its entry of the configuration.
            sha256: checksum of the file.
            size_bytes: size of the file.
        """
        origin = source.model_dump(exclude={"network", "tests_only", "sha256"})
        if isinstance(source, HttpSource):
            origin["url"] = public_url(source.url)
        checksums = {"sha256": sha256, "downloaded_sha256": source.sha256 or sha256}
        return cls(**origin, name=name, **checksums, size_bytes=size_bytes)

    def write(self, path: Path) -> None:
        """Write the record, without the properties that the source does not have."""
        write_json(path, self.model_dump(exclude_none=True))


def read_download(path: Path) -> DownloadRecord:
    """Read the record of a download.

    Raises:
        UserError: the file is missing or is not such a record.
    """
    values = read_json(path)
    try:
        return DownloadRecord.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: is not the record of a download; delete it and run again.") from error


def public_url(address: str) -> str:
    """Return an address without user name and password."""
    return re.sub(r"//[^/?#]*@", "//", address, count=1)
