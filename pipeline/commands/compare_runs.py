"""Compare the networks, volumes and tables of two runs byte by byte; exit status 1 where they differ."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.provenance.outputs import IDENTICAL, Comparison, compare, counts
from pipeline.provenance.record import read_record
from pipeline.provenance.reproduction import differences
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

MAX_LISTED = 30
"""Files that are told by name."""


def told(comparisons: Sequence[Comparison], changed: Sequence[str]) -> str:
    """Return the table of kinds and verdicts, the files that are not the same, and what may be the reason."""
    odd = [one for one in comparisons if one.verdict != IDENTICAL]
    lines = [counts(comparisons).to_string(), ""]
    lines += [f"{one.verdict}: {one.path}" for one in odd[:MAX_LISTED]]
    if len(odd) > MAX_LISTED:
        lines.append(f"and {len(odd) - MAX_LISTED} more")
    lines += [f"not as it was: {difference}" for difference in changed]
    return "\n".join(lines).rstrip() + "\n"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--run", "folder of a run's results")
    add_path(parser, "--again", "folder of its repetition's results")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    records = [read_record(folder) for folder in (arguments.run, arguments.again)]
    comparisons = compare(arguments.run, arguments.again)
    if not comparisons:
        raise UserError(f"{arguments.run}: holds no network, volume or table. Has the run ended?")
    sys.stdout.write(told(comparisons, list(differences(*records))))
    sys.stdout.flush()
    odd = sum(one.verdict != IDENTICAL for one in comparisons)
    if odd:
        raise UserError(f"{odd} of {len(comparisons)} files are not the same in {arguments.again}.")
    sys.stdout.write(f"all {len(comparisons)} files are the same, byte by byte (clocks of the trainings apart)\n")
