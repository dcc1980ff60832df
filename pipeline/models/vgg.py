"""Features of VGG16 and VGG19 (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556), for the perceptual loss.

Only the convolutions are used. Layers are named as in the literature: conv5_4 is the fourth convolution after the
fourth pooling, and the last one of VGG19.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from pipeline import plugins
from pipeline.config.sources import FeatureArchitecture
from pipeline.errors import UserError
from pipeline.models.normalisations import LPIPS, NORMALISATIONS
from pipeline.models.onnx_file import read_convolutions
from pipeline.models.weights import check_fit, read_metadata, read_safetensors, read_torch, save_tensors

CONVOLUTIONS: dict[FeatureArchitecture, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Number of convolutions per block; the blocks are separated by poolings."""

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the convolutions of each block."""


class VggFeatures(nn.Module):
    """Frozen convolutions of a VGG, through which gradients are propagated to the image.

    Attributes:
        architecture: "vgg16" or "vgg19".
        normalisation: a name in NORMALISATIONS.
        layers: names of all layers, in order.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: FeatureArchitecture, normalisation: str) -> None:
        super().__init__()
        self.architecture = architecture
        self.normalisation = normalisation
        shapes = _layer_shapes(architecture)
        self.layers = tuple(shapes)
        self.convolutions = nn.ModuleDict(
            {name: nn.Conv2d(before, after, 3, padding=1) for name, (before, after) in shapes.items()}
        )
        mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in NORMALISATIONS[normalisation])
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor, layers: Sequence[str], before_activation: bool) -> dict[str, Tensor]:
        """Return the features of some layers; layers after the deepest one are not computed.

        Args:
            image: float, shape (batch, 1 or 3, y, x), normalised intensities with the range 0 to 1; a grey image is
                used as red, green and blue.
            layers: names such as conv5_4.
            before_activation: whether to return the output of the convolutions or that of the ReLU after them.

        Returns:
            Features by layer, in the given order: float, shape (batch, features, y / 2^n, x / 2^n), rounded down, where
            n is the number of poolings before the layer.

        Raises:
            UserError: a layer does not exist, or the image is too small for it.
        """
        deepest = self._deepest(layers)
        smallest = 2 ** (_block_of(deepest) - 1)
        if min(image.shape[-2:]) < smallest:
            size = " x ".join(map(str, image.shape[-2:]))
            raise UserError(
                f"{deepest}: an image of {size} pixels is too small; at least {smallest} x {smallest} are required."
            )
        found: dict[str, Tensor] = {}
        features = (image.expand(-1, 3, -1, -1) - self.mean) / self.std
        block = 1
        for name in self.layers[: self.layers.index(deepest) + 1]:
            if _block_of(name) != block:
                features, block = functional.max_pool2d(features, 2), _block_of(name)
            linear = self.convolutions[name](features)
            features = functional.relu(linear)
            if name in layers:
                found[name] = linear if before_activation else features
        return {name: found[name] for name in layers}

    def _deepest(self, layers: Sequence[str]) -> str:
        for name in layers:
            if name not in self.layers:
                raise UserError(f"{self.architecture} has no layer {name!r}; {plugins.suggest(name, self.layers)}.")
        return max(layers, key=self.layers.index)


def _block_of(layer: str) -> int:
    """Return the number of the block of a layer, counted from 1."""
    return int(layer.removeprefix("conv").split("_")[0])


def _layer_shapes(architecture: FeatureArchitecture) -> dict[str, tuple[int, int]]:
    """Return the input and output channels of every convolution, in order."""
    shapes: dict[str, tuple[int, int]] = {}
    before = 3
    for block, (count, width) in enumerate(zip(CONVOLUTIONS[architecture], WIDTHS, strict=True), start=1):
        for number in range(1, count + 1):
            shapes[f"conv{block}_{number}"] = (before, width)
            before = width
    return shapes


def save_vgg(path: Path, vgg: VggFeatures, calibration: Mapping[str, Tensor] | None = None) -> None:
    """Write the convolutions as safetensors, with the architecture and the normalisation of the input.

    Args:
        path: the file.
        vgg: the network.
        calibration: weights of LPIPS, which `pipeline.metrics.lpips` uses.

    Raises:
        UserError: the file cannot be written.
    """
    facts = {"architecture": vgg.architecture, "normalisation": vgg.normalisation}
    save_tensors(path, {**vgg.convolutions.state_dict(), **(calibration or {})}, {"vgg": facts})


def read_vgg(path: Path) -> VggFeatures:
    """Read the convolutions of a VGG, on the CPU.

    Args:
        path: a .safetensors file written by `save_vgg`; an .onnx file, whose input is assumed to be red, green and blue
            between 0 and 1; or, with any other suffix, the weights of torchvision's vgg16 or vgg19, whose input is
            normalised with the mean and standard deviation of ImageNet.

    Raises:
        UserError: the file cannot be read, or a layer does not fit; the message names the first one.
    """
    if path.suffix == ".safetensors":
        return _read_own(path)
    if path.suffix == ".onnx":
        return _read_onnx(path)
    return _read_torchvision(path)


def _filled(vgg: VggFeatures, path: Path, state: Mapping[str, Tensor]) -> VggFeatures:
    check_fit(path, state, vgg.convolutions.state_dict())
    vgg.convolutions.load_state_dict(state)
    return vgg


def _read_own(path: Path) -> VggFeatures:
    try:
        facts: Any = json.loads(read_metadata(path)["vgg"])
        vgg = VggFeatures(facts["architecture"], facts["normalisation"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: is not a feature network of BrainSR ({error}).") from error
    state = {name: tensor for name, tensor in read_safetensors(path).items() if not name.startswith(LPIPS)}
    return _filled(vgg, path, state)


def _torchvision_names(architecture: FeatureArchitecture) -> dict[str, str]:
    """Map torchvision's layer names, which also number activations and poolings, to the names used here."""
    names: dict[str, str] = {}
    position, block = 0, 1
    for layer in _layer_shapes(architecture):
        if _block_of(layer) != block:
            position, block = position + 1, _block_of(layer)
        names[f"features.{position}"] = layer
        position += 2
    return names


def _read_torchvision(path: Path) -> VggFeatures:
    state = {name: tensor for name, tensor in read_torch(path).items() if name.startswith("features.")}
    *_, last = _torchvision_names("vgg19")
    architecture: FeatureArchitecture = "vgg19" if f"{last}.weight" in state else "vgg16"
    vgg = VggFeatures(architecture, "imagenet")
    theirs = {ours: theirs for theirs, ours in _torchvision_names(architecture).items()}
    names = {f"{theirs[layer]}.{kind}": f"{layer}.{kind}" for layer in vgg.layers for kind in ("weight", "bias")}
    expected = vgg.convolutions.state_dict()
    # Checked before the layers are renamed, so that messages contain the names of the file.
    check_fit(path, state, {name: expected[ours] for name, ours in names.items()})
    return _filled(vgg, path, {names[name]: tensor.float() for name, tensor in state.items()})


def _read_onnx(path: Path) -> VggFeatures:
    convolutions = read_convolutions(path)
    counts: dict[int, FeatureArchitecture] = {sum(each): name for name, each in CONVOLUTIONS.items()}
    if len(convolutions) not in counts:
        expected = " or ".join(f"{count} ({architecture})" for count, architecture in sorted(counts.items()))
        raise UserError(f"{path}: has {len(convolutions)} convolutions, but a VGG has {expected}.")
    vgg = VggFeatures(counts[len(convolutions)], "none")
    state: dict[str, Tensor] = {}
    for layer, (weight, bias) in zip(vgg.layers, convolutions, strict=True):
        state |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
    return _filled(vgg, path, state)
