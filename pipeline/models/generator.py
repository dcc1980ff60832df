"""The generator: a network of any architecture, with or without a map of the noise as a further input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.models.record import NetworkRecord

ARCHITECTURES = "pipeline.models.generators"

Along = Literal["both", "columns"]
"""Axes of a slice that are enlarged."""

NOISE_MAP_SCALE = 10.0
"""The noise map is multiplied by this: it brings the usual 0.01 to 0.05 to the size of intensities, so that its weights
learn as fast as those of the image."""

FIRST_WEIGHT = "conv_first.weight"
"""The weights that see the input, in every architecture."""


@dataclass(frozen=True)
class Shape:
    """What a generator is built from. Files of earlier versions leave out what then had one value only."""

    architecture: str = "rrdbnet"
    """a module of pipeline/models/generators"""
    factor: int = 4
    """enlargement"""
    blocks: int = 6
    """residual blocks of the trunk"""
    features: int = 64
    """feature channels of the trunk"""
    growth: int = 32
    """channels that each dense convolution adds (rrdbnet)"""
    channels: int = 1
    """image channels, in and out"""
    noise_map: bool = False
    """whether the standard deviation of the noise is a further input channel"""
    along: Along = "both"
    """axes of a slice that are enlarged; "columns" leaves the number of rows as it is"""
    unshuffle: bool = False
    """whether factors 1 and 2 turn squares of pixels into channels first, as Real-ESRGAN's networks do (rrdbnet)"""

    @property
    def factors(self) -> tuple[int, int]:
        """Enlargement along rows and columns."""
        return (self.factor if self.along == "both" else 1, self.factor)

    @property
    def in_channels(self) -> int:
        """Channels that the network is given: the image's, and the noise map."""
        return self.channels + int(self.noise_map)

    def to_json(self) -> dict[str, Any]:
        """Return all values by name, to be written as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Shape:
        """Read what `to_json` returned; what is missing has its default.

        Raises:
            ValueError: a name is unknown.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"a network has no {sorted(unknown)[0]!r}")
        return cls(**values)


class Generator(nn.Module):
    """A network that enlarges images.

    Attributes:
        network: the network itself; `network.state_dict()` is what files hold.
        shape: what it was built from.
        factors: enlargement along rows and columns.
        record: what is saved beside the weights, such as how they were trained.

    Raises:
        UserError: the architecture is unknown, or does not offer the factor.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.record = NetworkRecord()
        self.network: nn.Module = plugins.load(ARCHITECTURES, shape.architecture).build(shape)

    @property
    def factors(self) -> tuple[int, int]:
        """Enlargement along rows and columns."""
        return self.shape.factors

    def forward(self, image: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Enlarge images.

        Args:
            image: float, shape (batch, channels, y, x), normalised intensities.
            sigma: standard deviation of the noise as a fraction of the normalised range, one for each image (batch,)
                or each pixel (batch, 1, y, x). None stands for 0. Networks without a noise map ignore it.

        Returns:
            Float, shape (batch, channels, factors[0] y, factors[1] x).
        """
        if not self.shape.noise_map:
            return self.network(image)
        return self.network(torch.cat([image, NOISE_MAP_SCALE * _noise_map(image, sigma)], dim=1))

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters, those after the trunk as "upsampler" and the others as "trunk"."""
        modules = plugins.load(ARCHITECTURES, self.shape.architecture).upsampler_of(self.network)
        upsampler = [parameter for module in modules for parameter in module.parameters()]
        identities = {id(parameter) for parameter in upsampler}
        trunk = [parameter for parameter in self.parameters() if id(parameter) not in identities]
        return {"upsampler": upsampler, "trunk": trunk}


def _noise_map(image: Tensor, sigma: Tensor | None) -> Tensor:
    """Spreads sigma over the pixels of `image`: shape (batch, 1, y, x)."""
    batch, _, height, width = image.shape
    if sigma is None:
        return image.new_zeros(batch, 1, height, width)
    one_each = sigma.reshape(-1, 1, 1, 1) if sigma.ndim == 1 else sigma
    return one_each.to(image).expand(batch, 1, height, width)


def with_noise_map(generator: Generator) -> Generator:
    """Return the same network with a noise map as a further input, which has no effect yet.

    The weights of the new channel are zero, so that the output is what it was, whatever the map holds, until training
    changes them. The map is the last channel; after a pixel-unshuffle its pixels are the last channels as well, since
    the pixels of one channel stay together.

    A generator that has a noise map is returned as it is.
    """
    if generator.shape.noise_map:
        return generator
    extended = Generator(replace(generator.shape, noise_map=True))
    extended.record = generator.record
    state = generator.network.state_dict()
    weight = state[FIRST_WEIGHT]
    new_channels = extended.network.state_dict()[FIRST_WEIGHT].shape[1] - weight.shape[1]
    zeros = weight.new_zeros(weight.shape[0], new_channels, *weight.shape[2:])
    extended.network.load_state_dict({**state, FIRST_WEIGHT: torch.cat([weight, zeros], dim=1)})
    return extended.to(weight.device).train(generator.training)


def enlarging_by(generator: Generator, shape: Shape) -> Generator:
    """Return the network with the same weights as far as they fit, for another factor or other axes.

    Layers that the new network has as well keep their weights; a further enlargement begins with those of the one
    before it. The result needs training.

    Args:
        generator: an rrdbnet.
        shape: of the new network; it differs from the generator's in `factor` and `along` alone.

    Raises:
        UserError: the architecture cannot enlarge by this factor, or has no layers that could be taken over.
    """
    if shape == generator.shape:
        return generator
    adapted = Generator(shape)
    adapted.record = generator.record
    adapt = getattr(plugins.load(ARCHITECTURES, shape.architecture), "adapt", None)
    if adapt is None or shape.unshuffle:
        raise UserError(
            f"{shape.architecture}: weights that enlarge by {generator.factors} cannot start one that enlarges by "
            f"{shape.factors}; train from scratch, or choose weights for your factor."
        )
    adapted.network.load_state_dict(adapt(generator.network.state_dict(), adapted.network))
    return adapted.train(generator.training)
