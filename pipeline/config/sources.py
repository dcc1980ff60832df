"""Where a file comes from: the package index, a web server, or this machine."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlparse

from pydantic import Field, StringConstraints

from pipeline.config.base import Section

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Network(Section):
    """The shape of an RRDBNet whose weights a source holds."""

    blocks: Annotated[int, Field(ge=1, le=23)]
    """residual-in-residual dense blocks"""
    features: Annotated[int, Field(ge=1)] = 64
    """feature channels of the trunk"""
    growth: Annotated[int, Field(ge=1)] = 32
    """channels that each dense convolution adds"""
    channels: Annotated[int, Field(ge=1)] = 3
    """image channels going in and coming out"""
    trained_on: str
    """what the weights were trained on, in words; shown wherever the network is"""


class _Described(Section):
    title: str = ""
    """what it is, in words"""
    licence: str = "not stated"
    """licence of the data or weights"""
    citation: str = ""
    """how to cite it"""
    network: Network | None = None
    """set where the source holds network weights"""


class PackageSource(_Described):
    """A file, or one member of an archive, that a project of the package index distributes."""

    kind: Literal["package"]
    project: str
    """name of the project on the package index"""
    version: str
    """its version"""
    file: str
    """name of the distributed file"""
    sha256: Sha256
    """SHA-256 of that file"""
    member: str | None = None
    """path of the wanted file inside the archive"""

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.member or self.file).name


class HttpSource(_Described):
    """A file, or one member of an archive, on a web server."""

    kind: Literal["http"]
    url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    """address, http or https"""
    sha256: Sha256
    """SHA-256 of the file at that address"""
    member: str | None = None
    """path of the wanted file inside the archive"""

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.member or urlparse(self.url).path).name


class LocalSource(_Described):
    """A file on this machine."""

    kind: Literal["local"]
    path: str
    """path of the file; relative to the folder where snakemake works"""
    sha256: Sha256 | None = None
    """SHA-256, checked where it is given"""

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.path).name


Source = Annotated[PackageSource | HttpSource | LocalSource, Field(discriminator="kind")]
