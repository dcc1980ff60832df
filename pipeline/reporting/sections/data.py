"""The volumes of the run: their splits, subjects, sizes and sources."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.image.stack import PLANE as PICTURE
from pipeline.provenance.record import VolumeRecord
from pipeline.reporting.frames import distinct
from pipeline.reporting.numbers import format_voxels
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Cell, Section, Table
from pipeline.reporting.titles import split_title


def for_index(run: RunRecord) -> Section:
    """List all volumes in the order of the configuration; evaluated ones link to their pages."""
    evaluated = set(distinct(run.volumes, "volume"))
    self_supervised = run.provenance.config.is_self_supervised
    titles = {source.name: source.title for source in run.provenance.sources}
    rows = tuple(
        (
            Cell(volume.id, link=f"{volume.id}.html" if volume.id in evaluated else ""),
            Cell(
                split_title(volume.split, pictures=volume.id in run.stacks, self_supervised=self_supervised),
                split=volume.split,
            ),
            Cell(volume.subject),
            Cell(f"{_slices(volume)}, {volume.foreground_slices} with foreground"),
            Cell(" \N{MULTIPLICATION SIGN} ".join(map(str, volume.shape))),
            Cell(format_voxels(volume.spacing, volume.unit)),
            _source_cell(volume, titles),
        )
        for volume in run.provenance.volumes
    )
    headings = ("Volume", "Split", "Subject", "Slices", "Shape", "Voxel size", "Source")
    table = Table("data-table", "Volumes of the run", headings, rows, "plain")
    return Section("data", "Volumes of the run", (table,))


def _source_cell(volume: VolumeRecord, titles: Mapping[str, str | None]) -> Cell:
    """Return the sources of a volume; several link to the page of their combination."""
    text = "; ".join(titles.get(name) or name for name in volume.sources)
    return Cell(text, link=f"{volume.id}.combined.html" if len(volume.sources) > 1 else "")


def _slices(volume: VolumeRecord) -> str:
    if not volume.slices:
        return ""
    start, stop = volume.slices
    if volume.plane == PICTURE:
        return f"{stop - start} {'pictures' if volume.collection else 'slices'}"
    return f"{volume.plane} {start}\N{EN DASH}{stop - 1}"
