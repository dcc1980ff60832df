"""Export a network to ONNX, for use in other programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pipeline.config.shipped import listed_networks
from pipeline.errors import UserError

logger = logging.getLogger(__name__)


def export(*, model: str, output: Path, format: Literal["onnx"] = "onnx") -> None:
    """Export a network to ONNX, for use in other programs.

    Inputs: `image` (batch, 1, rows, columns), normalised intensities, and, for networks with a noise map, `sigma`
    (batch,), the noise level as a fraction of the intensity range; for networks that restore thick slices of any ratio,
    also `slices` (batch, 2), spacing and thickness of the slices in voxels of the image, which was reconstructed on the
    grid of the result; output: `restored`. All are float32, and batch, rows and columns are free. The network alone is
    exported: normalisation, data consistency and the check of the result are not part of it. If ONNX Runtime is
    installed (pip install onnxruntime), its results are compared with torch's.

    Args:
        model: name of a network that ships, or generator.safetensors of a trained method.
        output: the exported file (.onnx).
        format: format of the exported file.
    """
    from pipeline.files import replacing
    from pipeline.inference.choice import weights_named
    from pipeline.inference.onnx_export import exported

    weights = weights_named(model)
    if weights is None:
        shipped = listed_networks()
        raise UserError(f"--model: there is no file or network {model!r}; the networks that ship are: {shipped}.")
    content, difference = exported(weights)
    with replacing(output) as partial:
        partial.write_bytes(content)
    checked = "not compared with torch, since onnxruntime is not installed"
    if difference is not None:
        checked = f"ONNX Runtime differs from torch by at most {difference:.1g} of the intensity range"
    logger.info("%s: written, %.1f MB; %s", output, len(content) / 1e6, checked)
