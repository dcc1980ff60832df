"""Print the default configuration, or write it and its schema."""

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


def configure(*, write: bool = False) -> None:
    """Print the default configuration, or write it and its schema.

    config.yaml and workflow/schemas/config.schema.json are generated from the typed models in pipeline/config.

    Args:
        write: write both files into this checkout instead of printing the configuration.
    """
    if not write:
        sys.stdout.write(default_config())
    elif (WORKFLOW_FOLDER / "pyproject.toml").is_file():
        write_documents(WORKFLOW_FOLDER)
    else:
        raise UserError(
            "--write requires a checkout of BrainSR. For a configuration of your own: brainsr configure > my.yaml"
        )


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
