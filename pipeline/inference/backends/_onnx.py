"""A network in the exchange format of ONNX, which other engines than torch read."""

from __future__ import annotations

import copy
import importlib.util
import io
import warnings

import torch

from pipeline.models.generator import Generator

INPUTS = ("image", "sigma")
OPSET = 17
SIDE = 32
"""Of the image that is traced; the graph takes any other size as well."""


def readable(network: torch.nn.Module, package: str) -> bool:
    """Whether a package is installed that could compute the network, which lies in the processor's memory."""
    if not isinstance(network, Generator) or importlib.util.find_spec(package) is None:
        return False
    return next(network.parameters()).device.type == "cpu"


def as_onnx(network: Generator, *, at_once: bool) -> bytes:
    """Return a network as ONNX: image (batch, 1, y, x) and, where it has a noise map, sigma (batch,), float32.

    Args:
        network: in evaluation mode.
        at_once: whether an enlargement and the convolution after it become one transposed convolution, in networks
            that offer this by an attribute of that name.
    """
    buffer, exported = io.BytesIO(), copy.deepcopy(network)
    if hasattr(exported.network, "at_once"):
        exported.network.at_once = at_once  # pyright: ignore[reportArgumentType]
    names = INPUTS if network.shape.noise_map else INPUTS[:1]
    example = (torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1))[: len(names)]
    axes = {"image": {0: "batch", 2: "y", 3: "x"}, "sigma": {0: "batch"}, "restored": {0: "batch", 2: "Y", 3: "X"}}
    with warnings.catch_warnings():
        # The newer exporter needs two further packages and writes the same graph.
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
