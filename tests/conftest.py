"""Fixtures that several files of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

SLOWEST = ("workflow", "faults")
"""Folders whose tests start first, so that no process waits for them in the end."""

# Processes of pytest-xdist, each of which runs the tests of whole files.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path.parent.name not in SLOWEST)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute with one thread: networks as small as the tests' only lose by more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
