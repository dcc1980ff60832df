"""Perceptual distance: the distance between images in the features of a VGG.

The published recipes (SRGAN, ESRGAN, Real-ESRGAN) compare images in the features of torchvision's VGG19, with weights
that balance this distance with the other loss terms. The features of another network have a different magnitude, for
which the published weights would not be balanced. The features of a VGG16 are therefore multiplied by
`VGG16_CALIBRATION`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.config.perceptual import Perceptual

if TYPE_CHECKING:
    from pipeline.models.vgg import VggFeatures

# The factors scale the L1 distance before the ReLU, divided by the pixel L1 of the same images, to its magnitude in
# published training logs with a VGG19. Since ReLU networks are nearly homogeneous of degree one, the ratio of the
# gradients at the output of the network is scaled by about the same factor. Our ratio was measured on photographs that
# were downsampled and upsampled by 4 (benchmarks/calibrate_perceptual.py, network vgg16-brain-tumor, median over the
# images); slices of MRI agreed within 5 %.
#
# Block 5: logs of ESRGAN's program (pixel weight 0.01, feature weight 1, conv5_4), at a pixel L1 below 0.05:
#   1.4306e-4 / 3.1057e-1, hence 22 (issue 144 of XPixelGroup/BasicSR, 2019);
#   4.1864e-4 / 8.7215e-1 and five more lines, hence 16 to 26, median 22 (issue 82 of open-mmlab/mmagic, 2020);
#   2.0350e-4 / 8.0707e-1, hence 40, on faces (readme of a fork named FACESR, 2019; the only one with weights).
#   Their geometric mean is 27; our conv5_3 gave 11.5, hence a factor of about 2.
# Blocks 1 to 4: no log lists them separately. One log has the layers and weights of Real-ESRGAN (0.1, 0.1, 1, 1, 1):
#   0.012 (weight 0.1, intensities from -1 to 1) / 9.977, hence 166 (tutorial of GFPGAN in PaddlePaddle/PaddleGAN, with
#   a VGG19 that may not be torchvision's). Ours gave 217 without any factor: about the same, hence 1.
#
# The images and restorations of the logs differ from ours, which changes the ratio by a factor of about 2. The factor
# of block 5 is thus known to about a factor of 2, those of blocks 3 and 4 to about 3; those of blocks 1 and 2, which
# contribute little to that sum, are known to an order of magnitude at best. No log reports distances after the ReLU,
# for which the same factors are used.
VGG16_CALIBRATION = (1.0, 1.0, 1.0, 1.0, 2.0)
"""Factors of the features of each block of VGG16, with which published weights for VGG19 remain balanced."""

VGG16_CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Number of convolutions of each block (Simonyan and Zisserman, ICLR 2015)."""

CRITERIA = {"l1": functional.l1_loss, "mse": functional.mse_loss}


class PerceptualDistance:
    """Weighted sum over layers of the distance between the features of two images.

    Args:
        vgg: the network; it is frozen here.
        settings: the layers, by their names in VGG19, and how their features are compared.
    """

    def __init__(self, vgg: VggFeatures, settings: Perceptual) -> None:
        self._vgg = vgg.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._settings = settings

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device."""
        self._vgg.to(device)
        return self

    def distance(self, estimate: Tensor, reference: Tensor) -> Tensor:
        """Return the sum over layers of weight * criterion(f(estimate), f(reference)), a scalar.

        f denotes the features times `scale` times the calibration of the network. Gradients are propagated to
        `estimate` only.

        Args:
            estimate: shape (batch, 1 or 3, y, x), intensities within [0, 1].
            reference: of the same shape.
        """
        with torch.no_grad():
            expected = self._features(reference)
        found = self._features(estimate)
        criterion = CRITERIA[self._settings.criterion]
        total = torch.zeros((), dtype=estimate.dtype, device=estimate.device)
        for name, weight in self._settings.layers.items():
            layer = layer_of(name, self._vgg.architecture)
            size = self._settings.scale * calibration_of(name, self._vgg.architecture)
            total = total + weight * criterion(size * found[layer], size * expected[layer])
        return total

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        layers = sorted({layer_of(name, self._vgg.architecture) for name in self._settings.layers})
        return self._vgg(image, layers, before_activation=self._settings.activation == "before")


def layer_of(name: str, architecture: str) -> str:
    """Return the layer of a network that corresponds to a layer of VGG19.

    Only in VGG19 do blocks 3 to 5 have a fourth convolution. In VGG16 the last one of the block corresponds to it:
    conv3_3 to conv3_4, conv4_3 to conv4_4, conv5_3 to conv5_4. All other names are the same in both networks.

    Args:
        name: such as conv5_4.
        architecture: vgg16 or vgg19.
    """
    block, place = _parse_layer(name)
    return f"conv{block}_{min(place, VGG16_CONVOLUTIONS[block - 1])}" if architecture == "vgg16" else name


def calibration_of(name: str, architecture: str) -> float:
    """Return the factor of the features of a layer (such as conv5_4); 1 if the network is a VGG19."""
    block, _ = _parse_layer(name)
    return VGG16_CALIBRATION[block - 1] if architecture == "vgg16" else 1.0


def _parse_layer(name: str) -> tuple[int, int]:
    """Return block and convolution of a layer such as conv5_4, counted from 1."""
    block, place = name.removeprefix("conv").split("_")
    return int(block), int(place)
