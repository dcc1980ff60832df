"""Repeat a run from its provenance and compare the results."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.commands._run_folder import run_folder
from pipeline.commands._snakemake import run_snakemake
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.provenance.outputs import Comparison

logger = logging.getLogger(__name__)

MAX_LISTED = 30
"""Maximum number of files listed."""


def reproduce(
    run: Path,
    /,
    *options: Annotated[str, Parameter(allow_leading_hyphen=True)],
    into: Path | None = None,
    compare_only: bool = False,
) -> int:
    """Repeat a run from its provenance and compare the results byte by byte.

    The run is repeated in a separate folder, with the current code and packages; differences from those of the run
    are listed. Downloads and local files are shared through links. Elapsed times in training histories are not
    compared. The exit status is 1 if any file differs. To resume after an interruption, run the same command again.

    Args:
        run: the run's folder, such as results/demo, or its name.
        into: folder in which the run is repeated; by default reproductions/RUN.
        compare_only: compare with the results in that folder without running anything.
        options: options of snakemake, such as --cores 8 or --workflow-profile profiles/slurm.
    """
    from pipeline.provenance.outputs import IDENTICAL, compare
    from pipeline.provenance.record import FILE_NAME, read_provenance
    from pipeline.provenance.reproduction import CONFIG, changes_since, differences, prepare_folder

    results = run_folder(run)
    folder = into or Path("reproductions") / results.name
    again = folder / "results" / results.name
    record = read_provenance(results / FILE_NAME)
    if not compare_only:
        prepare_folder(results, folder)
        for change in changes_since(record):
            logger.warning("changed since the run: %s", change)
        status = run_snakemake(["--directory", str(folder), "--configfile", str(folder / CONFIG), *options])
        if status:
            return status
    comparisons = compare(results, again)
    if not comparisons:
        raise UserError(f"{results}: contains no network, volume or table. Has the run finished?")
    sys.stdout.write(comparison_text(comparisons, list(differences(record, read_provenance(again / FILE_NAME)))))
    different = sum(one.verdict != IDENTICAL for one in comparisons)
    if different:
        sys.stdout.flush()
        raise UserError(f"{different} of {len(comparisons)} files differ in {again}.")
    sys.stdout.write(f"All {len(comparisons)} files are identical (ignoring elapsed times in training histories).\n")
    return 0


def comparison_text(comparisons: Sequence[Comparison], changed: Sequence[str]) -> str:
    """Return the number of files by kind and verdict, the files that differ, and what else differs between the runs."""
    from pipeline.provenance.outputs import IDENTICAL, counts

    different = [one for one in comparisons if one.verdict != IDENTICAL]
    lines = [counts(comparisons).to_string(), ""]
    lines += [f"{one.verdict}: {one.path}" for one in different[:MAX_LISTED]]
    if len(different) > MAX_LISTED:
        lines.append(f"and {len(different) - MAX_LISTED} more")
    lines += [f"changed since the run: {change}" for change in changed]
    return "\n".join(lines).rstrip() + "\n"
