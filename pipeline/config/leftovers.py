"""Jobs that an earlier run has left in a cluster's queue.

A Snakemake that was killed leaves its Slurm jobs behind: they run on, or wait to. Started again it knows nothing of
them, would submit the same work once more, and an old job that starts or fails later would remove the new results.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 30
"""A controller of Slurm that is busy takes its time."""


@dataclass(frozen=True)
class LeftOver:
    """A job in the queue.

    Attributes:
        number: Slurm's number.
        state: such as RUNNING or PENDING.
        work: the rule and its wildcards, as Snakemake's executor names them.
    """

    number: str
    state: str
    work: str


def left_over_jobs(folder: Path) -> list[LeftOver]:
    """Return the jobs of Snakemake that work in a folder; none where Slurm is absent or does not answer."""
    squeue = shutil.which("squeue")
    if squeue is None:
        return []
    command = [squeue, "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T|%k|%Z"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return []
    rows = [] if result.returncode else [line.split("|", 3) for line in result.stdout.splitlines()]
    return [
        LeftOver(number, state, comment)
        for number, state, comment, place in rows
        if comment.startswith(("rule_", "group_")) and os.path.realpath(place) == os.path.realpath(folder)
    ]


def message_on(jobs: list[LeftOver]) -> str:
    """Return what a user has to know and do about jobs that are left over."""
    listed = "\n".join(f"  {job.number} {job.work} ({job.state})" for job in jobs)
    numbers = " ".join(job.number for job in jobs)
    return (
        f"an earlier run has left jobs in the queue, which still work in this folder:\n{listed}\n"
        "Wait until they have ended (squeue --me), then start again: what they finish is kept. "
        f"Or stop them first: scancel {numbers}\nA training that is stopped goes on from its last checkpoint."
    )
