"""Whole runs: killed at any moment, on a disk that is full, in a folder that cannot be written to, two at once.

Each time the run stops with a message that says what to do, or ends in the same bytes as one that nothing disturbed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.faults.small_disk import NO_ROOM, mounted, read_only, resized
from tests.faults.tiny import RESULTS, Clean, Run, comparable, differing, earlier_results_differ, leftovers, run
from tests.helpers import contents
from tests.workflow.project import snakemake

SEED = 2026
ROUNDS = 20
KILLED_JOB_EVERY = 4
"""In one round of so many only a job is killed, in the others Snakemake with all its jobs."""
MIN_S = 4.0
"""Reading the rules takes as long."""
FIRST = (RESULTS / "degraded/head-test.safetensors", RESULTS / "extracted/head-low.safetensors")
"""What a run has early."""
DAY_S = 86400
BY_TIME = ("--max-checksum-file-size", "0")
"""Has Snakemake go by the times of small files too, as it does of large ones: it knows small ones by their checksum."""


def cut_back(clean: Clean, folder: Path, share: float) -> None:
    """Copy a finished run and removes what came last, as if it had got no further.

    Args:
        clean: the run.
        folder: the copy.
        share: of the results, what is kept.
    """
    clean.copy(folder)
    made = sorted((folder / name for name in clean.expected), key=lambda path: path.stat().st_mtime_ns)
    pages = list((folder / RESULTS / "reports").glob("*.html"))
    whole = [mark.parent for mark in folder.rglob(".snakemake_timestamp")]
    for path in (*made[round(share * len(made)) :], *pages):
        path.unlink(missing_ok=True)
        for output in whole:
            if path.is_relative_to(output):  # a folder that a rule makes is there as a whole, or not at all
                shutil.rmtree(output, ignore_errors=True)


def disturb(folder: Path, generator: np.random.Generator, seconds: float, *, only_a_job: bool) -> bool:
    """Start a run and kills at a random moment of its first seconds; says whether it still ran."""
    running = Run(folder)
    alive = running.wait(generator.uniform(0.5, seconds))
    if not only_a_job:
        running.kill()
        return alive
    while alive and not running.kill_a_job(generator):
        alive = running.wait(0.02)
    running.end()
    return alive


@pytest.mark.long
def test_kills_at_random_moments_of_a_run_lose_nothing_and_end_the_same(clean: Clean, server, tmp_path, capsys) -> None:
    """Each round starts where a run has come to some random point, so that all parts of it are met as often."""
    generator = np.random.default_rng(SEED)
    hits = identical = 0
    differences: dict[int, list[str]] = {}
    for number in range(ROUNDS):
        folder = tmp_path / f"round-{number}"
        share = generator.uniform(0, 1)
        cut_back(clean, folder, share)
        seconds = MIN_S + (1 - share) * clean.seconds
        hits += disturb(folder, generator, seconds, only_a_job=number % KILLED_JOB_EVERY == 0)
        wrong = earlier_results_differ(folder, clean.expected)
        snakemake(folder, "--configfile", folder / "small.yaml", "--unlock")
        again = run(server, folder)
        wrong += differing(folder, clean.expected) + leftovers(folder)
        assert again.status == 0, again.output
        identical += not wrong
        differences |= {number: wrong} if wrong else {}
        say(capsys, f"round {number + 1}: {identical} of {number + 1} identical")
    files = sum(len(wrong) for wrong in differences.values())
    say(capsys, f"{ROUNDS} rounds, {hits} killed before the end, {identical} identical, {files} files differing")
    assert differences == {}
    assert hits >= ROUNDS // 2


def say(capsys, text: str) -> None:
    """Show a line at once, whether the test ends well or not."""
    with capsys.disabled():
        sys.stdout.write(f"\n{text}")
        sys.stdout.flush()


@pytest.fixture
def small_results(clean, tmp_path) -> Iterator[Path]:
    """A project in which nothing has run, whose results lie on a disk that is too small even for the first of them."""
    folder = clean.start(tmp_path / "project")
    with mounted(folder / "results", 300):
        yield folder


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(clean, server, small_results) -> None:
    stopped = run(server, small_results, "--notemp", *FIRST)
    assert stopped.status == 1
    assert f"{NO_ROOM} (os error 28). Is there room on the disk?" in stopped.output
    assert "Traceback" not in stopped.output
    assert earlier_results_differ(small_results, clean.expected) == []
    resized(small_results / "results", 30_000)
    again = run(server, small_results, "--notemp", *FIRST)
    assert again.status == 0, again.output
    assert earlier_results_differ(small_results, clean.expected) == []
    assert leftovers(small_results) == []
    assert {str(path) for path in FIRST} <= set(comparable(small_results))


def test_a_run_whose_results_cannot_be_written_to_says_so_and_changes_nothing(clean, server, tmp_path) -> None:
    folder = clean.copy(tmp_path / "project")
    (folder / RESULTS / "metrics/gates.txt").unlink()
    before = contents(folder / "results")
    for place, named in ((folder / "results", RESULTS), (folder, ".snakemake")):
        with read_only(place):
            refused = run(server, folder)
        assert refused.status == 1
        assert f"cannot write into {folder / named}" in refused.output
        assert "chmod u+w" in refused.output
        assert "Traceback" not in refused.output
        assert contents(folder / "results") == before


@pytest.mark.long
def test_results_that_seem_older_than_what_they_were_made_of_are_made_again_alike(clean, server, tmp_path) -> None:
    generator = np.random.default_rng(SEED)
    folder = clean.copy(tmp_path / "project")
    touch(folder, generator.choice(late(clean), 6, replace=False), -DAY_S)
    again = run(server, folder, *BY_TIME)
    assert again.status == 0, again.output
    assert "Nothing to be done" not in again.output
    assert differing(folder, clean.expected) == []


def test_results_of_the_future_stop_the_run_until_they_are_touched(clean, server, tmp_path) -> None:
    """Snakemake refuses what it makes of them, since it would be made again for ever."""
    folder = clean.copy(tmp_path / "project")
    touch(folder, late(clean), DAY_S)
    (folder / RESULTS / "reports/index.html").unlink()
    stopped = run(server, folder, *BY_TIME)
    assert stopped.status == 1
    assert "Traceback" not in stopped.output
    command = re.search(r"run again: (find .*)$", stopped.output, re.MULTILINE)
    assert command, stopped.output
    assert earlier_results_differ(folder, clean.expected) == []
    subprocess.run(command[1].replace("{}", "'{}'"), cwd=folder, shell=True, check=True)
    again = run(server, folder, *BY_TIME)
    assert again.status == 0, again.output
    assert differing(folder, clean.expected) == []


def late(clean: Clean) -> list[str]:
    """Return results of the last steps."""
    return [name for name in sorted(clean.expected) if "/metrics/" in name]


def touch(folder: Path, names: Iterable[str], seconds_from_now: float) -> None:
    """Set the times of files."""
    seconds = time.time() + seconds_from_now
    for name in names:
        os.utime(folder / name, (seconds, seconds))


def test_a_second_run_in_a_folder_is_refused_and_the_first_ends_well(clean, server, tmp_path) -> None:
    folder = clean.start(tmp_path / "project")
    locks = folder / ".snakemake/locks"
    with server.paused():
        first = Run(folder, "--notemp", *FIRST, server=server)
        while first.wait(0.02) and not (locks.is_dir() and any(locks.iterdir())):
            pass
        second = run(server, folder, "--notemp", *FIRST)
    assert second.status == 1
    assert "--unlock" in second.output
    assert "no other Snakemake process" in second.output
    assert "Traceback" not in second.output
    ended = first.end()
    assert ended.status == 0, ended.output
    assert set(comparable(folder).items()) <= set(clean.expected.items())
