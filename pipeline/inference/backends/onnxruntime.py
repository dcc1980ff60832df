"""ONNX Runtime, an optional backend for CPUs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.config.sections import Infer
from pipeline.errors import UserError
from pipeline.inference.backends._compute import FULL_PRECISION, Compute
from pipeline.inference.backends._onnx import supports, to_onnx
from pipeline.models.generator import Generator


def usable(network: nn.Module) -> bool:
    """Return whether ONNX Runtime is installed and the network is on the CPU."""
    return supports(network, "onnxruntime")


def prepare(network: Generator, settings: Infer) -> Compute:
    """Return a function that restores slices one by one.

    Raises:
        UserError: the requested precision is not float32.
    """
    import onnxruntime

    if settings.precision != FULL_PRECISION:
        raise UserError(
            f"infer.precision: {settings.precision} is not supported by infer.backend: onnxruntime; use openvino or "
            "torch."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    source = to_onnx(network, fuse_upsampling=False)  # ONNX Runtime's transposed convolution takes twice as long
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    has_noise_map = network.shape.noise_map

    def restore(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        noise = {"sigma": np.array([sigma], dtype=np.float32)} if has_noise_map else {}
        return np.concatenate(
            [session.run(None, {"image": image[None], **noise})[0][:, 0] for image in images]  # pyright: ignore
        )

    return restore
