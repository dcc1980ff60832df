"""Compute the mismatch matrix of networks and degradations: a table and a figure; see `pipeline.fidelity.mismatch`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.fidelity.mismatch import measure
from pipeline.files import replacing
from pipeline.formats.io.container import read_image
from pipeline.models.device import choose_device, use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.reporting.mismatch_matrix import draw
from pipeline.tables.mismatch import MISMATCH

logger = logging.getLogger(__name__)

MAX_SLICES = 6
"""Number of evenly spaced slices per volume."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted test volumes (.safetensors)."""
    lr: list[Path]
    """Low-resolution volumes: all of the first degradation, then all of the next."""
    models: list[Path]
    """generator.safetensors of the networks, in the order of the names."""
    names: list[str]
    """Names of the degradations."""
    output: Path
    """One row per network, degradation, volume and metric (.csv)."""
    figure: Path
    """Figure of the matrix (.png)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device."""
    threads: int = 2
    """Number of threads."""


def run(options: Options) -> None:
    """Write the table and the figure.

    Raises:
        UserError: the numbers of files and names do not match, a file cannot be read, or the device cannot be used.
    """
    names, references = options.names, [read_image(path) for path in options.hr]
    if len(options.models) != len(names) or len(options.lr) != len(names) * len(references):
        raise UserError(
            f"{len(names)} names require as many --models, not {len(options.models)}, and "
            f"{len(names) * len(references)} --lr for {len(references)} --hr, not {len(options.lr)}."
        )
    use_threads(options.threads)
    device = choose_device(options.device)
    networks = {name: load_generator(path).to(device).eval() for name, path in zip(names, options.models, strict=True)}
    neighbours = max(network.shape.neighbours for network in networks.values())
    table = measure(networks, _excerpts(names, references, options.lr, neighbours))
    MISMATCH.write(options.output, table)
    with replacing(options.figure) as partial:
        draw(table).savefig(partial, format="png", dpi=120, metadata={"Software": None})
    logger.info("%d networks on %d degradations of %d volumes", len(networks), len(names), len(references))


def _excerpts(
    names: Sequence[str], references: Sequence[Any], lr: Sequence[Path], neighbours: int
) -> dict[str, list[Excerpt]]:
    count = len(references)
    return {
        name: [
            excerpt(reference, read_image(path, LowResolutionImage), MAX_SLICES, neighbours)
            for reference, path in zip(references, lr[place * count : (place + 1) * count], strict=True)
        ]
        for place, name in enumerate(names)
    }
