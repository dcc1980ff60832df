"""Verdict of the consistency gate on the delivered method of a run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.tables.gates import GateResult


def failed_gates(rows: Sequence[GateResult], method: str) -> list[GateResult]:
    """Return the gates that a method fails.

    Raises:
        UserError: the table does not contain the method.
    """
    known = sorted({row.method for row in rows})
    if method not in known:
        raise UserError(f"--method: the table of gates has no {method!r}, only {', '.join(known) or 'no rows'}.")
    return [row for row in rows if row.method == method and not row.passed]


def verdict(rows: Sequence[GateResult], method: str) -> str:
    """Return the verdict on a method as text; errors as `failed_gates`."""
    failures = failed_gates(rows, method)
    volumes = {row.volume for row in rows if row.method == method}
    if not failures:
        return f"{method} agrees with the measurement of all {len(volumes)} volumes within the noise."
    count = len({row.volume for row in failures})
    lines = [f"  volume {row.volume!r}: {row.gate} is {row.value:.4g}, limit {row.limit:.4g}" for row in failures]
    return "\n".join([f"{method} contradicts the measurement in {count} of {len(volumes)} volumes:", *lines])
