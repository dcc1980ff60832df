"""Detect cells in restored fluorescence micrographs and in their references, and match them.

See pipeline/fidelity/cells.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from pipeline import plugins
from pipeline.config.sections import Evaluate
from pipeline.errors import UserError, about
from pipeline.fidelity.cells import cell_agreement, cell_rows, cells_by_slice, compared_slices
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.image.image import Image
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._framework import section
from pipeline.steps._shards import files_of
from pipeline.tables.cell_agreement import CELL_AGREEMENT
from pipeline.tables.cells import CELLS, DetectedCells


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes: the references (.safetensors)."""
    lr: list[Path]
    """Their low-resolution volumes, with the forward model."""
    diameters_um: list[float]
    """Diameter of the cells of every volume, in micrometres."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    rows: Path
    """One row per volume, method and slice (.csv)."""
    output: Path
    """One row per split and method (.csv)."""
    settings: Annotated[Evaluate, section(Evaluate)] = field(default_factory=Evaluate)
    """Section `evaluate` of the configuration."""


def run(options: Options) -> None:
    """Write both tables.

    Raises:
        UserError: a file cannot be read, or cells cannot be detected in a volume.
    """
    if not len(options.hr) == len(options.lr) == len(options.diameters_um):
        raise UserError("--hr, --lr and --diameters-um require the same number of values, in the same order.")
    rows: list[DetectedCells] = []
    for hr, lr, diameter in zip(options.hr, options.lr, options.diameters_um, strict=True):
        reference, measurement = read_image(hr), read_image(lr, LowResolutionImage)
        if reference.id != measurement.id:
            raise UserError(f"--lr: contains volume {measurement.id!r}, but the reference is {reference.id!r}.")
        with about(f"volume {reference.id!r}"):
            predictions = by_method(files_of(reference.id, options.predictions))
            rows.extend(_rows(reference, compared_slices(measurement), predictions, diameter))
    CELLS.write(options.rows, rows)
    agreement = cell_agreement(rows, plugins.names("pipeline.baselines"), options.settings.confidence)
    CELL_AGREEMENT.write(options.output, agreement)


def _rows(reference: Image, slices: list[int], predictions: list[Path], diameter_um: float) -> Iterator[DetectedCells]:
    """Yield the rows of one volume."""
    expected = cells_by_slice(reference, reference.data, slices, diameter_um)
    for path in tqdm(predictions, unit="method", disable=None):
        found = cells_by_slice(reference, read_prediction(path, reference), slices, diameter_um)
        yield from cell_rows(reference, method_of(path), slices, expected, found, diameter_um)
