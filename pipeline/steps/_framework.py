"""The command line of the workflow's steps.

A step is a module with a docstring, a frozen dataclass `Options` and a function `run(options)`. The first line of the
docstring is the step's purpose in the list of steps; the docstrings of the attributes are the help of the options.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cyclopts import App, Parameter, Token

from pipeline.config.base import Section
from pipeline.config.load import read_entry, read_section
from pipeline.console import WRONG_COMMAND_LINE, docstring_summary, exit_status, start_logging


def section(model: type[Section]) -> Parameter:
    """Return the annotation of an option that takes a section of the configuration, as JSON or as a file."""
    return _read_by(lambda text: read_section(model, text), "JSON|FILE")


def entry(model: Any, name: str) -> Parameter:
    """Return the annotation of an option that takes an entry of the configuration as JSON.

    Args:
        model: type of the entry.
        name: name of the entry in messages, such as "source".
    """
    return _read_by(lambda text: read_entry(model, text, name), "JSON")


def _read_by(read: Callable[[str], Any], shown: str) -> Parameter:
    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        return read(tokens[0].value)

    return Parameter(
        converter=convert, n_tokens=1, accepts_keys=False, json_list=False, metavar=shown, show_default=False
    )


def names() -> list[str]:
    """Return the names of all steps."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def overview() -> str:
    """Return the list of steps with their purposes."""
    lines = [f"  {name:<22} {docstring_summary(f'pipeline.steps.{name}')}" for name in names()]
    return "\n".join(["Usage: python -m pipeline.steps STEP [OPTIONS]", "", *lines])


def main(arguments: Sequence[str]) -> int:
    """Run one step.

    Returns:
        The exit status: 0, 1 for a user's mistake, 2 for a wrong command line, 130 when interrupted.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{overview()}\n")
        return 0 if arguments else WRONG_COMMAND_LINE
    step, *rest = arguments
    if step not in names():
        sys.stderr.write(f"error: there is no step {step!r}\n\n{overview()}\n")
        return WRONG_COMMAND_LINE
    module = importlib.import_module(f"pipeline.steps.{step}")
    start_logging()
    return exit_status(
        lambda: app_of(step, module)(_given(_expanded(rest), module.Options), exit_on_error=False, print_error=False),
        f"python -m pipeline.steps {step}",
    )


def app_of(step: str, module: Any) -> App:
    """Return the command line of a step."""
    app = App(
        name=f"python -m pipeline.steps {step}",
        help=module.__doc__,
        help_format="plaintext",
        version_flags=[],
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(consume_multiple=True, negative=()),
        result_action="return_value",
    )

    def run(options: Any) -> None:
        module.run(options)

    run.__annotations__ = {"options": Parameter(name="*")(module.Options)}
    app.default(run)
    return app


def _expanded(arguments: Sequence[str]) -> Iterator[str]:
    """Replace each @FILE by the lines of the file: the length of a command line is limited."""
    for argument in arguments:
        if argument.startswith("@"):
            yield from filter(None, Path(argument[1:]).read_text(encoding="utf-8").splitlines())
        else:
            yield argument


def _given(arguments: Iterable[str], model: Any) -> list[str]:
    """Leave out options without a value whose default is None: a rule passes no file if a run has none."""
    optional = {f"--{field.name.replace('_', '-')}" for field in fields(model) if field.default is None}
    kept = list(arguments)
    following = [*kept[1:], "--"]
    return [one for one, after in zip(kept, following, strict=True) if not (one in optional and after.startswith("--"))]
