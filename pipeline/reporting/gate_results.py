"""Results of the consistency gates of one volume: limits that a result must keep, also without a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporting.tables import read_table, records, where
from pipeline.reporting.titles import in_order, method_title

COLUMNS = ("volume", "split", "method", "gate", "value", "limit", "passed")


@dataclass(frozen=True)
class GateResult:
    """Value and limit of one gate for one method, and whether the method passed."""

    method: str
    method_title: str
    gate: str
    value: float
    limit: float
    passed: bool

    @property
    def title(self) -> str:
        """Displayed title of the gate."""
        return self.gate.replace("_", " ")


@dataclass(frozen=True)
class GateResults:
    """All gates of a volume, separately for the deliverable and for the other methods."""

    delivered: tuple[GateResult, ...]
    others: tuple[GateResult, ...]

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """Gates that the deliverable failed."""
        return tuple(gate for gate in self.delivered if not gate.passed)


def read_gate_results(paths: Sequence[Path], volume: str, deliver: str) -> GateResults | None:
    """Read the gates of a volume; None if the tables contain none.

    Raises:
        UserError: a file is not a table of gates.
    """
    rows = [row for path in paths for row in records(where(read_table(path, COLUMNS), volume=volume))]
    if not rows:
        return None
    order = in_order({row["method"] for row in rows}, deliver)
    found = [
        GateResult(
            str(row["method"]),
            method_title(str(row["method"])),
            str(row["gate"]),
            float(row["value"]),
            float(row["limit"]),
            str(row["passed"]).lower() == "true",
        )
        for row in sorted(rows, key=lambda row: order.index(row["method"]))
    ]
    return GateResults(
        tuple(gate for gate in found if gate.method == deliver),
        tuple(gate for gate in found if gate.method != deliver),
    )
