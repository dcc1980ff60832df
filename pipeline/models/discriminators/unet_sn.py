"""The discriminator of Real-ESRGAN: a U-Net with spectral normalisation and one logit per pixel.

Wang et al., ICCV Workshops 2021 (arXiv:2107.10833, section 3.3); spectral normalisation: Miyato et al., ICLR 2018
(arXiv:1802.05957).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from pipeline.errors import UserError

HALVINGS = 3
"""Number of resolution levels below the input."""


def build(channels: int, side: int, features: int = 64) -> nn.Module:
    """Return the discriminator, with random weights; the sizes of its layers do not depend on the patch.

    Args:
        channels: image channels.
        side: of the patches, in voxels.
        features: channels of the first layer.

    Raises:
        UserError: the side is not a multiple of 8.
    """
    if side < 2**HALVINGS or side % 2**HALVINGS:
        raise UserError(
            f"unet_sn: the side of the patches, {side} voxels, must be a multiple of {2**HALVINGS} for this "
            "discriminator. Change patch_lr."
        )
    return UnetSn(channels, features)


def _convolution(channels_in: int, channels_out: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False))


def _halving(channels_in: int, channels_out: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False))


def _activate(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, negative_slope=0.2, inplace=True)


def _double(features: Tensor) -> Tensor:
    if features.is_cuda and torch.are_deterministic_algorithms_enabled():
        # The deterministic backward pass of torch sorts indices, which took most of the time of an adversarial step.
        return doubled_along(doubled_along(features, -1), -2)
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def doubled_along(features: Tensor, axis: int) -> Tensor:
    """Upsample one axis by 2 by linear interpolation between cell centres, with edge values repeated.

    Args:
        features: of any shape.
        axis: negative, counted from the end.
    """
    size = features.shape[axis]
    first, last = features.narrow(axis, 0, 1), features.narrow(axis, size - 1, 1)
    before = torch.cat([first, features.narrow(axis, 0, size - 1)], dim=axis)
    after = torch.cat([features.narrow(axis, 1, size - 1), last], dim=axis)
    pair = [torch.lerp(features, neighbour, 0.25) for neighbour in (before, after)]
    return torch.stack(pair, dim=axis).flatten(axis - 1, axis)


class UnetSn(nn.Module):
    """U-Net with three levels and additive skip connections. The first and last layer are not normalised."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        widths = [features * 2**halving for halving in range(HALVINGS + 1)]
        pairs = list(pairwise(widths))
        self.conv_first = nn.Conv2d(channels, features, 3, padding=1)
        self.down = nn.ModuleList(_halving(fine, coarse) for fine, coarse in pairs)
        self.up = nn.ModuleList(_convolution(coarse, fine) for fine, coarse in reversed(pairs))
        self.last = nn.ModuleList(_convolution(features, features) for _ in range(2))
        self.conv_last = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channels, y, x) to logits (batch, 1, y, x)."""
        features = _activate(self.conv_first(image))
        passed: list[Tensor] = []
        for convolution in self.down:
            passed.append(features)
            features = _activate(convolution(features))
        for convolution in self.up:
            features = _activate(convolution(_double(features))) + passed.pop()
        for convolution in self.last:
            features = _activate(convolution(features))
        return self.conv_last(features)
