"""Compute the mismatch matrix of networks and degradations: a table and a picture, see `pipeline.fidelity.mismatch`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.fidelity.mismatch import measure
from pipeline.files import replacing
from pipeline.formats.io.container import read_image
from pipeline.models.device import choose_device, use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.mismatch_matrix import draw
from pipeline.steps._cli import ArgumentParser, Namespace, add_path
from pipeline.tables.mismatch import MISMATCH

logger = logging.getLogger(__name__)

MAX_SLICES = 6
"""Number of evenly spaced slices per volume."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted test volumes (.safetensors)", many=True)
    add_path(parser, "--lr", "their low-resolution volumes: all of the first degradation, then the next", many=True)
    add_path(parser, "--models", "generator.safetensors of the networks, in the order of the names", many=True)
    parser.add_argument("--names", nargs="+", required=True, metavar="NAME", help="names of the degradations")
    add_path(parser, "--output", "one row a network, degradation, volume and metric (.csv)")
    add_path(parser, "--figure", "picture of the matrix (.png)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument("--threads", type=int, default=2, help="of the computation (default: %(default)s)")


def main(arguments: Namespace) -> None:
    """Run the stage.

    Raises:
        UserError: the numbers of files and names do not fit, a file cannot be read, or the device cannot be used.
    """
    names, references = arguments.names, [read_image(path) for path in arguments.hr]
    if len(arguments.models) != len(names) or len(arguments.lr) != len(names) * len(references):
        raise UserError(
            f"{len(names)} names need as many --models, not {len(arguments.models)}, and "
            f"{len(names) * len(references)} "
            f"--lr for {len(references)} --hr, not {len(arguments.lr)}."
        )
    use_threads(arguments.threads)
    device = choose_device(arguments.device)
    networks = {
        name: load_generator(path).to(device).eval() for name, path in zip(names, arguments.models, strict=True)
    }
    table = measure(networks, _excerpts(names, references, arguments.lr))
    MISMATCH.write(arguments.output, table)
    with replacing(arguments.figure) as partial:
        draw(table).savefig(partial, format="png", dpi=120, metadata={"Software": None})
    logger.info("%d networks on %d degradations of %d volumes", len(networks), len(names), len(references))


def _excerpts(names: Sequence[str], references: Sequence[Any], lr: Sequence[Path]) -> dict[str, list[Excerpt]]:
    count = len(references)
    return {
        name: [
            excerpt(reference, read_image(path, LowResolutionImage), MAX_SLICES)
            for reference, path in zip(references, lr[place * count : (place + 1) * count], strict=True)
        ]
        for place, name in enumerate(names)
    }
