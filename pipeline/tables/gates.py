"""metrics/gates.csv: the consistency gates of every method on every volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.tables.columns import Method, Split, Subject, VolumeName
from pipeline.tables.table import Column, Table


@dataclass(frozen=True)
class GateResult:
    """One gate, applied to a restored volume."""

    volume: VolumeName
    subject: Subject
    split: Split
    method: Method
    gate: Annotated[str, Column("name of the gate: residual, local, shift or intensity")]
    value: Annotated[float, Column("test statistic of the gate")]
    limit: Annotated[float, Column("maximum of the statistic that passes")]
    passed: Annotated[bool, Column("whether the restored volume passes the gate")]

    def __str__(self) -> str:
        """Summarise the result on one line."""
        verdict = "passed" if self.passed else "FAILED"
        return f"{self.volume}: {self.method}: {self.gate} {self.value:.4g}, limit {self.limit:.4g}: {verdict}"


GATES = Table("consistency gates", GateResult)
