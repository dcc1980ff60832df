"""Run the workflow: train, restore, evaluate and report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipeline.commands._snakemake import snakemake_command, snakemake_environment
from pipeline.errors import UserError


def run(
    *options: Annotated[str, Parameter(allow_leading_hyphen=True)],
    configfile: Annotated[tuple[Path, ...], Parameter(consume_multiple=False, show_default=False)] = (),
) -> None:
    """Run the workflow: train, restore, evaluate and report.

    Results go to results/RUN in the current folder. An interrupted run resumes from its last completed step.

    Args:
        configfile: configuration of the run; by default the demo.
        options: options and targets of snakemake, such as -n or --cores 4. Without --cores, all cores are used.
    """
    for path in configfile:
        if not path.is_file():
            raise UserError(f"--configfile: the file {path} does not exist")
    given = ["--configfile", *map(str, configfile)] if configfile else []
    # Last, since a target that follows them would be taken for one more configuration.
    command = snakemake_command([*options, *given])
    sys.stdout.flush()
    # Snakemake replaces this process, so that signals reach it.
    os.execve(command[0], command, snakemake_environment())
