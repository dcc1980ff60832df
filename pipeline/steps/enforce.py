"""Stop the run, or warn, if delivered volumes are inconsistent with their inputs (`evaluate.on_gate_failure`).

This step runs last, after all reports are written.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.steps._cli import ArgumentParser, Namespace, add_path
from pipeline.tables.gate import GateRow, read_gates

logger = logging.getLogger(__name__)


def failed(rows: Sequence[GateRow], method: str) -> list[GateRow]:
    """Return the gates that a method did not pass.

    Raises:
        UserError: the table does not know the method.
    """
    known = sorted({row.method for row in rows})
    if method not in known:
        raise UserError(f"--method: the table of gates has no {method!r}, only {', '.join(known) or 'nothing'}.")
    return [row for row in rows if row.method == method and not row.passed]


def verdict(rows: Sequence[GateRow], method: str) -> str:
    """Return what is to be said of the delivered method; errors as `failed`."""
    found = failed(rows, method)
    volumes = {row.volume for row in rows if row.method == method}
    if not found:
        return f"{method} agrees with the measurement of all {len(volumes)} volumes within the noise."
    concerned = len({row.volume for row in found})
    lines = [f"  volume {row.volume!r}: {row.gate} is {row.value:.4g}, limit {row.limit:.4g}" for row in found]
    return "\n".join([f"{method} contradicts what was measured in {concerned} of {len(volumes)} volumes:", *lines])


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--gates", "the table of gates (.csv)")
    parser.add_argument("--method", required=True, help="the method that is delivered")
    text = "fail stops with an error where the method fails a gate; warn writes it down and goes on"
    parser.add_argument("--on-gate", default="warn", choices=("warn", "fail"), help=text)
    add_path(parser, "--output", "the verdict in words (.txt)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    rows = read_gates(arguments.gates)
    said = verdict(rows, arguments.method)
    if failed(rows, arguments.method):
        if arguments.on_gate_failure == "fail":
            raise UserError(
                f"{said}\nevaluate.on_gate_failure is fail, so the run stops here; all results and "
                "reports are written. Do not use these volumes before the cause is found, or set "
                "evaluate.on_gate_failure: warn."
            )
        logger.warning("%s", said)
    write_text(arguments.output, said + "\n")
