"""The discriminator of SRGAN and ESRGAN: strided convolutions and dense layers, with one logit per patch.

Ledig et al., CVPR 2017 (arXiv:1609.04802, figure 4), with the kernels of the published code of ESRGAN (Wang et al.,
ECCV Workshops 2018, arXiv:1809.00219): strided convolutions are 4 x 4 and the inner dense layer has 100 values.
"""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.errors import UserError

MIN_SIDE = 16
"""Minimum side of a patch."""
MIN_FINAL_SIDE = 4
"""Minimum side after the strided convolutions: patches of 128 pixels end at 4, those of 96 and 100 at 6."""
MAX_WIDENING = 8
"""Maximum ratio of features to those of the first layer; they double with every strided convolution."""
DENSE = 100
"""Features of the inner dense layer."""


def build(channels: int, side: int, features: int = 64) -> nn.Module:
    """Return the discriminator for patches of one side, with random weights.

    Args:
        channels: image channels.
        side: of the patches, in voxels.
        features: channels of the first layer.

    Raises:
        UserError: the side is less than 16.
    """
    if side < MIN_SIDE:
        raise UserError(
            f"vgg_style: patches of {side} x {side} voxels are too small for this discriminator, which requires at "
            f"least {MIN_SIDE} x {MIN_SIDE}. Raise patch_lr."
        )
    return VggStyle(channels, side, features)


def widths(side: int, features: int) -> list[int]:
    """Return the feature channels before the first strided convolution and after each."""
    found = [features]
    while side // 2 >= MIN_FINAL_SIDE:
        side //= 2
        found.append(features * min(2 ** (len(found) - 1), MAX_WIDENING))
    return found


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(negative_slope=0.2, inplace=True)


def _normalised(channels_in: int, channels_out: int, size: int, stride: int) -> list[nn.Module]:
    """Return a convolution, batch normalisation and an activation; the normalisation replaces the bias."""
    convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), _activation()]


class VggStyle(nn.Module):
    """Pairs of convolutions, the second of which has stride 2, then two dense layers."""

    def __init__(self, channels: int, side: int, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1), _activation()]
        before, *others = widths(side, features)
        for stage, width in enumerate(others):
            # The first convolution of the first pair is the one above, which has no normalisation.
            layers += _normalised(before, width, size=3, stride=1) if stage else []
            layers += _normalised(width, width, size=4, stride=2)
            before = width
        self.convolutions = nn.Sequential(*layers)
        end = side // 2 ** len(others)
        self.dense = nn.Sequential(nn.Linear(before * end**2, DENSE), _activation(), nn.Linear(DENSE, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channels, side, side) to logits (batch, 1)."""
        return self.dense(self.convolutions(image).flatten(start_dim=1))
