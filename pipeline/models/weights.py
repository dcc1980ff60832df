"""Weights: read from any of the formats they come in, folded to one channel, written as safetensors.

Nothing here unpickles code: .pth files go through `weights_only`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.models.ncnn import read_ncnn
from pipeline.models.rrdbnet import RRDBNet

WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which training programs put the weights inside a .pth file; the averaged ones first."""


def read_weights(path: Path, network: RRDBNet) -> dict[str, Tensor]:
    """Reads the weights of `network` from a .bin (ncnn), .pth or .safetensors file.

    Raises:
        UserError: naming the first layer that does not fit.
    """
    expected = network.state_dict()
    if path.suffix == ".bin":
        return read_ncnn(path, expected)
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = {name: tensor.float() for name, tensor in state.items()}
    check_fit(path, state, expected)
    return state


def check_fit(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compares names and shapes.

    Raises:
        UserError: naming the first layer that is missing, superfluous or of another shape.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(f"{path}: the layer {name!r} is missing; the file is of another network.")
        if state[name].shape != tensor.shape:
            found, wanted = tuple(state[name].shape), tuple(tensor.shape)
            raise UserError(f"{path}: the layer {name!r} has shape {found}, the network needs {wanted}.")
    superfluous = next((name for name in state if name not in expected), None)
    if superfluous:
        raise UserError(f"{path}: the network has no layer {superfluous!r}; the file is of another network.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error}).") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read as plain weights ({reason}).") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise UserError(f"{path}: holds no table of layers and weights.")
    return content


def fold_to_one_channel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the one-channel network that does to a grey image what the given one does to its copies in all channels.

    The first convolution is summed over its inputs and the last averaged over its outputs: exact, since both are
    linear.
    """
    folded = dict(state)
    folded["conv_first.weight"] = state["conv_first.weight"].sum(dim=1, keepdim=True)
    folded["conv_last.weight"] = state["conv_last.weight"].mean(dim=0, keepdim=True)
    folded["conv_last.bias"] = state["conv_last.bias"].mean(dim=0, keepdim=True)
    return folded


def save_generator(path: Path, network: nn.Module, shape: Mapping[str, Any]) -> None:
    """Writes weights and the shape of the network, from which `load_generator` rebuilds it."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as partial:
        try:
            save_file(state, partial, metadata={"network": json.dumps(dict(shape), sort_keys=True)})
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}. Is there room on the disk?") from error


def load_generator(path: Path) -> tuple[RRDBNet, dict[str, Any]]:
    """Rebuilds a network that `save_generator` wrote, on the CPU.

    Raises:
        UserError: the file is missing, damaged or no generator.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            shape = json.loads((stream.metadata() or {})["network"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: is not a generator of BrainSR ({error}).") from error
    network = RRDBNet(**shape)
    network.load_state_dict(read_weights(path, network))
    return network, shape
