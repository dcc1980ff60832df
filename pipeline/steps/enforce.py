"""Stop the run, or warn, where delivered volumes contradict the measurement (`evaluate.on_gate_failure`).

It is the last step, so that all pages exist when it stops.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import UserError
from pipeline.fidelity.gate.verdict import failed_gates, verdict
from pipeline.files import write_text
from pipeline.tables.gates import GATES

logger = logging.getLogger(__name__)


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
    if failed_gates(rows, options.method):
        if options.on_gate_failure == "fail":
            raise UserError(
                f"{text}\nevaluate.on_gate_failure is fail, so the run stops here; all results and reports "
                "are written. Do not use these volumes before the cause is found, or set "
                "evaluate.on_gate_failure: warn."
            )
        logger.warning("%s", text)
    write_text(options.output, text + "\n")
