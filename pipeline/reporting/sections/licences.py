"""The licences of data and weights."""

from __future__ import annotations

from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Section, Table
from pipeline.reporting.volume_report import VolumeReport


def for_index(run: RunRecord) -> Section:
    """List the sources of data and weights with their licences."""
    return Section("licences", "Data, weights and their licences", (licence_table(run),))


def for_volume(volume: VolumeReport) -> Section:
    """List the same sources on the page of a volume."""
    return for_index(volume.run)


def licence_table(run: RunRecord) -> Table:
    """Return the table of the sources of a run."""
    rows = tuple(
        (
            Cell(source.name, aside=f"version {source.version}" if source.version else ""),
            Cell(
                source.title or "not described",
                aside=f"trained on {source.network.trained_on}" if source.network else "",
            ),
            Cell(source.licence or "not stated"),
            Cell(", ".join(source.used_for)),
        )
        for source in run.provenance.sources
    )
    headings = ("Source", "Description", "Licence", "Used for")
    return Table("licences-table", "Data and weights", headings, rows, "plain")
