"""Whether a run may write where it has to: asked before it begins, since Snakemake itself answers with a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError


def check_writable(folders: Iterable[Path]) -> None:
    """Check that files can be made and removed in folders; for one that is still to be made, in what holds it.

    Raises:
        UserError: naming those where they cannot.
    """
    refusing = [folder for folder in map(_existing, folders) if not os.access(folder, os.W_OK | os.X_OK)]
    if refusing:
        named = ", ".join(dict.fromkeys(str(folder.absolute()) for folder in refusing))
        raise UserError(
            f"cannot write into {named}: the folder or its disk is read-only, or belongs to somebody else. Nothing was "
            "changed. Give yourself the right to write (chmod u+w), or work elsewhere (snakemake --directory FOLDER)."
        )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
