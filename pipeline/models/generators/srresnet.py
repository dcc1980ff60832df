"""SRResNet, the generator of SRGAN (Ledig et al., CVPR 2017, arXiv:1609.04802, figure 4).

The network of the paper has 16 blocks and 64 features, and enlarges by 4 in two steps of 2. Factor 3 takes one step of
3, factor 8 three steps of 2, factor 1 none. `Shape.growth` is ignored.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.models.generator import Shape

STEPS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Upsampling steps after the trunk, by factor."""


def build(shape: Shape) -> nn.Module:
    """Return an SRResNet with random weights.

    Raises:
        UserError: there is no SRResNet for this factor.
    """
    if shape.along != "both":
        raise UserError("srresnet: enlarges rows and columns alike; for thick slices choose rrdbnet.")
    if shape.factor not in STEPS:
        raise UserError(f"srresnet: enlarges by {', '.join(map(str, STEPS))}, not by {shape.factor}.")
    return SRResNet(shape)


def upsampler_of(network: nn.Module) -> list[nn.Module]:
    """Return the layers after the trunk."""
    network = cast(SRResNet, network)
    return [network.upsampler, network.conv_last]


def _convolution(channels_in: int, channels_out: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=size, padding=size // 2)


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation, and a residual connection around them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = _convolution(features, features)
        self.norm1 = nn.BatchNorm2d(features)
        self.activation = nn.PReLU()
        self.conv2 = _convolution(features, features)
        self.norm2 = nn.BatchNorm2d(features)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, features, y, x) to the same shape."""
        inner = self.activation(self.norm1(self.conv1(features)))
        return features + self.norm2(self.conv2(inner))


def _enlarge(features: int, step: int) -> nn.Sequential:
    """Return a sub-pixel convolution that enlarges by `step`."""
    return nn.Sequential(_convolution(features, features * step**2), nn.PixelShuffle(step), nn.PReLU())


class SRResNet(nn.Module):
    """A trunk of residual blocks on the low-resolution grid, then sub-pixel convolutions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        features = shape.features
        self.conv_first = _convolution(shape.in_channels, features, size=9)
        self.activation = nn.PReLU()
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(shape.blocks)))
        self.conv_body = _convolution(features, features)
        self.norm_body = nn.BatchNorm2d(features)
        self.upsampler = nn.Sequential(*(_enlarge(features, step) for step in STEPS[shape.factor]))
        self.conv_last = _convolution(features, shape.channels, size=9)

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, in_channels, y, x) to (batch, channels, factor y, factor x), float, normalised intensities."""
        shallow = self.activation(self.conv_first(image))
        features = shallow + self.norm_body(self.conv_body(self.body(shallow)))
        return self.conv_last(self.upsampler(features))
