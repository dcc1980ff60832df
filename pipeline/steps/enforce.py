"""Stop the run, or warn, where delivered volumes contradict the measurement (`evaluate.on_gate_failure`).

It is the last step, so that all pages exist when it stops.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.tables.gates import GATES, GateResult

logger = logging.getLogger(__name__)


def failed(rows: Sequence[GateResult], method: str) -> list[GateResult]:
    """Return the gates that a method did not pass.

    Raises:
        UserError: the table does not know the method.
    """
    known = sorted({row.method for row in rows})
    if method not in known:
        raise UserError(f"--method: the table of gates has no {method!r}, only {', '.join(known) or 'nothing'}.")
    return [row for row in rows if row.method == method and not row.passed]


def verdict(rows: Sequence[GateResult], method: str) -> str:
    """Return what is to be said of the delivered method; errors as `failed`."""
    found = failed(rows, method)
    volumes = {row.volume for row in rows if row.method == method}
    if not found:
        return f"{method} agrees with the measurement of all {len(volumes)} volumes within the noise."
    concerned = len({row.volume for row in found})
    lines = [f"  volume {row.volume!r}: {row.gate} is {row.value:.4g}, limit {row.limit:.4g}" for row in found]
    return "\n".join([f"{method} contradicts the measurement in {concerned} of {len(volumes)} volumes:", *lines])


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    gates: Path
    """Table of the consistency gates (.csv)."""
    method: str
    """Method that is delivered."""
    on_gate_failure: Literal["warn", "fail"] = "warn"
    """fail: stop with an error where the method fails a gate; warn: record it and continue."""
    output: Path
    """The verdict in words (.txt)."""


def run(options: Options) -> None:
    """Write the verdict.

    Raises:
        UserError: the delivered method fails a gate, and `on_gate_failure` is fail.
    """
    rows = GATES.read_rows(options.gates)
    text = verdict(rows, options.method)
    if failed(rows, options.method):
        if options.on_gate_failure == "fail":
            raise UserError(
                f"{text}\nevaluate.on_gate_failure is fail, so the run stops here; all results and reports "
                "are written. Do not use these volumes before the cause is found, or set "
                "evaluate.on_gate_failure: warn."
            )
        logger.warning("%s", text)
    write_text(options.output, text + "\n")
