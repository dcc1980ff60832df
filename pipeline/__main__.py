"""`python -m pipeline STAGE ...`: one command a stage, each useful by hand."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

from pipeline.console import start_logging
from pipeline.errors import UserError
from pipeline.steps._cli import stage_parser

INTERRUPTED = 130
COMMANDS = ("apply", "figure", "table", "configure", "repeat", "compare_runs")

# Threads that wait by spinning take the core from those that work as soon as anything else runs: with one other busy
# process on two cores a training step took 2.5 times as long. OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(arguments: Sequence[str]) -> int:
    """Run one stage and return the exit status: 0, 1 for a mistake of the user's, 2 for a wrong command line."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        print(f"error: there is no stage {arguments[0]!r}\n\n{overview()}", file=sys.stderr)
        return 2
    return run_stage(arguments[0], arguments[1:])


def overview() -> str:
    """Return the list of stages."""
    lines = [f"  {name}" for name in COMMANDS]
    return "\n".join(
        ["usage: python -m pipeline STAGE ...", "", *lines, "", "python -m pipeline STAGE --help tells more."]
    )


def run_stage(stage: str, arguments: Sequence[str]) -> int:
    """Parse a stage's arguments and run it; a user's mistake becomes one message and exit status 1."""
    module = importlib.import_module(f"pipeline.commands.{stage}")
    parser = stage_parser(stage, module.__doc__)
    module.add_arguments(parser)
    parsed = parser.parse_args(arguments)
    start_logging()
    try:
        module.main(parsed)
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
    sys.exit(main(sys.argv[1:]))
