"""Measure the volumes of tissue classes in every method's result and in the reference.

Only heads and brains whose voxels have a known size have any: for micrographs and pictures the table stays empty.
"""

from __future__ import annotations

import logging

from tqdm import tqdm

from pipeline.config.volumes import TISSUE_ORDERS
from pipeline.fidelity.tissue import class_names, measurable, reference_classes, tissue_volumes
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_table, show_progress
from pipeline.tables.tissue import TISSUE, TissueVolume

logger = logging.getLogger(__name__)

NOT_NAMED = "unnamed"
"""What stands for the tissues of a volume whose classes are called dark, medium and bright."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted volume: the reference (.safetensors)", each_volume=True)
    text = "restored volumes, each in a folder named after its method"
    add_path(parser, "--predictions", text, many=True, each_volume=True)
    text = "tissues from dark to bright, where the volume shows nothing but brain; unnamed: dark, medium, bright"
    choices = (*TISSUE_ORDERS, NOT_NAMED)
    parser.each_volume(parser.add_argument("--tissues", nargs="+", choices=choices, help=f"{text} (default)"))
    add_table(parser, "--output", "one row a method and class (.csv)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    reference = read_image(arguments.hr)
    rows: list[TissueVolume] = []
    if not measurable(reference):
        logger.info("%s: no head or brain of known voxel size, hence no volumes of tissue", reference.id)
    else:
        names = class_names(None if arguments.tissues == NOT_NAMED else arguments.tissues)
        classes = reference_classes(reference)
        for path in tqdm(by_method(arguments.predictions), reference.id, disable=not show_progress()):
            estimate = read_prediction(path, reference)
            rows.extend(tissue_volumes(reference, method_of(path), estimate, classes, names))
    TISSUE.write(arguments.output, rows)
