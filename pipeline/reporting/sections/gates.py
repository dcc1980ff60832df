"""Consistency gates: limits that a result must keep, whether or not a reference is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.provenance.combined_record import GateRecord
from pipeline.reporting.cells import method_cell, split_cell
from pipeline.reporting.combined_report import TOGETHER, CombinedReport, scan_title
from pipeline.reporting.frames import distinct, records, where
from pipeline.reporting.numbers import format_number
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Cell, Section, Table, Template, Text, folded_table
from pipeline.reporting.titles import in_order, method_title, readable
from pipeline.reporting.volume_report import VolumeReport
from pipeline.tables.gates import GATES, GateResult


def for_index(run: RunRecord) -> Section | None:
    """Count the volumes that pass each gate, by method, and list every gate that the deliverable failed."""
    gates = run.table(GATES)
    if gates.empty:
        return None
    blocks: list[Block] = [
        Text(
            "A gate is a limit that a result must not exceed; it needs no reference. A result that fails a gate "
            "contradicts the low-resolution input. Every failure of the deliverable is listed.",
            "note",
        )
    ]
    failed = [row for row in records(where(gates, method=run.deliver)) if not row["passed"]]
    if failed:
        blocks.append(_failures(failed, run.deliver))
    return Section("gates", "Gates", (*blocks, _all_methods(gates, run.deliver)), link="Gates")


def for_volume(volume: VolumeReport) -> Section | None:
    """List the gates of the deliverable, those of the other methods folded."""
    if not volume.gates:
        return None
    delivered = [gate for gate in volume.gates if gate.method == volume.deliver]
    others = [gate for gate in volume.gates if gate.method != volume.deliver]
    blocks: list[Block] = [Text("Gates need no reference, so they also apply to real images.", "note")]
    if delivered:
        blocks.append(_gates_of_volume("gates-delivered", "Gates of the deliverable", delivered))
    if others:
        blocks.append(folded_table(_gates_of_volume("gates-others", "Gates of the other methods", others)))
    return Section("gates", "Gates", tuple(blocks))


def for_combined(report: CombinedReport) -> Section:
    """List the gates of a combined volume, a row for each scan."""
    note = (
        "The acquisition model predicts every scan from the combined volume, at the registered position and without "
        "the slices that were left out. A gate limits the difference between this prediction and the scan: its power "
        "(residual), its sum over windows of lesion size (local), the displacement that explains it (shift), and its "
        "dependence on intensity (intensity). All scans together are tested for structures that are too small for any "
        "of them alone. Gates need no reference. Detail finer than that of all scans is not "
        "tested by them."
    )
    headings = ("Scan", *(readable(gate.gate).capitalize() for gate in report.scans[0].gates))
    rows = tuple(
        (Cell(f"{number}. {scan_title(scan)}"), *map(_gate_cell, scan.gates))
        for number, scan in enumerate(report.scans, start=1)
    )
    together = {gate.gate: gate for gate in report.record.gates}
    cells = (
        _gate_cell(together[one.gate]) if one.gate in together else Cell("not tested") for one in report.scans[0].gates
    )
    table = Table("gates-table", "Gates by scan", headings, (*rows, (Cell(TOGETHER.capitalize()), *cells)))
    return Section("gates", "Consistency with the scans", (Text(note, "note"), table), link="Gates")


def _gate_cell(gate: GateRecord) -> Cell:
    limit = f"limit {format_number(gate.limit)}, {'passed' if gate.passed else 'failed'}"
    style = "" if gate.passed else "failed"
    return Cell.of(gate.value, style=style, aside=limit, aside_style=style)


def _gates_of_volume(name: str, caption: str, gates: Sequence[GateResult]) -> Table:
    rows = tuple(
        (
            Cell(method_title(gate.method)),
            Cell(readable(gate.gate)),
            Cell.of(gate.value),
            Cell.of(gate.limit),
            Cell("yes", style="better") if gate.passed else Cell("no", style="worse"),
        )
        for gate in gates
    )
    return Table(name, caption, ("Method", "Gate", "Value", "Limit", "Passed"), rows)


def gate_banner(volume: VolumeReport) -> tuple[Template, ...]:
    """Return the banner that names the failed gates of the deliverable, or all gates that it passed."""
    gates = volume.failed_gates or [gate for gate in volume.gates if gate.method == volume.deliver]
    texts = [f"{readable(gate.gate)} {format_number(gate.value)} (limit {format_number(gate.limit)})" for gate in gates]
    return (Template("gate_banner", ("The deliverable", bool(volume.failed_gates), texts)),) if texts else ()


def combined_banner(report: CombinedReport) -> Template:
    """Return the banner that names the failed gates of a combined volume, or the scans with which it is consistent."""
    texts = [
        f"{scan}: {readable(gate.gate)} {format_number(gate.value)} (limit {format_number(gate.limit)})"
        for scan, gate in report.failed
    ]
    passed = f"{len(report.scans[0].gates)} for each of {len(report.scans)} scans, and one for all scans together"
    return Template("gate_banner", ("The combined volume", bool(texts), texts or [passed]))


def _failures(failed: list[dict[str, Any]], deliver: str) -> Table:
    rows = tuple(
        (
            Cell(row["volume"], link=f"{row['volume']}.html", style="failed"),
            split_cell(row["split"]),
            Cell(readable(row["gate"])),
            Cell.of(row["value"], style="failed"),
            Cell.of(row["limit"]),
        )
        for row in failed
    )
    caption = f"Gates failed by {method_title(deliver)}"
    return Table("gates-failed", caption, ("Volume", "Split", "Gate", "Value", "Limit"), rows)


def _all_methods(gates: pd.DataFrame, deliver: str) -> Table:
    order = in_order(distinct(gates, "method"), deliver)[::-1]
    groups: Any = gates.groupby(["method", "gate"], sort=True)
    rows = []
    for (method, gate), part in sorted(groups, key=lambda group: (order.index(group[0][0]), group[0][1])):
        failed = sum(not passed for passed in part["passed"].tolist())
        worst = part.iloc[nearest_to_limit(part)]
        rows.append(
            (
                method_cell(method, deliver),
                Cell(readable(gate)),
                Cell.of(len(part), 0),
                Cell(format_number(failed, 0), float(failed), style="failed" if failed else ""),
                Cell.of(worst["value"]),
                Cell.of(worst["limit"]),
            )
        )
    headings = ("Method", "Gate", "Volumes", "Failed", "Value nearest to the limit", "Limit")
    return Table("gates-table", "Gates of every method", headings, tuple(rows))


def nearest_to_limit(gates: pd.DataFrame) -> int:
    """Return the row of the volume furthest beyond its limit, or nearest to it where all volumes pass.

    A missing value or limit is worse than any other: the result contains values that are not finite.
    """
    share = (gates["value"] / gates["limit"]).to_numpy(float)
    return int(np.argmax(np.where(np.isnan(share), np.inf, share)))


def failed_gates(gates: pd.DataFrame, deliver: str) -> dict[str, list[str]]:
    """Return the gates that the deliverable failed, by volume."""
    found: dict[str, list[str]] = {}
    for row in records(where(gates, method=deliver)):
        if not row["passed"]:
            found.setdefault(row["volume"], []).append(readable(row["gate"]))
    return found
