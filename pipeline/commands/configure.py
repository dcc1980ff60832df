"""Check a configuration and lists all its mistakes; writes or prints the default one and its schema.

config.yaml and workflow/schemas/config.schema.json are generated from the typed models in pipeline/config: after a
change there, --write brings both up to date.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from pipeline.config.documents import default_config, schema
from pipeline.config.load import check_files, read_run, read_yaml
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.steps._cli import ArgumentParser, Namespace

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG_FILE = Path("config.yaml")
SCHEMA_FILE = Path("workflow/schemas/config.schema.json")

logger = logging.getLogger(__name__)


def check(path: Path) -> None:
    """Check a configuration file, and that the files on this machine that it names are there.

    Raises:
        UserError: with every mistake, naming the file.
    """
    values = read_yaml(path)
    try:
        run = read_run(values, files=[path])
        check_files(run)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    logger.info("%s: no mistakes; run %r, %d volumes", path, run.run, len(run.volumes))


def documents() -> dict[Path, str]:
    """Return the text of both generated files, by their path in the checkout."""
    return {CONFIG_FILE: default_config(), SCHEMA_FILE: schema()}


def write(folder: Path) -> None:
    """Write both generated files into a checkout.

    Raises:
        UserError: a file cannot be written.
    """
    for path, text in documents().items():
        write_text(folder / path, text)
        logger.info("wrote %s", folder / path)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", type=Path, metavar="FILE", help="check a configuration file")
    action.add_argument("--write", action="store_true", help="write config.yaml and its schema into this checkout")
    action.add_argument("--print", action="store_true", help="print the default configuration")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    if arguments.check:
        check(arguments.check)
    elif arguments.write:
        write(CHECKOUT)
    else:
        sys.stdout.write(default_config())
