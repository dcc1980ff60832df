"""RRDBNet, the generator of ESRGAN (Wang et al., ECCV Workshops 2018, arXiv:1809.00219).

Parameter names follow the authors' published weights, so that these load without renaming.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

RESIDUAL_SCALE = 0.2
"""Residuals are scaled down before they are added, which keeps deep stacks stable (section 3.1 of the paper)."""


def _convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)


def _activate(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, negative_slope=0.2, inplace=True)


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of which sees the outputs of all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _convolution(features, growth)
        self.conv2 = _convolution(features + growth, growth)
        self.conv3 = _convolution(features + 2 * growth, growth)
        self.conv4 = _convolution(features + 3 * growth, growth)
        self.conv5 = _convolution(features + 4 * growth, features)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (batch, features, y, x) to the same shape."""
        dense = [features]
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense.append(_activate(convolution(torch.cat(dense, dim=1))))
        return features + RESIDUAL_SCALE * self.conv5(torch.cat(dense, dim=1))


class RRDB(nn.Module):
    """Residual in residual: three dense blocks with a residual of their own around them."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (batch, features, y, x) to the same shape."""
        return features + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(features)))


class RRDBNet(nn.Module):
    """Enlarges an image by 4: a trunk of RRDBs on the small grid, then two nearest-neighbour doublings.

    Args:
        blocks: number of RRDBs.
        features: channels of the trunk.
        growth: channels that each dense convolution adds.
        channels: image channels, in and out.
    """

    factor = 4

    def __init__(self, blocks: int, features: int = 64, growth: int = 32, channels: int = 1) -> None:
        super().__init__()
        self.conv_first = _convolution(channels, features)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = _convolution(features, features)
        self.conv_up1 = _convolution(features, features)
        self.conv_up2 = _convolution(features, features)
        self.conv_hr = _convolution(features, features)
        self.conv_last = _convolution(features, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Maps (batch, channels, y, x) to (batch, channels, 4 y, 4 x), float, normalised intensities."""
        shallow = self.conv_first(image)
        features = shallow + self.conv_body(self.body(shallow))
        for convolution in (self.conv_up1, self.conv_up2):
            features = _activate(convolution(functional.interpolate(features, scale_factor=2, mode="nearest")))
        return self.conv_last(_activate(self.conv_hr(features)))
