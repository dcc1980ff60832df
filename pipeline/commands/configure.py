"""Print the default configuration, an example or a Snakemake profile."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from pipeline import WORKFLOW_FOLDER
from pipeline.config.documents import default_config, schema
from pipeline.errors import UserError
from pipeline.files import write_text

CONFIG_FILE = Path("config.yaml")
SCHEMA_FILE = Path("workflow/schemas/config.schema.json")

logger = logging.getLogger(__name__)


def configure(*, example: str | None = None, profile: str | None = None, write: bool = False) -> None:
    """Print the default configuration, an example or a Snakemake profile.

    config.yaml and workflow/schemas/config.schema.json are generated from the typed models in pipeline/config.

    Args:
        example: print this example of a configuration, such as own-volumes or bids.
        profile: print this Snakemake profile, such as slurm, to be stored as profile.yaml in a folder for
            `brainsr run --workflow-profile FOLDER`.
        write: write both files into this checkout instead of printing the configuration.
    """
    if [example is not None, profile is not None, write].count(True) > 1:
        raise UserError("--example, --profile and --write exclude each other.")
    if example is not None:
        sys.stdout.write(_text("example", WORKFLOW_FOLDER / "examples", f"{example}.yaml"))
    elif profile is not None:
        sys.stdout.write(_text("profile", WORKFLOW_FOLDER / "profiles", f"{profile}/profile.yaml"))
    elif not write:
        sys.stdout.write(default_config())
    elif (WORKFLOW_FOLDER / "pyproject.toml").is_file():
        write_documents(WORKFLOW_FOLDER)
    else:
        raise UserError(
            "--write requires a checkout of BrainSR. For a configuration of your own: brainsr configure > my.yaml"
        )


def _text(option: str, folder: Path, name: str) -> str:
    """Return the text of a file that ships.

    Raises:
        UserError: there is no such file; the message lists all of them.
    """
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.yaml"))
    if Path(name) not in files:
        names = [path.parent if path.name == "profile.yaml" else path.with_suffix("") for path in files]
        raise UserError(f"--{option}: there is no {option} of this name; there are: {', '.join(map(str, names))}.")
    return (folder / name).read_text(encoding="utf-8")


def documents() -> dict[Path, str]:
    """Return the text of both generated files by their path in the checkout."""
    return {CONFIG_FILE: default_config(), SCHEMA_FILE: schema()}


def write_documents(folder: Path) -> None:
    """Write both generated files into a checkout.

    Raises:
        UserError: a file cannot be written.
    """
    for path, text in documents().items():
        write_text(folder / path, text)
        logger.info("wrote %s", folder / path)
