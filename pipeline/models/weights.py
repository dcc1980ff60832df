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
from pipeline.models.generator import Generator, Shape
from pipeline.models.generators.rrdbnet import RRDBNet
from pipeline.models.ncnn import read_ncnn
from pipeline.models.record import NetworkRecord

METADATA = "brainsr"
"""The entry of a file's header that holds all metadata."""

WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which training programs put the weights inside a .pth file; the averaged ones first."""


def read_weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """Read the weights of `network` from a .bin (ncnn, RRDBNet alone), .pth or .safetensors file.

    Raises:
        UserError: naming the first layer that does not fit.
    """
    expected = network.state_dict()
    if path.suffix == ".bin":
        if not isinstance(network, RRDBNet):
            raise UserError(f"{path}: from .bin files, only weights of the architecture rrdbnet can be read.")
        return read_ncnn(path, expected)
    state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    # Networks that were trained in half precision are kept as float32; counters stay whole numbers.
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    check_fit(path, state, expected)
    return state


def check_fit(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare names and shapes.

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


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({error}).") from error


def read_torch(path: Path) -> dict[str, Tensor]:
    """Read a table of layers from a .pth file, out of the wrappers that training programs put around it.

    Raises:
        UserError: the file is missing, damaged, or holds anything but weights; nothing of it is executed.
    """
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
    """Return the one-channel network that does to a grey image what the given one does to its copies in all channels.

    The first convolution is summed over its inputs and the last averaged over its outputs: exact, since both are
    linear. Where a pixel-unshuffle comes first, the sum is over channels and not over the pixels that became channels:
    those of one channel stand together.

    Args:
        state: weights without a noise map, of an architecture that names these two layers `conv_first` and `conv_last`.
    """
    folded = dict(state)
    first, last = state["conv_first.weight"], state["conv_last.weight"]
    channels = last.shape[0]
    folded["conv_first.weight"] = first.unflatten(1, (channels, -1)).sum(dim=1)
    folded["conv_last.weight"] = last.mean(dim=0, keepdim=True)
    folded["conv_last.bias"] = state["conv_last.bias"].mean(dim=0, keepdim=True)
    return folded


def save_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with `metadata` as JSON texts beside them.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    texts = {name: json.dumps(value, sort_keys=True) for name, value in metadata.items()}
    # Several entries of a header are written in an order that changes from one process to the next; one is not.
    header = {METADATA: json.dumps(texts, sort_keys=True)}
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata=header)
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}. Is there room on the disk?") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a .safetensors file; those of `save_tensors` are JSON texts.

    Raises:
        OSError: the file is missing.
        SafetensorError: it is damaged or of another format.
        ValueError: its metadata are no JSON.
    """
    with safe_open(path, framework="pt") as stream:
        header = stream.metadata() or {}
    return json.loads(header[METADATA]) if METADATA in header else header


def save_generator(path: Path, generator: Generator) -> None:
    """Write weights, shape and record of a generator, from which `load_generator` rebuilds it.

    Args:
        path: the .safetensors file.
        generator: on any device.

    Raises:
        UserError: the file cannot be written.
    """
    metadata = {"network": generator.shape.to_json(), "record": generator.record.model_dump(mode="json")}
    save_tensors(path, generator.network.state_dict(), metadata)


def load_generator(path: Path) -> Generator:
    """Rebuild a generator that `save_generator` wrote, on the CPU.

    Raises:
        UserError: the file is missing or damaged, is no generator, or was written by another version of BrainSR.
    """
    try:
        metadata = read_metadata(path)
        shape = json.loads(metadata["network"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: is not a generator of BrainSR ({error}).") from error
    try:
        generator = Generator(Shape.from_json(shape))
        generator.record = NetworkRecord.model_validate_json(metadata["record"])
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: was written by another version of BrainSR ({str(error).splitlines()[0]}). Train the network "
            "again, or download it for this version."
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    generator.network.load_state_dict(read_weights(path, generator.network))
    return generator
