"""A cluster for all tests of this folder, and one undisturbed run on it, which the disturbed ones are compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, missing_daemons, running_cluster
from tests.slurm.runs import CHECKPOINT_EVERY, STEPS, ClusterRun
from tests.workflow.project import make_project

ADVICE = "Slurm is not installed here ({}): apt-get install slurm-wlm munge, and run these tests as root"


FIGURES: dict[str, tuple[int, int, int]] = {}


def pytest_terminal_summary(terminalreporter) -> None:
    """Show what the faults cost."""
    if FIGURES:
        terminalreporter.section("faults on a cluster")
        for name, (jobs, steps, files) in FIGURES.items():
            terminalreporter.line(f"{name}: {jobs} jobs and {steps} training steps repeated, {files} files differ")
        jobs, steps, files = (sum(column) for column in zip(*FIGURES.values(), strict=True))
        terminalreporter.line(
            f"{len(FIGURES)} faults: {jobs} jobs and {steps} training steps repeated, {files} files differ"
        )


@pytest.fixture(scope="session")
def figures() -> dict[str, tuple[int, int, int]]:
    """By fault: jobs that ran again without need, training steps that were repeated, files that differ."""
    return FIGURES


@pytest.fixture(scope="session")
def cluster(request, tmp_path_factory) -> Iterator[Cluster]:
    missing = missing_daemons()
    if missing:
        asked_for = request.config.getoption("markexpr") == "slurm"
        (pytest.fail if asked_for else pytest.skip)(ADVICE.format(", ".join(missing)))
    with running_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="session")
def undisturbed(cluster, tmp_path_factory) -> ClusterRun:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "a project"
    make_project(folder)
    run = ClusterRun(cluster, folder)
    run.change({"recipes": {"rrdb_l1": {"steps": STEPS, "batch_size": 2, "patch_lr": 8, "warmup_steps": 2}}})
    run.change({"train": {"initial_weights": "small", "validate_every": 1, "checkpoint_every": CHECKPOINT_EVERY}})
    result = run.finish()
    assert result.returncode == 0, result.stdout
    return run
