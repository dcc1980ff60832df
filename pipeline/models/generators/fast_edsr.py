"""A fast network: the trunk of EDSR on a quarter of the pixels.

Three known parts are combined to save computation:

- a pixel-unshuffle by 2 at the input, so that the trunk computes a quarter of the pixels and sees twice as far (FFDNet,
  Zhang, Zuo and Zhang, IEEE TIP 27:4608-4622, 2018);
- the residual blocks of EDSR, which have no normalisation (Lim et al., CVPR Workshops 2017, arXiv:1707.02921);
- a single sub-pixel convolution after the trunk, so that no layer computes on the high-resolution grid (ESPCN, Shi et
  al., CVPR 2016, arXiv:1609.05158). Its result is added to the bilinearly interpolated image.

With 16 blocks of 64 features, factor 2 needs 305,000 multiplications per low-resolution pixel: a fifteenth of the
rrdbnet of 6 blocks. `Shape.growth` and `Shape.unshuffle` are ignored.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import UserError
from pipeline.models.generator import Shape
from pipeline.models.pixel_unshuffle import unshuffled

MAX_FAST_BLOCKS = 32
"""Number of blocks up to which a network is meant for computers without a GPU."""
FACTORS = (1, 2, 3, 4, 8)
UNSHUFFLE = 2
"""Factor of the pixel-unshuffle."""
INITIAL_SCALE = 0.1
"""Factor of the usual initial weights of the last convolution of a block and of the network, which then starts close to
bilinear interpolation."""


def build(shape: Shape) -> nn.Module:
    """Return a network with random weights.

    Raises:
        UserError: there is none for this factor.
    """
    if shape.along != "both" and shape.factor != 1:
        raise UserError("fast_edsr: enlarges rows and columns alike; for thick slices choose rrdbnet, or any ratio.")
    if shape.factor not in FACTORS:
        raise UserError(f"fast_edsr: enlarges by {', '.join(map(str, FACTORS))}, not by {shape.factor}.")
    return FastEDSR(shape)


def upsampler_of(network: nn.Module) -> list[nn.Module]:
    """Return the sub-pixel convolution."""
    return [cast(FastEDSR, network).conv_last]


def _convolution(channels_in: int, channels_out: int, scale: float = 1.0) -> nn.Conv2d:
    convolution = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)
    with torch.no_grad():
        convolution.weight.mul_(scale)
        cast(Tensor, convolution.bias).mul_(scale)
    return convolution


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, and a residual connection around them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = _convolution(features, features)
        self.conv2 = _convolution(features, features, INITIAL_SCALE)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, features, y, x) to the same shape."""
        return features + self.conv2(functional.relu(self.conv1(features)))


class FastEDSR(nn.Module):
    """Pixel-unshuffle, residual blocks, and a sub-pixel convolution whose result is added to the enlarged image."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.factor = shape.factor
        self.restored = slice(shape.neighbours, shape.neighbours + shape.channels)
        features = shape.features
        self.conv_first = _convolution(shape.in_channels * UNSHUFFLE**2, features)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(shape.blocks)))
        self.conv_body = _convolution(features, features)
        self.conv_last = _convolution(features, shape.channels * (self.factor * UNSHUFFLE) ** 2, INITIAL_SCALE)

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, in_channels, y, x) to (batch, channels, factor y, factor x), float, normalised intensities."""
        height, width = image.shape[-2:]
        shallow = self.conv_first(unshuffled(image, UNSHUFFLE))
        features = shallow + self.conv_body(self.body(shallow))
        detail = functional.pixel_shuffle(self.conv_last(features), self.factor * UNSHUFFLE)
        base = functional.interpolate(
            image[:, self.restored], scale_factor=float(self.factor), mode="bilinear", align_corners=False
        )
        return base + detail[..., : height * self.factor, : width * self.factor]
