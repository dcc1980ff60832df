"""Apply the consistency gate to restored volumes: do they agree with the LR input within its noise?

No reference is needed: each volume is degraded again by the recorded forward model and compared with the LR input. Four
gates are applied to each method: residual (power beyond the noise), local (added or removed structures of lesion size),
shift (in voxels of the result) and intensity (changed gamma, gain or offset, as a fraction of the range). A value above
its limit fails.

Detail below the resolution of the LR input cannot be checked: see docs/fidelity.md. Images outside a run are checked by
`brainsr gate`.
"""

from __future__ import annotations

import logging

from tqdm import tqdm

from pipeline.config.sections import PLANE_CHOICES, Extract
from pipeline.fidelity.gate.measurement import read_measurement
from pipeline.fidelity.gate.volumes import check_prediction
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_table, show_progress
from pipeline.tables.gates import GATES, GateResult

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    text = "what was measured: a low-resolution volume of a run (.safetensors), or an image"
    add_path(parser, "--lr", text, each_volume=True)
    text = "restored volumes, each in a folder named after its method"
    add_path(parser, "--predictions", text, many=True, each_volume=True)
    add_table(parser, "--output", "one row a method and gate (.csv)")
    text = "forward model of an image that is no volume of a run (.forward.json)"
    add_path(parser, "--forward-model", text, required=False)
    parser.add_argument("--plane", default="auto", choices=PLANE_CHOICES, help="plane of the slices of an image")
    parser.add_argument(
        "--foreground", default="head", choices=("head", "all"), help="all: an image that fills the field"
    )
    text = "noise of an image, as a fraction of the normalised range; otherwise it is estimated"
    parser.add_argument("--noise-sigma", type=float, metavar="FRACTION", help=text)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = Extract(plane=arguments.plane, foreground=arguments.foreground)
    lr = read_measurement(arguments.lr, arguments.forward_model, settings, arguments.noise_sigma)
    rows: list[GateResult] = []
    for path in tqdm(by_method(arguments.predictions), lr.id, disable=not show_progress()):
        found = check_prediction(lr, method_of(path), path)
        for row in found:
            logger.info("%s", row)
        rows.extend(found)
    GATES.write(arguments.output, rows)
