"""Weights of networks that ship with BrainSR."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.shipped import zoo_folder
from pipeline.config.sources import ShippedSource
from pipeline.errors import UserError
from pipeline.sources.retries import Patience


def fetch(source: ShippedSource, archives: Path, patience: Patience) -> Path:
    """Return the path of the weights in the folder of the networks that ship; `archives` is not used.

    Raises:
        UserError: the file does not exist.
    """
    del archives, patience
    path = zoo_folder() / source.file
    if not path.is_file():
        raise UserError(f"{path}: no such file. It is a part of BrainSR; install it again.")
    return path
