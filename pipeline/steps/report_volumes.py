"""Write the HTML report of every volume, a single file that works offline."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Report
from pipeline.errors import about
from pipeline.files import write_text
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.reporting.pages.volume import volume_page
from pipeline.reporting.resource_usage import Shard
from pipeline.reporting.run_record import read_run_record
from pipeline.reporting.volume_report import VolumeFiles, read_volume_report
from pipeline.steps._framework import section
from pipeline.steps._shards import each, files_of, new_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step. A section of the report is shown if its file is given."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors), named after the volumes."""
    lr: list[Path]
    """Low-resolution images of the volumes, in the same order (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    volumes_table: Path
    """One value per volume (volumes.csv)."""
    slices: Path
    """All measurements of slices (slices.csv)."""
    summary: Path
    """Means, intervals and comparisons (summary.csv)."""
    provenance: Path
    """Record of the run (provenance.json)."""
    models: list[Path]
    """Folders of the networks, with model_card.md and history.csv."""
    tuning: Path
    """Settings chosen on validation (.json, from the step tune)."""
    deliver: str
    """Delivered method."""
    benchmarks: Path | None = None
    """Folder of Snakemake's benchmarks."""
    shard: str | None = None
    """Name of the shard of the volumes, for the benchmarks of its jobs."""
    gates: list[Path] = field(default_factory=list)
    """Table of the consistency gates (.csv)."""
    inserted: list[Path] = field(default_factory=list)
    """Table of inserted structures (.csv)."""
    tissue: list[Path] = field(default_factory=list)
    """Table of tissue volumes (.csv)."""
    reliability: list[Path] = field(default_factory=list)
    """Table of errors by half-width of the intervals (.csv)."""
    uncertainty: list[Path] = field(default_factory=list)
    """Calibrated uncertainty maps of the deliverable, or a folder of them (.safetensors)."""
    output: Path
    """Folder of the reports: <volume>.html."""
    settings: Annotated[Report, section(Report)] = field(default_factory=Report)
    """Section `report` of the configuration."""


def run(options: Options) -> None:
    """Write the pages."""
    settings = options.settings
    record = read_run_record(options.volumes_table, options.slices, options.summary, options.provenance, options.models)
    with new_folder(options.output) as folder:
        for hr, lr in zip(each(options.hr), options.lr, strict=True):
            volume = hr.stem
            with about(f"volume {volume!r}"):
                files = VolumeFiles(
                    reference=hr,
                    low=lr,
                    predictions={method_of(path): path for path in by_method(files_of(volume, options.predictions))},
                    tuning=options.tuning,
                    gates=options.gates,
                    inserted=options.inserted,
                    tissue=options.tissue,
                    reliability=options.reliability,
                    uncertainty=files_of(volume, options.uncertainty)[0] if options.uncertainty else None,
                    benchmarks=options.benchmarks,
                    shard=Shard(options.shard, len(options.hr)) if options.shard else None,
                )
                report = read_volume_report(files, record, options.deliver, settings.slices_shown)
                page = volume_page(report, settings)
            write_text(folder / f"{volume}.html", page)
            logger.info("%s: %.1f MB", volume, len(page) / 1e6)
