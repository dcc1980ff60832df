"""Stop the run, or warn, if delivered volumes are inconsistent with the low-resolution input.

The key `evaluate.on_gate_failure` selects which. This is the last step, so all reports are written before it stops
the run.
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
    """Delivered method."""
    on_gate_failure: Literal["warn", "fail"] = "warn"
    """fail: stop with an error if the method fails a gate; warn: log a warning and continue."""
    output: Path
    """The verdict as text (.txt)."""


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
                "are written. Find the cause before you use these volumes, or set "
                "evaluate.on_gate_failure: warn."
            )
        logger.warning("%s", text)
    write_text(options.output, text + "\n")
