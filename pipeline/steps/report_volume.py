"""Write the page of one volume: a single HTML file that needs no network."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from pipeline.config.load import read_section
from pipeline.config.sections import Report
from pipeline.files import write_text
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.reporting.pages.volume import volume_page
from pipeline.reporting.resource_usage import Shard
from pipeline.reporting.run_record import RunRecord, read_run_record
from pipeline.reporting.volume_report import VolumeFiles, read_volume_report
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings

logger = logging.getLogger(__name__)


OPTIONAL = {
    "--gates": "table of gates (.csv)",
    "--inserted": "table of inserted structures (.csv)",
    "--tissue": "table of tissue volumes (.csv)",
    "--reliability": "table of predicted and observed errors (.csv)",
}
"""A part of the page is shown where its file is given."""


def add_tables(parser: ArgumentParser) -> None:
    """Declare the options that both pages share."""
    add_path(parser, "--volumes-table", "means of every volume (volumes.csv)")
    add_path(parser, "--slices", "all measurements (slices.csv)")
    add_path(parser, "--summary", "means, intervals and comparisons (summary.csv)")
    add_path(parser, "--provenance", "what made the results (provenance.json)")
    add_path(parser, "--models", "folders of the networks, with model_card.md and history.csv", many=True)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    _run_record.cache_clear()  # what stood in the files of another command may have changed
    add_path(parser, "--hr", "extracted volume: the reference (.safetensors)", each_volume=True)
    add_path(parser, "--lr", "low-resolution volume (.safetensors)", each_volume=True)
    text = "restored volumes, each in a folder named after its method"
    add_path(parser, "--predictions", text, many=True, each_volume=True)
    add_tables(parser)
    add_path(parser, "--tuning", "settings chosen on validation (nlm_bspline3.json)")
    parser.add_argument("--deliver", required=True, metavar="METHOD", help="method of the deliverable")
    add_path(parser, "--benchmarks", "folder of what snakemake measured of the jobs", required=False)
    parser.add_argument("--shard", default="", metavar="NAME", help="of the jobs that this volume was a part of")
    parser.add_argument("--shard-volumes", type=int, default=1, metavar="NUMBER", help="volumes of these jobs")
    text = "standard deviation of the deliverable, where there is one (.safetensors)"
    parser.each_volume(
        parser.add_argument("--uncertainty", type=Path, nargs="*", default=[], metavar="PATH", help=text), many=True
    )
    for flag, text in OPTIONAL.items():
        parser.add_argument(flag, type=Path, nargs="*", default=[], metavar="PATH", help=f"{text}, where there is one")
    add_path(parser, "--output", "the page (.html)", each_volume=True)
    add_settings(parser, Report)


@cache
def _run_record(volumes: Path, slices: Path, summary: Path, provenance: Path, models: tuple[Path, ...]) -> RunRecord:
    """Read what the pages of all volumes share, once a process."""
    return read_run_record(volumes, slices, summary, provenance, models)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Report, arguments.settings)
    run = _run_record(
        arguments.volumes_table, arguments.slices, arguments.summary, arguments.provenance, tuple(arguments.models)
    )
    files = VolumeFiles(
        reference=arguments.hr,
        low=arguments.lr,
        predictions={method_of(path): path for path in by_method(arguments.predictions)},
        tuning=arguments.tuning,
        gates=arguments.gates,
        inserted=arguments.inserted,
        tissue=arguments.tissue,
        reliability=arguments.reliability,
        uncertainty=next(iter(arguments.uncertainty), None),
        benchmarks=arguments.benchmarks,
        shard=Shard(arguments.shard, arguments.shard_volumes) if arguments.shard else None,
    )
    page = volume_page(read_volume_report(files, run, arguments.deliver, settings.slices_shown), settings)
    write_text(arguments.output, page)
    logger.info("%s: %.1f MB", arguments.output, len(page) / 1e6)
