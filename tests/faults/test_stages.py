"""Every stage of a run: killed as it writes, on a full disk, in a folder that cannot be written to.

Whatever happens, what stands under a final name is whole, one message says what is wrong, and the same command started
again ends in the same bytes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.faults.small_disk import NO_ROOM, fill, mounted, read_only
from tests.faults.tiny import Clean, Server, differing, earlier_results_differ, finished_files, leftovers
from tests.helpers import contents

STAGES = {
    *("download", "extract", "degrade", "convert_weights", "tune", "train", "interpolate", "infer", "evaluate", "gate"),
    *(
        "tissue",
        "insert_structures",
        "uncertainty",
        "summarise_fidelity",
        "publish",
        "summarise",
        "provenance",
        "report_volumes",
        "report_training",
        "report_index",
    ),
}
SEED = 2026


def test_a_run_has_every_stage(clean: Clean) -> None:
    assert STAGES.issubset(command.stage for command in clean.commands)


def test_a_stage_that_is_killed_as_it_writes_loses_nothing_and_ends_the_same(clean, server: Server, tmp_path) -> None:
    """At a random one of the changes that it makes to files."""
    generator = np.random.default_rng(SEED)
    folder = clean.copy(tmp_path / "project")
    for command in clean.commands:
        whole = server.run(folder, command)
        assert whole.status == 0, (command.stage, whole.output)
        killed = server.run(folder, command, kill_at=int(generator.integers(1, whole.changes + 1)))
        assert killed.status == -signal.SIGKILL, (command.stage, killed.output)
        assert earlier_results_differ(folder, clean.expected) == [], command.stage
        again = server.run(folder, command)
        assert again.status == 0, (command.stage, again.output)
        assert differing(folder, clean.expected) == [], command.stage
        assert leftovers(folder) == [], command.stage


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 24_000) as disk:
        yield disk


def test_a_stage_on_a_full_disk_says_so_keeps_what_is_there_and_completes_later(clean, server, small_disk) -> None:
    folder = clean.copy(small_disk / "project")
    before = finished_files(folder)
    for command in clean.commands:
        filler = fill(small_disk)
        failed = server.run(folder, command)
        if command.stage == "publish" and failed.status == 0:  # links need no room
            filler.unlink()
            before = finished_files(folder)
            continue
        assert NO_ROOM in failed.message, (command.stage, failed.output)
        assert "room on the disk" in failed.message, (command.stage, failed.output)
        filler.unlink()
        assert finished_files(folder) == before, command.stage
        again = server.run(folder, command)
        assert again.status == 0, (command.stage, again.output)
        assert differing(folder, clean.expected) == [], command.stage
        before = finished_files(folder)


def test_a_stage_in_a_read_only_folder_says_so_and_changes_nothing(clean, server, tmp_path) -> None:
    folder = clean.copy(tmp_path / "project")
    before = contents(folder)
    with read_only(folder):
        for command in clean.commands:
            failed = server.run(folder, command)
            assert "Permission denied" in failed.message, (command.stage, failed.output)
            assert "writable" in failed.message, (command.stage, failed.output)
    assert contents(folder) == before
