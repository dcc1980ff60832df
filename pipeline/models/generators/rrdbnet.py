"""RRDBNet, the generator of ESRGAN (Wang et al., ECCV Workshops 2018, arXiv:1809.00219).

Factors 1 and 2 may begin with a pixel-unshuffle, as in Real-ESRGAN (Wang et al., ICCV Workshops 2021,
arXiv:2107.10833).
Parameter names follow the authors' published weights, so that these load without renaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import UserError
from pipeline.models.generator import Shape
from pipeline.models.pixel_unshuffle import unshuffled

MAX_FAST_BLOCKS = 1
"""Number of blocks up to which a network is meant for computers without a GPU."""

RESIDUAL_SCALE = 0.2
"""Residuals are scaled down before they are added, which keeps deep stacks stable (section 3.1 of the paper)."""

INITIAL_SCALE = 0.1
"""Factor of He's initialisation for the weights of the dense blocks (section 3.1, and the authors' training code)."""


STEPS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Nearest-neighbour enlargements after the trunk, by factor."""
UNSHUFFLE = {1: 4, 2: 2}
"""Pixel-unshuffle factor of Real-ESRGAN's networks, by enlargement. After it, the networks are those of factor 4."""


def build(shape: Shape) -> nn.Module:
    """Return an RRDBNet with random weights.

    Raises:
        UserError: there is no RRDBNet for this factor.
    """
    if shape.factor not in STEPS:
        raise UserError(f"rrdbnet: enlarges by {', '.join(map(str, STEPS))}, not by {shape.factor}.")
    return RRDBNet(shape)


def upsampler_of(network: nn.Module) -> list[nn.Module]:
    """Return the convolutions after the trunk."""
    network = cast(RRDBNet, network)
    return [*network.enlarging(), network.conv_hr, network.conv_last]


def adapt(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return initial weights for a network of another factor, both without a pixel-unshuffle.

    Upsampling layers that only the new network has are initialised with the last one of the old network.
    """
    last = max(name for name in state if name.startswith("conv_up")).partition(".")[0]
    return {
        name: state[name] if name in state else state[f"{last}.{name.partition('.')[2]}"]
        for name in network.state_dict()
    }


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


def _dense_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    convolution = _convolution(channels_in, channels_out)
    nn.init.kaiming_normal_(convolution.weight)
    nn.init.zeros_(cast(Tensor, convolution.bias))
    with torch.no_grad():
        convolution.weight.mul_(INITIAL_SCALE)
    return convolution


def _activate(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, negative_slope=0.2, inplace=True)


def upsample(features: Tensor, step: tuple[int, int], convolution: nn.Conv2d, *, fused: bool) -> Tensor:
    """Upsample by nearest-neighbour interpolation and apply a convolution of 3 x 3 pixels.

    Args:
        features: shape (batch, features, y, x).
        step: enlargement along rows and columns.
        convolution: with a padding of one pixel.
        fused: compute both as one transposed convolution. Equal pixels are then multiplied once, by the sum of their
            weights: for a step of 2, this needs 16 products instead of 36. The result differs only by the order of
            summation.
    """
    if not fused:
        return convolution(functional.interpolate(features, scale_factor=step, mode="nearest"))
    rows, columns = (_fused_weights(one, features) for one in step)
    kernel = torch.einsum("kt,lu,oitu->iokl", rows, columns, convolution.weight)
    return functional.conv_transpose2d(features, kernel, convolution.bias, stride=step, padding=1)


def _fused_weights(step: int, like: Tensor) -> Tensor:
    """Return which of the three weights apply to copies of one pixel, by output position; shape (step + 2, 3)."""
    places, weights = torch.arange(step + 2).unsqueeze(1), torch.arange(3)
    # Position 0 precedes the first copy, to which only the last weight applies there.
    copies = places + weights - 2
    return ((copies >= 0) & (copies < step)).to(like)


class ResidualDenseBlock(nn.Module):
    """Five densely connected convolutions: the input of each contains the outputs of all previous ones."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _dense_convolution(features, growth)
        self.conv2 = _dense_convolution(features + growth, growth)
        self.conv3 = _dense_convolution(features + 2 * growth, growth)
        self.conv4 = _dense_convolution(features + 3 * growth, growth)
        self.conv5 = _dense_convolution(features + 4 * growth, features)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, features, y, x) to the same shape."""
        dense = [features]
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense.append(_activate(convolution(torch.cat(dense, dim=1))))
        return features + RESIDUAL_SCALE * self.conv5(torch.cat(dense, dim=1))


class RRDB(nn.Module):
    """Residual-in-residual dense block: three dense blocks with a residual connection around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, features, y, x) to the same shape."""
        return features + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(features)))


class RRDBNet(nn.Module):
    """A trunk of RRDBs on the low-resolution grid, then nearest-neighbour upsamplings, each followed by a convolution.

    Nearest-neighbour upsampling treats all pixels alike and so causes no checkerboard artifacts (Odena et al., Distill
    2016, doi:10.23915/distill.00003).

    Attributes:
        fuse_upsampling: fuse each upsampling with its convolution (see `upsample`) in evaluation mode, too. This is
            faster on some backends and slower on others. By default the network is computed as published, which is the
            reference for the backends.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.fuse_upsampling = False
        self.factors = shape.factors
        self.unshuffle = UNSHUFFLE.get(shape.factor, 1) if shape.unshuffle else 1
        steps = STEPS[shape.factor * self.unshuffle]
        self.steps = [(step if shape.along == "both" else 1, step) for step in steps]
        features = shape.features
        self.conv_first = _convolution(shape.in_channels * self.unshuffle**2, features)
        self.body = nn.Sequential(*(RRDB(features, shape.growth) for _ in range(shape.blocks)))
        self.conv_body = _convolution(features, features)
        for number in range(1, len(self.steps) + 1):
            self.add_module(f"conv_up{number}", _convolution(features, features))
        self.conv_hr = _convolution(features, features)
        self.conv_last = _convolution(features, shape.channels)

    def enlarging(self) -> list[nn.Conv2d]:
        """Return the convolution after each enlargement."""
        return [cast(nn.Conv2d, self.get_submodule(f"conv_up{number}")) for number in range(1, len(self.steps) + 1)]

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, in_channels, y, x) to (batch, channels, factors[0] y, factors[1] x), normalised intensities."""
        height, width = image.shape[-2:]
        shallow = self.conv_first(unshuffled(image, self.unshuffle))
        features = shallow + self.conv_body(self.body(shallow))
        for step, convolution in zip(self.steps, self.enlarging(), strict=True):
            fused = self.training or self.fuse_upsampling
            features = _activate(upsample(features, step, convolution, fused=fused))
        result = self.conv_last(_activate(self.conv_hr(features)))
        return result[..., : height * self.factors[0], : width * self.factors[1]]
