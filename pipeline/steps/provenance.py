"""Record how the results were made: code, packages, configuration, data, and distances between blocks of one head."""

from __future__ import annotations

import logging

from pipeline.files import write_json
from pipeline.formats.io.container import map_image
from pipeline.provenance.record import describe_source, describe_volume, make_record, read_config, read_download
from pipeline.steps._cli import ArgumentParser, Namespace, add_path
from pipeline.tables.duplicates import count_duplicates

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this step."""
    parser.add_argument("--config", required=True, metavar="JSON|FILE", help="the whole configuration")
    add_path(parser, "--sources", "records of the downloads (.source.json)", many=True)
    add_path(parser, "--volumes", "extracted volumes (.safetensors)", many=True)
    add_path(parser, "--duplicates", "table of near-duplicates (.csv)", required=False)
    parser.add_argument(
        "--snakemake", metavar="VERSION", help="version of Snakemake, if it is not installed in this environment"
    )
    add_path(parser, "--output", "the record (.json)")


def main(arguments: Namespace) -> None:
    """Run the step."""
    run = read_config(arguments.config)
    sources = [describe_source(read_download(path), run) for path in arguments.sources]
    volumes = [describe_volume(map_image(path)) for path in arguments.volumes]
    near_duplicates = count_duplicates(arguments.duplicates) if arguments.duplicates else []
    write_json(arguments.output, make_record(run, sources, volumes, near_duplicates, arguments.snakemake))
    logger.info("%d sources, %d volumes", len(sources), len(volumes))
