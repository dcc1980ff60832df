"""`brainsr`: super-resolution of brain images on the command line; `python -m pipeline` is the same program."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from pipeline import __version__
from pipeline.console import docstring_summary, run_app

# Threads that wait by spinning slow down all others: with one other busy process on two cores a training step took
# 2.5 times as long. OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

COMMANDS = ("apply", "run", "check", "table", "gate", "figure", "reproduce", "export", "configure")


def app_for(arguments: Sequence[str]) -> App:
    """Return the application; of its commands, only the one that the arguments name is imported."""
    app = App(
        name="brainsr",
        help="Super-resolution of brain images, with a check of what can be trusted.",
        version=__version__,
        help_format="plaintext",
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
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
    return run_app(app_for(given), given or ["--help"], f"brainsr {given[0] if given else ''}".rstrip())


def run_stage(stage: str, arguments: Sequence[str]) -> int:
    """Run a step that does not yet use `pipeline.steps._framework`.

    Parse a stage's arguments and run it; a user's mistake becomes one message and exit status 1."""
    module = importlib.import_module(module_of(stage))
    parser = stage_parser(stage, module.__doc__)
    module.add_arguments(parser)
    text = "folders of results: each appears when all that goes into it is written"
    parser.add_argument("--whole", type=Path, nargs="*", default=[], metavar="FOLDER", help=text)
    parsed = parser.parse_args(arguments)
    start_logging()
    try:
        run_volumes(module, parser, parsed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        logging.getLogger(__name__).debug("details", exc_info=True)
        print(f"error: {error.filename or stage}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
