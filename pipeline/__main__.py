"""`brainsr`: super-resolution of brain images on the command line; `python -m pipeline` is the same program."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from pipeline import __version__
from pipeline.console import docstring_summary, run_app

COMMANDS = (
    "apply",
    "combine",
    "bids",
    "networks",
    "run",
    "check",
    "table",
    "gate",
    "figure",
    "reproduce",
    "export",
    "configure",
)


def app_for(arguments: Sequence[str]) -> App:
    """Return the application; of its commands, only the one that the arguments name is imported."""
    app = App(
        name="brainsr",
        help="Super-resolution of brain images, with a check of what can be trusted.",
        version=__version__,
        help_format="markdown",
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.register_install_completion_command(help="Install completion for the current shell.")
    for name in COMMANDS:
        module = f"pipeline.commands.{name}"
        if name in arguments[:1]:
            app.command(getattr(importlib.import_module(module), name), name=name)
        else:
            app.command(f"{module}:{name}", name=name, help=docstring_summary(module), sort_key=COMMANDS.index(name))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status, see `run_app`."""
    given = sys.argv[1:] if arguments is None else list(map(str, arguments))
    command = "brainsr " + given[0] if given and given[0] in COMMANDS else "brainsr"
    return run_app(app_for(given), given or ["--help"], command)


if __name__ == "__main__":
    sys.exit(main())
