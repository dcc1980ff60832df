"""Apply the consistency gate to restored volumes: test whether they are consistent with the LR input within its noise.

No reference is needed: each volume is degraded again by the recorded forward model and compared with the LR input. Four
gates are applied to each method: residual (power beyond the noise), local (added or removed structures of lesion size),
shift (in voxels of the result) and intensity (changed gamma, gain or offset, as a fraction of the range). A value above
its limit fails.

Detail below the resolution of the LR input cannot be checked: see docs/fidelity.md. Images outside a run are checked by
`brainsr gate`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline.fidelity.gate.volumes import check_prediction
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._shards import each, files_of
from pipeline.tables.gates import GATES, GateResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    lr: list[Path]
    """Low-resolution volumes: the LR inputs (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    output: Path
    """One row per volume, method and gate (.csv)."""


def run(options: Options) -> None:
    """Write the table."""
    rows: list[GateResult] = []
    for path in each(options.lr):
        lr = read_image(path, LowResolutionImage)
        for prediction in tqdm(by_method(files_of(lr.id, options.predictions)), lr.id, disable=None):
            found = check_prediction(lr, method_of(prediction), prediction)
            for row in found:
                logger.info("%s", row)
            rows.extend(found)
    GATES.write(options.output, rows)
