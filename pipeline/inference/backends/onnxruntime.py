"""ONNX Runtime, on processors; only where it is installed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.inference.backends._compute import FULL_PRECISION, Compute
from pipeline.inference.backends._onnx import as_onnx, readable
from pipeline.models.generator import Generator


def usable(network: nn.Module) -> bool:
    """Whether the package is there and the network in the processor's memory."""
    return readable(network, "onnxruntime")


def prepare(network: Generator, settings: Infer) -> Compute:
    """Return a function that computes one slice after the other.

    Raises:
        UserError: another precision than float32 is wanted.
    """
    import onnxruntime

    if settings.precision != FULL_PRECISION:
        raise UserError(
            f"infer.precision: {settings.precision} is not for infer.backend: onnxruntime; use openvino or torch."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    source = as_onnx(network, at_once=False)  # its transposed convolution takes twice as long
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    told = network.shape.noise_map

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        noise = {"sigma": np.array([sigma], dtype=np.float32)} if told else {}
        return np.concatenate(
            [session.run(None, {"image": image[None, None], **noise})[0][:, 0] for image in images]  # pyright: ignore
        )

    return restore
