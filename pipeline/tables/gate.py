"""The table of the consistency gate: one row a volume, method and gate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import UserError
from pipeline.files import write_text

PASSED, FAILED = "true", "false"


class GateRow(NamedTuple):
    """One row of the table.

    Attributes:
        volume: name of the volume.
        subject: whom it shows.
        split: what the volume is for.
        method: what restored it.
        gate: one of `pipeline.fidelity.consistency_gate.GATES`.
        value: what the gate measured.
        limit: the most that it lets pass.
        passed: whether it does.
    """

    volume: str
    subject: str
    split: str
    method: str
    gate: str
    value: float
    limit: float
    passed: bool

    def words(self) -> str:
        """Return the row as a sentence without a verb."""
        verdict = "passed" if self.passed else "FAILED"
        return f"{self.volume}: {self.method}: {self.gate} {self.value:.4g}, limit {self.limit:.4g}: {verdict}"


def write_gates(path: Path, rows: Iterable[GateRow]) -> None:
    """Write rows as CSV with nine significant digits, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(GateRow._fields)
    for row in rows:
        passed = PASSED if row.passed else FAILED
        writer.writerow((*row[:5], f"{row.value:.9g}", f"{row.limit:.9g}", passed))
    write_text(path, text.getvalue())


def read_gates(path: Path) -> list[GateRow]:
    """Read what `write_gates` wrote.

    Raises:
        UserError: the file cannot be read, or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows, columns = list(reader), tuple(reader.fieldnames or ())
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}. Delete it and run again.") from error
    if columns != GateRow._fields:
        raise UserError(f"{path}: is no table of gates; delete it and run again.")
    try:
        return [_row(row) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: holds a damaged row ({error}); delete it and run again.") from error


def _row(row: dict[str, str]) -> GateRow:
    volume, subject, split, method, gate = (row[name] for name in ("volume", "subject", "split", "method", "gate"))
    passed = {PASSED: True, FAILED: False}[row["passed"]]
    return GateRow(volume, subject, split, method, gate, float(row["value"]), float(row["limit"]), passed)
