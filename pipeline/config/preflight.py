"""Checks before the first job of a run: writable folders, and no jobs of an earlier run in the queue."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError

TIMEOUT_S = 30
"""A busy Slurm controller answers slowly."""


def check_writable(folders: Iterable[Path]) -> None:
    """Check that files can be created and removed in folders, or in the closest parent that exists.

    Snakemake itself would end with a traceback.

    Raises:
        UserError: naming the folders in which they cannot.
    """
    existing = [next(path for path in (folder, *folder.absolute().parents) if path.exists()) for folder in folders]
    refusing = [folder for folder in existing if not os.access(folder, os.W_OK | os.X_OK)]
    if refusing:
        named = ", ".join(dict.fromkeys(str(folder.absolute()) for folder in refusing))
        raise UserError(
            f"cannot write into {named}: the folder or its disk is read-only, or belongs to another user. Nothing was "
            "changed. Allow writing (chmod u+w), or work in another folder (snakemake --directory FOLDER)."
        )


def check_queue(folder: Path) -> None:
    """Check that no Slurm jobs of an earlier run still work in a folder.

    A Snakemake that is killed leaves its jobs in the queue. Started again it does not know them and submits the same
    work once more, and an old job that fails later would remove the new results. Without Slurm, or if it does not
    answer, nothing is checked.

    Raises:
        UserError: listing the jobs.
    """
    squeue = shutil.which("squeue")
    if squeue is None:
        return
    command = [squeue, "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T|%k|%Z"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return
    rows = [] if result.returncode else [line.split("|", 3) for line in result.stdout.splitlines()]
    # Snakemake's executor puts the rule and its wildcards into the comment of a job.
    left = [
        (number, state, comment)
        for number, state, comment, place in rows
        if comment.startswith(("rule_", "group_")) and os.path.realpath(place) == os.path.realpath(folder)
    ]
    if left:
        listed = "\n".join(f"  {number} {comment} ({state})" for number, state, comment in left)
        raise UserError(
            f"jobs of an earlier run in this folder are still in the queue:\n{listed}\n"
            "Wait until they have finished (squeue --me), then start again: their results are kept. "
            f"Or cancel them first: scancel {' '.join(number for number, *_ in left)}\n"
            "Cancelled training jobs resume from their last checkpoint."
        )
