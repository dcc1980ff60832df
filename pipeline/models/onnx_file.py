"""Reading of the convolutions of a network from an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.errors import UserError

if TYPE_CHECKING:
    import onnx

WEIGHT_AND_BIAS = 2


def read_convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Read weight and bias of every convolution, float32, in the order in which the graph applies them.

    Raises:
        UserError: the file cannot be read, or a convolution's weights are not stored in it.
    """
    graph = _read_graph(path)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    return [_weight_and_bias(path, node, stored) for node in nodes]


def _read_graph(path: Path) -> onnx.GraphProto:
    # Imported here since only the conversion of weights needs these packages; training reads the converted file.
    import onnx
    from google.protobuf.message import DecodeError

    try:
        # External weight files, whose paths are chosen by the ONNX file, are never opened.
        return onnx.load(path, load_external_data=False).graph
    except (OSError, DecodeError) as error:
        raise UserError(f"{path}: cannot be read as ONNX ({error}).") from error


def _weight_and_bias(path: Path, node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> tuple[Tensor, Tensor]:
    names = node.input[1:]
    if len(names) != WEIGHT_AND_BIAS or not all(name in stored for name in names):
        raise UserError(f"{path}: the convolution with the output {node.output[0]!r} has no stored weight and bias.")
    weight, bias = (_tensor(path, stored[name]) for name in names)
    return weight, bias


def _tensor(path: Path, tensor: onnx.TensorProto) -> Tensor:
    from onnx import external_data_helper, numpy_helper

    if external_data_helper.uses_external_data(tensor):
        raise UserError(f"{path}: the weights {tensor.name!r} are stored in another file, which is not supported.")
    return torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
