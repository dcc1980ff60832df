"""Fixtures of the tests that run whole workflows or drive pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browsing import chromium
from tests.conda_stand_in import conda_base
from tests.workflow.project import Conda, make_project, snakemake


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="session")
def conda(tmp_path_factory) -> Conda:
    """A stand-in for conda, with no environment yet."""
    folder = tmp_path_factory.mktemp("conda")
    return Conda(conda_base(folder / "base"), folder / "environments", folder / "imports.jsonl")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, conda) -> Path:
    """A folder in which the workflow has run to its end with --use-conda; its name has a blank, as folders of users do.

    Nobody changes what is in it: tests that do so make a copy.
    """
    folder = tmp_path_factory.mktemp("a project")
    config = make_project(folder)
    result = snakemake(folder, "--configfile", config, conda=conda)
    assert result.returncode == 0, result.stderr
    return folder
