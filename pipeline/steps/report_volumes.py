"""Write the pages of volumes: each a single HTML file that works offline."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pipeline.config.sections import Report
from pipeline.errors import about
from pipeline.files import read_json, write_text
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.image.image import Image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.durations import Shard, read_durations
from pipeline.reporting.extras import KINDS, read_extra
from pipeline.reporting.figures.gallery import is_stack
from pipeline.reporting.gates import read_gates
from pipeline.reporting.looks import look
from pipeline.reporting.run_record import RunRecord, read_run_record
from pipeline.reporting.setbacks import read_setbacks
from pipeline.reporting.titles import method_title
from pipeline.reporting.volume_page import (
    Examined,
    curve_methods,
    main_methods,
    primary_baseline,
    slices_to_show,
    volume_page,
)
from pipeline.steps._framework import section
from pipeline.steps._shards import each, files_of, new_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step. A part of the page is shown where its file is given."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    lr: list[Path]
    """Low-resolution images of the volumes, in the same order (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    volumes_table: Path
    """One value a volume (volumes.csv)."""
    slices: Path
    """All measurements of slices (slices.csv)."""
    summary: Path
    """Means, intervals and comparisons (summary.csv)."""
    provenance: Path
    """Record of the run (provenance.json)."""
    models: list[Path]
    """Folders of the networks, with model_card.md and history.csv."""
    tuning: Path
    """Settings chosen on validation (nlm_bspline3.json)."""
    deliver: str
    """Method that is delivered."""
    benchmarks: Path | None = None
    """Folder of Snakemake's benchmarks."""
    shard: str = ""
    """Name of the shard of the volumes, for the benchmarks of its jobs."""
    gates: Path | None = None
    """Table of the consistency gates (.csv)."""
    inserted: Path | None = None
    """Table of inserted structures (.csv)."""
    tissue: Path | None = None
    """Table of tissue volumes (.csv)."""
    reliability: Path | None = None
    """Table of predicted and observed errors (.csv)."""
    uncertainty: list[Path] = field(default_factory=list)
    """Calibrated standard deviations of the deliverable, or a folder of them (.safetensors)."""
    output: Path
    """Folder of the pages: <volume>.html."""
    settings: Annotated[Report, section(Report)] = field(default_factory=Report)
    """Section `report` of the configuration."""


def run(options: Options) -> None:
    """Write the pages."""
    record = read_run_record(options.volumes_table, options.slices, options.summary, options.provenance, options.models)
    with new_folder(options.output) as folder:
        for hr, lr in zip(each(options.hr), options.lr, strict=True):
            reference = read_image(hr)
            volume = reference.id
            with about(f"volume {volume!r}"):
                page = page_of(reference, read_image(lr, LowResolutionImage), record, options)
            write_text(folder / f"{volume}.html", page)
            logger.info("%s: %.1f MB", volume, len(page) / 1e6)


def page_of(reference: Image, low: LowResolutionImage, run: RunRecord, options: Options) -> str:
    """Return the page of one volume.

    Args:
        reference: extracted volume.
        low: its low-resolution image.
        run: tables and records of the run.
        options: the further files.
    """
    volume, deliver = reference.id, options.deliver
    files = {method_of(path): path for path in by_method(files_of(volume, options.predictions))}
    indices = slices_to_show(reference, run, deliver, options.settings.slices_shown)
    looks = look(
        reference,
        low,
        files,
        deliver=deliver,
        main=main_methods(files, primary_baseline(run), deliver),
        indices=indices,
        order=slices_to_show(reference, run, deliver, len(reference.block.foreground_slices))
        if is_stack(reference)
        else None,
    )
    lines = {name: (method_title(name), style) for name, style in curve_methods(primary_baseline(run), deliver).items()}
    extras = [read_extra(name, _given(getattr(options, name)), volume, deliver, lines) for name in KINDS]
    return volume_page(
        reference,
        low,
        looks,
        run,
        indices=indices,
        tuning=read_json(options.tuning),
        deliver=deliver,
        settings=options.settings,
        examined=Examined(
            gates=read_gates(_given(options.gates), volume, deliver),
            extras=[extra for extra in extras if extra is not None],
            durations=read_durations(
                options.benchmarks,
                volume,
                Shard(options.shard or volume, len(options.hr)),
                [model.method for model in run.models],
            ),
            uncertainty=files_of(volume, options.uncertainty)[0] if options.uncertainty else None,
            setbacks=read_setbacks(_given(options.inserted), _given(options.tissue), volume, deliver),
        ),
    )


def _given(path: Path | None) -> list[Path]:
    return [path] if path else []
