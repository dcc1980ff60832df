"""Run the workflow: train, restore, evaluate and report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipeline.commands._snakemake import snakemake_command


def run(
    *options: Annotated[str, Parameter(allow_leading_hyphen=True)],
    configfile: Annotated[tuple[Path, ...], Parameter(consume_multiple=False)] = (),
) -> None:
    """Run the workflow: train, restore, evaluate and report.

    Results go to results/RUN in the current folder. An interrupted run resumes from its last completed step.

    Args:
        configfile: configuration of the run; by default the demo.
        options: options and targets of snakemake, such as -n or --cores 4. Without --cores, all cores are used.
    """
    given = [word for path in configfile for word in ("--configfile", str(path))]
    command = snakemake_command([*given, *options])
    sys.stdout.flush()
    # Snakemake replaces this process, so that signals reach it.
    os.execv(command[0], command)
