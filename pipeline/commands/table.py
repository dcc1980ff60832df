"""Print the metric table of a run, and where its report is."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from pipeline.config.run import NOT_TESTED
from pipeline.config.volumes import TEST_SPLITS
from pipeline.errors import UserError
from pipeline.steps._cli import ArgumentParser, Namespace


def metric_table(summary: pd.DataFrame, region: str = "foreground") -> pd.DataFrame:
    """Return methods as rows and, per split, the mean of every metric as columns.

    Args:
        summary: the table summary.csv.
        region: the region to show.
    """
    shown = summary.query("region == @region")
    methods, splits, metrics = (list(dict.fromkeys(shown[column])) for column in ("method", "split", "metric"))
    table = shown.pivot_table(index="method", columns=["split", "metric"], values="mean", sort=False)
    return table.reindex(index=methods, columns=pd.MultiIndex.from_product([splits, metrics]))


def table(run: Path) -> str:
    """Return the metric table of a run's folder as text, and the path of its report.

    Raises:
        UserError: the run has no summary yet.
    """
    path = run / "metrics" / "summary.csv"
    try:
        summary = pd.read_csv(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file. Has the run ended?") from error
    shown = metric_table(summary).to_string(float_format=lambda value: f"{value:.3f}")
    untested = "" if set(summary["split"]) & set(TEST_SPLITS) else f"Nothing was tested: {NOT_TESTED}.\n\n"
    return f"{untested}Mean over the foreground\n\n{shown}\n\nReport: {run / 'reports' / 'index.html'}\n"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("run", type=Path, metavar="FOLDER", help="folder of the run, such as results/demo")


def main(arguments: Namespace) -> None:
    """Run the command."""
    sys.stdout.write(table(arguments.run))
