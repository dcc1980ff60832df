"""Networks as ONNX files, for use in other programs."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import onnx
import torch

from pipeline import __version__
from pipeline.errors import UserError
from pipeline.inference.backends._onnx import to_onnx
from pipeline.inference.choice import Weights
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator

TOLERANCE = 1e-3
"""Maximum difference between ONNX Runtime and torch, as a fraction of the intensity range; float32 differs by 1e-6."""
CHECKED_SIZES = ((2, 24, 40), (1, 33, 17))
"""Batch, rows and columns of the images that are compared; none is the size with which the network is traced."""

INTENSITIES = (
    "0 is a low percentile of the image, 1 the 99.9th percentile of its foreground; sigma is the standard deviation of "
    "the noise as a fraction of this range"
)


def exported(weights: Weights) -> tuple[bytes, float | None]:
    """Return a network as an ONNX file, and how far ONNX Runtime's results are from torch's.

    The graph accepts any batch size and number of rows and columns. The metadata of the file contain the name, licence
    and enlargement of the network, and the meaning of its intensities.

    Args:
        weights: the network.

    Returns:
        The file, and the maximum absolute difference as a fraction of the intensity range; None if ONNX Runtime is not
        installed.

    Raises:
        UserError: the weights are damaged, or ONNX Runtime computes something else than torch.
    """
    network = load_generator(weights.path).eval()
    model = onnx.load_from_string(to_onnx(network, fuse_upsampling=False))
    model.producer_name, model.producer_version = "BrainSR", __version__
    onnx.helper.set_model_props(model, _properties(weights, network))
    content = model.SerializeToString()
    difference = largest_difference(content, network)
    if difference is not None and not difference <= TOLERANCE:
        raise UserError(
            f"{weights.name}: ONNX Runtime and torch disagree: the results differ by up to "
            f"{difference:.2g} of the intensity range. Use another version of onnxruntime or torch."
        )
    return content, difference


def _properties(weights: Weights, network: Generator) -> dict[str, str]:
    shipped = weights.shipped
    return {
        "name": weights.name if shipped else weights.path.name,
        "licence": shipped.licence if shipped else "not stated",
        "slices": _slices(network),
        "enlargement": json.dumps({"rows": network.shape.factors[0], "columns": network.shape.factors[1]}),
        "intensities": INTENSITIES,
    }


def _slices(network: Generator) -> str:
    """Return what the channels of the input `image` are."""
    depth = network.shape.depth
    if depth == 1:
        return "image has one channel, the slice that is restored"
    return (
        f"image has {depth} channels, consecutive slices of which the middle one is restored; slices that are missing "
        "at the ends of a volume, or for a single slice, are repetitions of the nearest one"
    )


def largest_difference(content: bytes, network: Generator) -> float | None:
    """Return the maximum absolute difference between ONNX Runtime and torch; None if the former is not installed.

    Args:
        content: the network as an ONNX file.
        network: the network, in evaluation mode on the CPU.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names, generator, differences = [one.name for one in session.get_inputs()], torch.Generator().manual_seed(0), []
    for batch, rows, columns in CHECKED_SIZES:
        image = torch.rand((batch, network.shape.depth, rows, columns), generator=generator)
        inputs = {
            "image": image,
            "sigma": torch.linspace(0.05, 0.0, batch),
            "slices": torch.linspace(1.5, 8.0, 2 * batch).reshape(batch, 2),
        }
        with torch.inference_mode():
            expected = network(*inputs.values()).numpy()
        found = np.asarray(session.run(None, {name: inputs[name].numpy() for name in names})[0])
        differences.append(np.abs(found - expected).max() if found.shape == expected.shape else np.inf)
    return float(np.max(differences))
