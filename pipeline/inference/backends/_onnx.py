"""Conversion of networks to ONNX, which the other backends read."""

from __future__ import annotations

import copy
import importlib.util
import io
import warnings

import torch

from pipeline.models.generator import Generator

INPUTS = ("image", "sigma", "slices")
OPSET = 17
TRACED_SIDE = 32
"""Side of the image with which a network is traced; the graph accepts any size."""


def supports(network: torch.nn.Module, package: str) -> bool:
    """Return whether a package is installed and can compute the network, which must be on the CPU."""
    if not isinstance(network, Generator) or importlib.util.find_spec(package) is None:
        return False
    return next(network.parameters()).device.type == "cpu"


def to_onnx(network: Generator, *, fuse_upsampling: bool) -> bytes:
    """Return a network in the ONNX format.

    Its inputs are image (batch, depth, y, x), where depth is the number of slices from which one is restored, for
    networks with a noise map sigma (batch,), and for networks of any ratio that are not bound to spacing and thickness
    of the slices these two as slices (batch, 2), all float32.

    Args:
        network: in evaluation mode.
        fuse_upsampling: compute each upsampling and the convolution after it as one transposed convolution, in
            networks with an attribute of that name.
    """
    buffer, exported = io.BytesIO(), copy.deepcopy(network)
    if hasattr(exported.network, "fuse_upsampling"):
        exported.network.fuse_upsampling = fuse_upsampling  # pyright: ignore[reportArgumentType]
    free = network.shape.slice_maps and network.slices is None
    names = INPUTS if free else INPUTS[: 1 + int(network.shape.noise_map)]
    image = torch.zeros(1, network.shape.depth, TRACED_SIDE, TRACED_SIDE)
    example = (image, torch.zeros(1), torch.ones(1, 2))[: len(names)]
    batch, grid = {0: "batch"}, {0: "batch", 2: "y", 3: "x"}
    axes = {"image": grid, "sigma": batch, "slices": batch, "restored": {0: "batch", 2: "Y", 3: "X"}}
    with warnings.catch_warnings():
        # The newer exporter requires two more packages and writes the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            example,
            buffer,  # pyright: ignore[reportArgumentType]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(names),
            output_names=["restored"],
            dynamic_axes={name: axes[name] for name in (*names, "restored")},
        )
    return buffer.getvalue()
