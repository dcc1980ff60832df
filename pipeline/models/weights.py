"""Reading, conversion to one channel, and writing of network weights.

No code is unpickled: .pth files are loaded with `weights_only`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
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
"""Entry of a file's header that contains all metadata."""

WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which training programs store weights in a .pth file; averaged weights first."""


def read_weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """Read the weights of `network` from a .bin (ncnn, RRDBNet alone), .pth or .safetensors file.

    Raises:
        UserError: the file cannot be read, or a layer does not fit; the message names the first one.
    """
    expected = network.state_dict()
    if path.suffix == ".bin":
        if not isinstance(network, RRDBNet):
            raise UserError(f"{path}: only weights of the architecture rrdbnet can be read from .bin files.")
        return read_ncnn(path, expected)
    state = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    # Weights in half precision are converted to float32; counters remain integers.
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    check_fit(path, state, expected)
    return state


def check_fit(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that names and shapes are as expected, and that all weights are finite.

    Raises:
        UserError: a layer is missing, unexpected, of another shape or not finite; the message names the first one.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(f"{path}: the layer {name!r} is missing; the file belongs to another network.")
        if state[name].shape != tensor.shape:
            found, required = tuple(state[name].shape), tuple(tensor.shape)
            raise UserError(f"{path}: the layer {name!r} has shape {found}, but the network requires {required}.")
        if not torch.isfinite(state[name]).all():
            raise UserError(f"{path}: the layer {name!r} contains NaN or infinite weights. Train the network again.")
    unexpected = next((name for name in state if name not in expected), None)
    if unexpected:
        raise UserError(f"{path}: the network has no layer {unexpected!r}; the file belongs to another network.")


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
    """Read the state dict of a .pth file, which may be nested under one of `WRAPPERS`.

    Raises:
        UserError: the file is missing, damaged, or contains anything but weights; no code in it is executed.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read as weights ({reason}).") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise UserError(f"{path}: does not contain a state dict (layer names and weights).")
    return content


def fold_to_one_channel(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Return the weights of the equivalent one-channel network for grey images.

    Its output equals that of the given network for an image whose channels are all equal. The first convolution is
    summed over its inputs and the last averaged over its outputs, which is exact, since both are linear. After a
    pixel-unshuffle, the sum is over image channels alone, since the pixels of each channel are contiguous; and so is
    the mean before a pixel-shuffle.

    Args:
        state: weights without a noise map, of an architecture that names these two layers `conv_first` and `conv_last`.
        channels: number of image channels.
    """
    folded = dict(state)
    folded["conv_first.weight"] = state["conv_first.weight"].unflatten(1, (channels, -1)).sum(dim=1)
    for name in ("conv_last.weight", "conv_last.bias"):
        folded[name] = state[name].unflatten(0, (channels, -1)).mean(dim=0)
    return folded


def save_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with `metadata` encoded as JSON in the header.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    texts = {name: json.dumps(value, sort_keys=True) for name, value in metadata.items()}
    # The order of several header entries would differ between processes, so all metadata are one entry.
    header = {METADATA: json.dumps(texts, sort_keys=True)}
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata=header)
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}. Is there room on the disk?") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a .safetensors file; those of `save_tensors` are encoded as JSON.

    Raises:
        OSError: the file is missing.
        SafetensorError: it is damaged or of another format.
        ValueError: its metadata are not valid JSON, or not texts by name.
    """
    with safe_open(path, framework="pt") as stream:
        header = stream.metadata() or {}
    return TypeAdapter(dict[str, str]).validate_json(header[METADATA]) if METADATA in header else header


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
    """Load a generator written by `save_generator`, on the CPU.

    Raises:
        UserError: the file is missing or damaged, is not a generator, or was written by another version of BrainSR.
    """
    try:
        metadata = read_metadata(path)
        shape = json.loads(metadata["network"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: is not a generator of BrainSR ({_reason(error)}). Give the generator.safetensors of a trained "
            "method, or the name of a network that ships."
        ) from error
    try:
        generator = Generator(Shape.from_json(shape))
        generator.record = NetworkRecord.model_validate_json(metadata["record"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path}: was written by another version of BrainSR ({_reason(error)}). Train the network again, or "
            "download it for this version."
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    generator.network.load_state_dict(read_weights(path, generator.network))
    return generator


def _reason(error: Exception) -> str:
    """Return in one line why metadata are refused."""
    if isinstance(error, KeyError):
        return f"its metadata lack {error}"
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
