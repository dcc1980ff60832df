"""Extract a volume: read its file, cut its block of slices and normalise it; see pipeline/formats/io/extraction.py."""

from __future__ import annotations

from pathlib import Path

from pipeline import plugins
from pipeline.config.load import read_entry, read_section
from pipeline.config.sections import Extract
from pipeline.config.volumes import Volume
from pipeline.formats import ROOM
from pipeline.formats.io.extraction import extract
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.tables.duplicates import excluded_pictures


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--input", "the volume's file, or an archive of pictures or DICOM files (.zip)")
    add_path(parser, "--output", "extracted volume (.safetensors)")
    parser.add_argument("--volume", required=True, metavar="JSON", help="the volume's entry of the configuration")
    names = plugins.names(ROOM)
    text = "format of the file (default: what its name or content tells)"
    parser.add_argument("--format", choices=names, metavar="NAME", help=f"{text}: {', '.join(names)}")
    text = "a label volume on the grid of the volume; each of its labels becomes a mask"
    parser.add_argument("--segmentation", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    text = "of pictures: what the stage duplicates wrote (.csv); without it, none is left out as a near-duplicate"
    parser.add_argument("--duplicates", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    add_settings(parser, Extract)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Extract, arguments.settings)
    volume = read_entry(Volume, arguments.volume, "volume")
    near_duplicates = {name for path in arguments.duplicates for name in excluded_pictures(path, volume.id)}
    segmentation = arguments.segmentation[0] if arguments.segmentation else None
    extract(arguments.input, volume, settings, arguments.output, near_duplicates, arguments.format, segmentation)
