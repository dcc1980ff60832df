"""Sources of files and folders: the package index, web servers, S3 and the local file system."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal
from urllib.parse import unquote, urlparse

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipeline.config.base import Section
from pipeline.config.bids.names import NIFTI_EXTENSIONS, derivative_path
from pipeline.config.bids.sidecars import sidecars_of, sidecars_of_file
from pipeline.config.names import PluginName

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), "64 digits 0-9 and a-f"]


def _is_file_name(name: str) -> bool:
    """Return whether a name is valid for a file and cannot leave its folder."""
    return name.isprintable() and name.strip(". ") != "" and not set(name) & set("/\\")


def _check_name(name: str) -> str:
    if not _is_file_name(name):
        raise ValueError("not a valid file name")
    return name


def _check_path(path: str) -> str:
    if not _is_file_name(path.rsplit("/", 1)[-1]):
        raise ValueError("does not end in a valid file name")
    return path


def _check_on_this_machine(path: str) -> str:
    if path.startswith(S3_SCHEME):
        raise ValueError("this is an address in S3; use kind: s3")
    return path


def _without_last_slash(path: str) -> str:
    return path.rstrip("/") or path


S3_SCHEME = "s3://"
S3_FOLDER = r"^s3://[a-z0-9][a-z0-9.-]+(/[^/{}]+)*$"
S3_ADDRESS = r"^s3://[a-z0-9][a-z0-9.-]+/[^{}]+$"

FeatureArchitecture = Literal["vgg16", "vgg19"]
"""Feature networks for the perceptual loss."""

FileName = Annotated[str, AfterValidator(_check_name)]
FilePath = Annotated[str, AfterValidator(_check_path)]
LocalPath = Annotated[
    str, AfterValidator(_check_on_this_machine), AfterValidator(_without_last_slash), AfterValidator(_check_path)
]


class Network(Section):
    """Architecture of a network whose weights are available from a source."""

    architecture: Literal["rrdbnet", "srresnet", "fast_edsr"] = "rrdbnet"
    """architecture"""
    factor: Literal[1, 2, 3, 4, 8] = 4
    """upsampling factor along both in-plane axes"""
    blocks: Annotated[int, Field(ge=1, le=23)]
    """residual blocks of the trunk (rrdbnet: residual-in-residual dense blocks)"""
    features: Annotated[int, Field(ge=1)] = 64
    """feature channels of the trunk"""
    growth: Annotated[int, Field(ge=1)] = 32
    """rrdbnet: growth rate, the channels added by each dense convolution"""
    channels: Annotated[int, Field(ge=1)] = 3
    """input and output channels"""
    unshuffle: bool = True
    """rrdbnet of factor 1 or 2: apply a pixel unshuffle to the input, as in Real-ESRGAN"""
    trained_on: str
    """description of the training data, shown in reports and model cards"""


class _Described(Section):
    title: str = ""
    """description"""
    licence: str = "not stated"
    """licence of the data or weights"""
    citation: str = ""
    """citation"""
    tests_only: bool = False
    """only for volumes of the test splits, since the licence restricts networks trained or selected on these data"""
    network: Network | None = None
    """architecture, for network weights"""
    features: FeatureArchitecture | None = None
    """architecture, for weights of a VGG used by the perceptual loss"""
    format: Annotated[str, AfterValidator(PluginName("pipeline.formats"))] | None = None
    """file format, if the file name does not determine it: dicom or picture_folder (a stack) for folders and
    archives"""

    @property
    def thickness_sidecars(self) -> list[str]:
        """BIDS sidecars that may state the slice thickness, the farthest first; none for downloads."""
        return []


class PackageSource(_Described):
    """A file distributed by a project of the package index, or a member of such an archive."""

    kind: Literal["package"]
    project: str
    """name of the project on the package index"""
    version: str
    """version of the project"""
    file: FileName
    """name of the distributed file"""
    sha256: Sha256
    """SHA-256 of that file"""
    member: FilePath | None = None
    """path of the file inside the archive"""

    @property
    def downloaded_name(self) -> str:
        """Name of the downloaded file."""
        return self.file

    @property
    def file_name(self) -> str:
        """Name under which the file is stored."""
        return PurePosixPath(self.member or self.file).name


class HttpSource(_Described):
    """A file on a web server, or a member of an archive there."""

    kind: Literal["http"]
    url: Annotated[str, StringConstraints(pattern=r"^https?://"), "beginning with http:// or https://"]
    """address (http or https)"""
    sha256: Sha256 | None
    """SHA-256 of the downloaded file; null skips the check, and the log prints the checksum to enter here"""
    file: FileName | None = None
    """file name, if the address does not end in one"""
    member: FilePath | None = None
    """path of the file inside the archive"""
    converted: str | None = None
    """for a file that was made from those at the address: how. It is not downloaded, but found by its SHA-256 in the
    folders of BRAINSR_ARCHIVES"""

    @model_validator(mode="after")
    def _check_downloaded_name(self) -> HttpSource:
        if not _is_file_name(self.downloaded_name):
            raise ValueError("the address does not end in a file name; set it with the key file")
        return self

    @model_validator(mode="after")
    def _check_converted(self) -> HttpSource:
        if self.converted and self.sha256 is None:
            raise ValueError("converted: the file is found by its sha256; give it")
        return self

    @property
    def downloaded_name(self) -> str:
        """Name of the downloaded file."""
        return self.file or unquote(urlparse(self.url).path.rsplit("/", 1)[-1])

    @property
    def file_name(self) -> str:
        """Name under which the file is stored."""
        return PurePosixPath(self.member or self.downloaded_name).name


class S3Source(_Described):
    """A file in S3 or a compatible object storage, read by Snakemake's storage plugin."""

    kind: Literal["s3"]
    path: Annotated[FilePath, StringConstraints(pattern=S3_ADDRESS), "such as s3://bucket/key, without { }"]
    """address of the file, such as s3://bucket/folder/scan.nii.gz"""
    sha256: Sha256 | None = None
    """SHA-256; null skips the check"""
    member: FilePath | None = None
    """path of the file inside the archive, if `path` is an archive"""

    @property
    def file_name(self) -> str:
        """Name under which the file is stored."""
        return PurePosixPath(self.member or self.path).name


class LocalSource(_Described):
    """A local file, or a folder of pictures or DICOM files."""

    kind: Literal["local"]
    path: LocalPath
    """path of the file or folder, relative to the working directory of Snakemake"""
    sha256: Sha256 | None = None
    """SHA-256; null skips the check. For a folder, the checksum of the archive it is packed into"""
    member: FilePath | None = None
    """path of the file inside the archive, if `path` is an archive"""
    bids: LocalPath | None = None
    """BIDS data set that contains the file; results are also written as BIDS derivatives"""

    @model_validator(mode="after")
    def _check_bids(self) -> LocalSource:
        if self.bids is not None:
            derivative_path(self.path_in_bids)
        return self

    @property
    def path_in_bids(self) -> str:
        """Path relative to the BIDS data set.

        Raises:
            ValueError: the file is outside the data set.
        """
        return PurePosixPath(self.path).relative_to(PurePosixPath(self.bids or "")).as_posix()

    @property
    def sidecars(self) -> list[str]:
        """Sidecar files of the image, from the most general to the most specific."""
        return sidecars_of(self.bids or "", self.path_in_bids)

    @property
    def thickness_sidecars(self) -> list[str]:
        """BIDS sidecars of a NIfTI file, the farthest first; see `sidecars_of_file`."""
        is_nifti = self.path.endswith(NIFTI_EXTENSIONS) and self.member is None
        return sidecars_of_file(self.path) if is_nifti else []

    @property
    def file_name(self) -> str:
        """Name under which the file is stored."""
        return PurePosixPath(self.member or self.path).name


class ShippedSource(_Described):
    """Weights of a network that ships with BrainSR; configurations refer to it by the name of the network."""

    kind: Literal["shipped"]
    file: FileName
    """file in the folder of the networks that ship"""
    sha256: Sha256
    """SHA-256 of that file"""
    member: ClassVar[None] = None

    @property
    def file_name(self) -> str:
        """Name under which the file is stored."""
        return self.file


GivenSource = Annotated[PackageSource | HttpSource | S3Source | LocalSource, Field(discriminator="kind")]
"""A source of a configuration."""
Source = Annotated[
    PackageSource | HttpSource | S3Source | LocalSource | ShippedSource,
    Field(discriminator="kind"),
]
"""A source of a configuration, or a network that ships."""
