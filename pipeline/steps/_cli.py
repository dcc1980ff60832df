"""What all stages' command lines share."""

from __future__ import annotations

import argparse
import importlib
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.base import Section
from pipeline.console import exit_status, show_progress, start_logging


class ArgumentParser(argparse.ArgumentParser):
    """A parser of a stage that may handle several volumes, see `pipeline.steps._each_volume`.

    What is written @FILE stands for the lines of a file, since a command line has an end: rules hand the files of
    thousands of volumes over as @<(printf ...).

    Attributes:
        of_each_volume: options that take what belongs to all volumes, in the same order, and whether there are several
            values a volume.
        tables: options that name a table into which the rows of all volumes go.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(fromfile_prefix_chars="@", **options)
        self.of_each_volume: dict[str, bool] = {}
        self.tables: list[str] = []

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """Return the value on a line of a file; an empty list is printed as an empty line."""
        return [arg_line] if arg_line else []

    def each_volume(self, action: argparse.Action, *, many: bool = False) -> None:
        """Mark an option that takes one value a volume, or, where `many`, equally many."""
        self.of_each_volume[action.dest] = many


def stage_parser(stage: str, description: str | None) -> ArgumentParser:
    """Return the parser of `python -m pipeline <stage>`; the stage's own description opens its help."""
    return ArgumentParser(
        prog=f"python -m pipeline.steps {stage}", description=description, formatter_class=RawDescriptionHelpFormatter
    )


def add_settings(parser: ArgumentParser, section: type[Section]) -> None:
    """Add --settings, the stage's section of the configuration."""
    name = section.__name__.lower()
    parser.add_argument(
        "--settings",
        default="{}",
        metavar="JSON|FILE",
        help=f"the {name} section as JSON, or a configuration file that has one; what is left out has its default",
    )


def add_path(
    parser: ArgumentParser,
    flag: str,
    help_text: str,
    *,
    many: bool = False,
    required: bool = True,
    each_volume: bool = False,
) -> None:
    """Add an option that takes a path, or several; where `each_volume`, so many for every volume."""
    nargs = "+" if many or each_volume else None
    action = parser.add_argument(flag, type=Path, nargs=nargs, required=required, metavar="PATH", help=help_text)
    if each_volume:
        parser.each_volume(action, many=many)


def add_table(parser: ArgumentParser, flag: str, help_text: str) -> None:
    """Add an option that takes the path of a table (.csv); the rows of all volumes go into it."""
    action = parser.add_argument(flag, type=Path, required=True, metavar="PATH", help=help_text)
    parser.tables.append(action.dest)


def _above_zero(text: str) -> int:
    """Read a whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def add_memory(parser: ArgumentParser) -> None:
    """Add --memory-mb, the memory that a scheduler lets the stage take."""
    text = "memory that this may take, in MB; fewer slices are computed side by side (default: what is free)"
    parser.add_argument("--memory-mb", type=_above_zero, metavar="N", help=text)


def run_stage(stage: str, arguments: Sequence[str]) -> int:
    """Run a step that does not yet use `pipeline.steps._framework`."""
    from pipeline.steps._each_volume import run_volumes

    module = importlib.import_module(f"pipeline.steps.{stage}")
    parser = stage_parser(stage, module.__doc__)
    module.add_arguments(parser)
    text = "folders of results: each appears when all that goes into it is written"
    parser.add_argument("--whole", type=Path, nargs="*", default=[], metavar="FOLDER", help=text)
    parsed = parser.parse_args(arguments)
    start_logging()
    return exit_status(lambda: run_volumes(module, parser, parsed), stage)


__all__ = [
    "ArgumentParser",
    "Namespace",
    "add_memory",
    "add_path",
    "add_settings",
    "add_table",
    "show_progress",
    "stage_parser",
    "start_logging",
]
