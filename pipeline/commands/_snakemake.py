"""Command line that runs Snakemake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import WORKFLOW_FOLDER

SNAKEFILE = WORKFLOW_FOLDER / "Snakefile"
CORE_OPTIONS = ("--cores", "--jobs", "--profile", "--workflow-profile", "--executor")
SHORT_CORE_OPTIONS = ("-c", "-j", "-e")
"""Options of Snakemake that set the number of cores, directly or through a profile."""


def with_cores(options: Sequence[str]) -> list[str]:
    """Return the options with all cores, unless they specify otherwise."""
    chosen = any(word.partition("=")[0] in CORE_OPTIONS or word.startswith(SHORT_CORE_OPTIONS) for word in options)
    return [*([] if chosen else ["--cores", "all"]), *options]


def snakemake_command(options: Sequence[str], snakefile: Path = SNAKEFILE) -> list[str]:
    """Return the command that runs a workflow, on all cores unless the options specify otherwise."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *with_cores(options)]


def snakemake_environment() -> dict[str, str]:
    """Return the environment variables of Snakemake.

    It caches files in the home folder. If that is read-only, as in a container, the cache is in the current folder.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()).absolute()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if os.access(existing, os.W_OK):
        return dict(os.environ)
    return {**os.environ, "XDG_CACHE_HOME": str(Path(".snakemake/cache").absolute())}


def run_snakemake(options: Sequence[str], snakefile: Path = SNAKEFILE, kept_open: Sequence[int] = ()) -> int:
    """Run a workflow and return the exit status.

    Args:
        options: options of Snakemake, see `snakemake_command`.
        snakefile: the workflow.
        kept_open: file descriptors that Snakemake inherits, such as that of a lock.
    """
    command = snakemake_command(options, snakefile)
    with subprocess.Popen(command, env=snakemake_environment(), pass_fds=kept_open) as process:
        try:
            return process.wait()
        except KeyboardInterrupt as interrupt:
            # Ctrl-C reaches Snakemake as well, other signals may not. It must end by itself to release its lock.
            if interrupt.args not in ((), (signal.SIGINT,)):
                process.send_signal(interrupt.args[0])
            process.wait()
            raise
