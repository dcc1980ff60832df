"""Consistency gates: limits that a result must keep, also without a reference."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.reporting.gate_results import GateResult
from pipeline.reporting.section import Block, Cell, Folded, Section, Table, Text
from pipeline.reporting.volume_report import VolumeReport


def for_volume(volume: VolumeReport) -> Section | None:
    """Return the gates of a volume, those of the other methods folded."""
    if volume.gates is None:
        return None
    blocks: list[Block] = [Text("Gates need no reference, so they also apply to real scans.", "note")]
    if volume.gates.delivered:
        blocks.append(_gate_table("gates-delivered", "Gates of the deliverable", volume.gates.delivered))
    if volume.gates.others:
        title = "Gates of the other methods"
        blocks.append(Folded(title, (_gate_table("gates-others", title, volume.gates.others),)))
    return Section("gates", "Gates", tuple(blocks))


def _gate_table(name: str, caption: str, gates: Sequence[GateResult]) -> Table:
    rows = [
        (
            Cell(gate.method_title),
            Cell(gate.title),
            Cell.of(gate.value),
            Cell.of(gate.limit),
            Cell("yes", style="better") if gate.passed else Cell("no", style="worse"),
        )
        for gate in gates
    ]
    return Table(name, caption, ("Method", "Gate", "Value", "Limit", "Passed"), tuple(rows))
