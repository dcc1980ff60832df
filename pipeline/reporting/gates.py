"""What the gates found on one volume: limits that a result must keep, whether or not a reference is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.reporting.tables import read_table, records, where
from pipeline.reporting.titles import in_order, method_title

COLUMNS = ("volume", "split", "method", "gate", "value", "limit", "passed")


@dataclass(frozen=True)
class Gate:
    """One gate and one method: the measured value, its limit, and whether it was kept."""

    method: str
    method_title: str
    gate: str
    value: str
    limit: str
    passed: bool

    @property
    def title(self) -> str:
        """The gate as a reader sees it."""
        return self.gate.replace("_", " ")


@dataclass(frozen=True)
class Gates:
    """All gates of a volume, the deliverable's apart."""

    delivered: tuple[Gate, ...]
    others: tuple[Gate, ...]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """Those that the deliverable failed."""
        return tuple(gate for gate in self.delivered if not gate.passed)


def read_gates(paths: Sequence[Path], volume: str, deliver: str) -> Gates | None:
    """Read a volume's rows from tables of gates; None where there are none.

    Raises:
        UserError: a file is no table of gates.
    """
    rows = [row for path in paths for row in records(where(read_table(path, COLUMNS), volume=volume))]
    if not rows:
        return None
    order = in_order({row["method"] for row in rows}, deliver)
    found = [
        Gate(
            str(row["method"]),
            method_title(str(row["method"])),
            str(row["gate"]),
            _number(row["value"]),
            _number(row["limit"]),
            str(row["passed"]).lower() == "true",
        )
        for row in sorted(rows, key=lambda row: order.index(row["method"]))
    ]
    return Gates(
        tuple(gate for gate in found if gate.method == deliver),
        tuple(gate for gate in found if gate.method != deliver),
    )


def _number(value: object) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}") if isinstance(value, int | float) else str(value)
