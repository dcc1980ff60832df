"""Command line that runs Snakemake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from pipeline import WORKFLOW_FOLDER

SNAKEFILE = WORKFLOW_FOLDER / "Snakefile"
CORE_OPTIONS = ("--cores", "--jobs", "--profile", "--workflow-profile", "--executor")
SHORT_CORE_OPTIONS = ("-c", "-j", "-e")
"""Options of Snakemake that set the number of cores, directly or through a profile."""


def snakemake_command(options: Sequence[str]) -> list[str]:
    """Return the command that runs the workflow, on all cores unless the options specify otherwise."""
    chosen = any(word.partition("=")[0] in CORE_OPTIONS or word.startswith(SHORT_CORE_OPTIONS) for word in options)
    cores = [] if chosen else ["--cores", "all"]
    return [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), *cores, *options]


def run_snakemake(options: Sequence[str]) -> int:
    """Run the workflow and return the exit status; see `snakemake_command`."""
    with subprocess.Popen(snakemake_command(options)) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Snakemake receives the interrupt as well; it must terminate by itself to release its lock.
            process.wait()
            raise
