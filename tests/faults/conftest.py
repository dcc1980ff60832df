"""Fixtures of the tests that disturb whole runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.tiny import Clean, Server, clean_run, serving


@pytest.fixture(scope="session")
def clean(server, tmp_path_factory) -> Clean:
    """A run that nothing disturbed."""
    return clean_run(server, tmp_path_factory.mktemp("clean") / "project")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server
