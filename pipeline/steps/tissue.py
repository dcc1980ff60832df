"""Measure the volumes of tissue classes in every method's result and in the reference.

Only heads and brains whose voxels have a known size have any: for micrographs and pictures the table stays empty.
"""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from tqdm import tqdm

from pipeline.config.volumes import TISSUE_ORDERS
from pipeline.fidelity.tissue import class_names, foreground_classes, identity, measurable, tissue_volumes
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_table, show_progress
from pipeline.tables.tissue import TISSUE

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
    rows: list[dict[str, Any]] = []
    if not measurable(reference):
        logger.info("%s: no head or brain of known voxel size, hence no volumes of tissue", reference.id)
    else:
        names, of_reference = (
            class_names(None if arguments.tissues == NOT_NAMED else arguments.tissues),
            foreground_classes(reference),
        )
        for path in tqdm(by_method(arguments.predictions), reference.id, disable=not show_progress()):
            found = tissue_volumes(reference, read_prediction(path, reference), of_reference, names)
            rows.extend({**identity(reference), "method": method_of(path), **vars(one)} for one in found)
    TISSUE.write(arguments.output, pd.DataFrame(rows, columns=pd.Index(TISSUE.columns)))
