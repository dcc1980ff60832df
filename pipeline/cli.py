"""What all stages' command lines share."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from pipeline.config.base import Section


def stage_parser(stage: str, description: str | None) -> ArgumentParser:
    """Returns the parser of `python -m pipeline <stage>`; the stage's own description opens its help."""
    return ArgumentParser(
        prog=f"python -m pipeline {stage}", description=description, formatter_class=RawDescriptionHelpFormatter
    )


def add_settings(parser: ArgumentParser, section: type[Section]) -> None:
    """Adds --settings, the stage's section of the configuration."""
    name = section.__name__.lower()
    parser.add_argument(
        "--settings",
        default="{}",
        metavar="JSON|FILE",
        help=f"the {name} section as JSON, or a configuration file that has one; what is left out has its default",
    )


def add_path(parser: ArgumentParser, flag: str, help_text: str, *, many: bool = False, required: bool = True) -> None:
    """Adds an option that takes a path, or several."""
    nargs = "+" if many else None
    parser.add_argument(flag, type=Path, nargs=nargs, required=required, metavar="PATH", help=help_text)


def start_logging() -> None:
    """Sends progress messages to standard error, which the rules write into their log."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )


def show_progress() -> bool:
    """Says whether a progress bar would be seen by a person."""
    return sys.stderr.isatty()


__all__ = ["ArgumentParser", "Namespace", "add_path", "add_settings", "show_progress", "stage_parser", "start_logging"]
