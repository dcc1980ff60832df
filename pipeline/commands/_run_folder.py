"""The folder of a run given on the command line."""

from __future__ import annotations

from pathlib import Path


def run_folder(run: Path) -> Path:
    """Return the folder of a run, given by its folder or by its name."""
    return run if run.is_dir() or len(run.parts) > 1 else Path("results") / run
