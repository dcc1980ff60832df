"""Find near-duplicate pictures and volumes in different splits, see pipeline/fidelity/duplicates.py."""

from __future__ import annotations

import logging
from pathlib import Path

from tqdm import tqdm

from pipeline.config.load import read_entry, read_section
from pipeline.config.volumes import Duplicates, Volume
from pipeline.fidelity.duplicates import ORDER, hashed, hashed_slices, log_counts, near_duplicates, similar_volumes
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings, show_progress
from pipeline.tables.duplicates import DUPLICATES

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    archives, extracted = "archives of pictures (.zip)", "extracted volumes (.safetensors), no stacks among them"
    parser.add_argument("--input", type=Path, nargs="*", default=[], metavar="PATH", help=archives)
    parser.add_argument("--sources", nargs="*", default=[], metavar="NAME", help="their sources, in the same order")
    parser.add_argument("--volumes", default="[]", metavar="JSON", help="list of the stacks' entries")
    parser.add_argument("--extracted", type=Path, nargs="*", default=[], metavar="PATH", help=extracted)
    add_path(parser, "--output", "one row a pair of near-duplicates in different splits (.csv)")
    add_settings(parser, Duplicates)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Duplicates, arguments.settings)
    volumes = read_entry(tuple[Volume, ...], arguments.volumes, "volumes")
    archives = dict(zip(arguments.sources, arguments.input, strict=True))
    pictures = [picture for volume in volumes for picture in hashed(volume, archives[volume.source])]
    rows = list(near_duplicates(pictures, settings.max_distance))
    extracted = [list(hashed_slices(path)) for path in tqdm(arguments.extracted, disable=not show_progress())]
    DUPLICATES.write(arguments.output, [*rows, *similar_volumes(extracted, settings.max_distance)])
    splits = [picture.volume.split for picture in pictures]
    log_counts(rows, {split: splits.count(split) for split in ORDER if split in splits})
