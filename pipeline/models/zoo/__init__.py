"""Networks that ship: NAME.safetensors in half precision, NAME.md (model card), and networks.yaml, their table."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.shipped import FOLDER_VARIABLE, shipped_networks, weights_file, zoo_folder
from pipeline.errors import UserError
from pipeline.files import sha256_of


def checked_weights(name: str) -> Path:
    """Return the path of the weights of a network that ships, after a check of their SHA-256.

    Raises:
        UserError: the file is missing or damaged.
    """
    path, expected = zoo_folder() / weights_file(name), shipped_networks()[name].sha256
    restore = f"Restore it (git checkout {path.name}), or install BrainSR again; see also {FOLDER_VARIABLE}."
    if not path.is_file():
        raise UserError(f"{path}: the weights of the network {name} are missing. {restore}")
    found = sha256_of(path)
    if found != expected:
        raise UserError(
            f"{path}: the weights of the network {name} are damaged: expected SHA-256 {expected}, found {found}. "
            f"{restore}"
        )
    return path
