"""Command line that runs Snakemake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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


def snakemake_environment() -> dict[str, str]:
    """Return the environment variables of Snakemake.

    It caches files in the home folder. If that is read-only, as in a container, the cache is in the current folder.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()).absolute()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if os.access(existing, os.W_OK):
        return dict(os.environ)
    return {**os.environ, "XDG_CACHE_HOME": str(Path(".snakemake/cache").absolute())}


def run_snakemake(options: Sequence[str]) -> int:
    """Run the workflow and return the exit status; see `snakemake_command`."""
    with subprocess.Popen(snakemake_command(options), env=snakemake_environment()) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # Snakemake receives the interrupt as well; it must terminate by itself to release its lock.
            process.wait()
            raise
