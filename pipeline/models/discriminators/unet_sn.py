"""The discriminator of Real-ESRGAN: a U-Net with spectral normalisation that judges every pixel.

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


def build(channels: int, side: int, features: int = 64) -> nn.Module:
    """Return the discriminator, with random weights. It has no layer whose size hangs on the patch.

    Args:
        channels: image channels.
        side: of the patches, in voxels.
        features: channels of the first layer.

    Raises:
        UserError: 8 does not divide the side.
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
        # torch's own way back is then one of sorted indices, which took most of an adversarial step.
        return doubled_along(doubled_along(features, -1), -2)
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def doubled_along(features: Tensor, axis: int) -> Tensor:
    """Double one axis by linear interpolation between the centres of cells; beyond the edges its values go on.

    Args:
        features: of any shape.
        axis: counted from the end, negative.
    """
    size = features.shape[axis]
    first, last = features.narrow(axis, 0, 1), features.narrow(axis, size - 1, 1)
    before = torch.cat([first, features.narrow(axis, 0, size - 1)], dim=axis)
    after = torch.cat([features.narrow(axis, 1, size - 1), last], dim=axis)
    pair = [torch.lerp(features, neighbour, 0.25) for neighbour in (before, after)]
    return torch.stack(pair, dim=axis).flatten(axis - 1, axis)


class UnetSn(nn.Module):
    """Three halvings, three doublings, and a sum across at every size. First and last layer are not normalised."""

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
