"""Print the verdict on a run and its metric table."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.commands._run_folder import run_folder


def table(run: Path, /, *, wide: bool = False) -> None:
    """Print the verdict on a run and its metric table.

    The best value of each column is marked with an asterisk.

    Args:
        run: the run's folder, such as results/demo, or its name.
        wide: show all splits, regions and metrics, without truncating lines to 80 columns.
    """
    from pipeline.reporting.terminal import run_text

    sys.stdout.write(run_text(run_folder(run), wide=wide))
