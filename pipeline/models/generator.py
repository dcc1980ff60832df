"""The generator: a network of any architecture, with or without maps of acquisition parameters as additional inputs.

Most networks enlarge their input by a fixed factor. Networks of any ratio restore planes across thick slices that were
reconstructed on the grid of the result (`pipeline.physics.slice_sampling`): they change no size, and are given spacing
and thickness of the slices.

A network may be given the neighbouring slices of the slice that it restores: averaging over them reduces noise, and
structures continue across slices.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from torch import Tensor, nn

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.models.record import NetworkRecord
from pipeline.physics.slice_sampling import SliceSampling

ARCHITECTURES = "pipeline.models.generators"

Along = Literal["both", "columns"]
"""Axes of a slice that are enlarged."""

NOISE_MAP_SCALE = 10.0
"""Factor of the noise map. It scales the usual noise levels of 0.01 to 0.05 to the range of intensities, so that the
weights of the noise map are trained as fast as those of the image."""
SLICE_MAP_SCALE = 0.125
"""Factor of the maps of slice spacing and thickness, which are up to 8 voxels, for the same reason."""

Size = Annotated[int, Field(ge=1, le=1024)]

FIRST_WEIGHT = "conv_first.weight"
"""Name of the weights of the first convolution, in every architecture."""


@dataclass(frozen=True)
class Shape:
    """Architecture and size of a generator. Values that are missing in files of earlier versions have their default."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    architecture: str = "rrdbnet"
    """a module of pipeline/models/generators"""
    factor: Size = 4
    """enlargement"""
    blocks: Size = 6
    """residual blocks of the trunk"""
    features: Size = 64
    """feature channels of the trunk"""
    growth: Size = 32
    """channels that each dense convolution adds (rrdbnet)"""
    channels: Size = 1
    """image channels, in and out"""
    noise_map: bool = False
    """whether the standard deviation of the noise is an additional input channel"""
    along: Along = "both"
    """axes of a slice that are enlarged; "columns" leaves the number of rows as it is. Networks of any ratio, whose
    factor is 1, restore the columns"""
    unshuffle: bool = False
    """whether factors 1 and 2 begin with a pixel-unshuffle, as Real-ESRGAN's networks do (rrdbnet)"""
    slice_maps: bool = False
    """whether spacing and thickness of the slices are additional input channels, as in networks of any ratio"""
    neighbours: Annotated[int, Field(ge=0, le=1024)] = 0
    """number of slices before, and of slices after the restored one, that are additional input channels; only for
    networks with one image channel"""

    @property
    def factors(self) -> tuple[int, int]:
        """Enlargement along rows and columns."""
        return (self.factor if self.along == "both" else 1, self.factor)

    @property
    def depth(self) -> int:
        """Number of slices from which one is restored: the slice itself and its neighbours."""
        return 1 + 2 * self.neighbours

    @property
    def in_channels(self) -> int:
        """Number of input channels: those of the image, the noise map, and the maps of slice spacing and thickness."""
        maps = int(self.noise_map) + len(SliceSampling._fields) * int(self.slice_maps)
        return self.channels * self.depth + maps

    def to_json(self) -> dict[str, Any]:
        """Return all values by name, to be written as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Shape:
        """Build a shape from the values of `to_json`; missing ones have their default.

        Raises:
            ValidationError: a name is unknown, or a value is out of range.
        """
        return TypeAdapter(cls).validate_python(values)

    def for_any_ratio(self) -> Shape:
        """Return the shape of a network of any ratio with the same trunk."""
        return replace(self, factor=1, along="columns", noise_map=True, slice_maps=True)


class Generator(nn.Module):
    """A network that enlarges images.

    Attributes:
        network: the network itself; files contain `network.state_dict()`.
        shape: architecture and size.
        factors: enlargement along rows and columns.
        record: how the weights were trained; it is saved with them.
        slices: spacing and thickness of the slices, for networks of any ratio; None if each call provides them.

    Raises:
        UserError: the architecture is unknown, or does not support the factor.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.record = NetworkRecord()
        self.slices: SliceSampling | None = None
        self.network: nn.Module = plugins.load(ARCHITECTURES, shape.architecture).build(shape)

    @property
    def factors(self) -> tuple[int, int]:
        """Enlargement along rows and columns."""
        return self.shape.factors

    @property
    def is_fast(self) -> bool:
        """Whether the network is meant for computers without a GPU."""
        return is_fast(self.shape.architecture, self.shape.blocks)

    def for_slices(self, slices: SliceSampling) -> Generator:
        """Return this network for slices of a given spacing and thickness; networks with a fixed factor ignore them."""
        if not self.shape.slice_maps or slices == self.slices:
            return self
        bound = copy.copy(self)  # shares the weights
        bound.slices = slices
        return bound

    def forward(self, image: Tensor, sigma: Tensor | None = None, slices: Tensor | None = None) -> Tensor:
        """Enlarge images.

        Args:
            image: float, shape (batch, channels depth, y, x), normalised intensities. Networks with neighbouring
                slices are given consecutive slices of a single channel, of which the middle one is restored.
            sigma: standard deviation of the noise as a fraction of the normalised range, one for each image (batch,)
                or each pixel (batch, 1, y, x). None is equivalent to 0. Networks without a noise map ignore it.
            slices: spacing and thickness of the slices in pixels, shape (batch, 2), for networks of any ratio; None
                for those of the attribute `slices`.

        Returns:
            Float, shape (batch, channels, factors[0] y, factors[1] x).

        Raises:
            ValueError: spacing and thickness of the slices are required, but unknown.
        """
        inputs = [image]
        if self.shape.noise_map:
            inputs.append(NOISE_MAP_SCALE * _noise_map(image, sigma))
        if self.shape.slice_maps:
            inputs.append(SLICE_MAP_SCALE * self._slice_maps(image, slices))
        return self.network(torch.cat(inputs, dim=1) if len(inputs) > 1 else image)

    def _slice_maps(self, image: Tensor, slices: Tensor | None) -> Tensor:
        """Broadcast spacing and thickness over the pixels of `image`, shape (batch, 2, y, x)."""
        batch, _, height, width = image.shape
        if slices is None:
            if self.slices is None:
                raise ValueError("a network of any ratio requires spacing and thickness of the slices")
            slices = image.new_tensor(self.slices)[None]
        return slices.to(image)[:, :, None, None].expand(batch, -1, height, width)

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters in two groups: "upsampler", those after the trunk, and "trunk", all others."""
        modules = plugins.load(ARCHITECTURES, self.shape.architecture).upsampler_of(self.network)
        upsampler = [parameter for module in modules for parameter in module.parameters()]
        identities = {id(parameter) for parameter in upsampler}
        trunk = [parameter for parameter in self.parameters() if id(parameter) not in identities]
        return {"upsampler": upsampler, "trunk": trunk}


def _noise_map(image: Tensor, sigma: Tensor | None) -> Tensor:
    """Broadcast sigma over the pixels of `image`, shape (batch, 1, y, x)."""
    batch, _, height, width = image.shape
    if sigma is None:
        return image.new_zeros(batch, 1, height, width)
    one_each = sigma.reshape(-1, 1, 1, 1) if sigma.ndim == 1 else sigma
    return one_each.to(image).expand(batch, 1, height, width)


def with_inputs(generator: Generator, *, noise_map: bool, neighbours: int) -> Generator:
    """Return the network with additional inputs, which have no effect before training.

    The weights of the new channels are zero, so that the output does not depend on them until training changes them.
    Neighbouring slices lie around those that the network already has, and the noise map follows the slices. After a
    pixel-unshuffle the order is the same, since the pixels of each channel are contiguous.

    Args:
        generator: returned unchanged if it has these inputs.
        noise_map: whether the result has a noise map; it has one in any case if the generator has one.
        neighbours: number of neighbouring slices on each side, at least as many as the generator has.
    """
    old = generator.shape
    shape = replace(old, noise_map=old.noise_map or noise_map, neighbours=neighbours)
    if shape == old:
        return generator
    extended = Generator(shape)
    extended.record = generator.record
    state = generator.network.state_dict()
    weight = state[FIRST_WEIGHT]
    pixels = weight.shape[1] // old.in_channels
    added = pixels * (neighbours - old.neighbours)
    slices = pixels * old.channels * old.depth
    wider = torch.zeros_like(extended.network.state_dict()[FIRST_WEIGHT])
    wider[:, added : added + slices] = weight[:, :slices]
    maps = slices + 2 * added
    wider[:, maps : maps + weight.shape[1] - slices] = weight[:, slices:]
    extended.network.load_state_dict({**state, FIRST_WEIGHT: wider})
    return extended.to(weight.device).train(generator.training)


def is_fast(architecture: str, blocks: int) -> bool:
    """Return whether networks of an architecture with this number of blocks are meant for computers without a GPU."""
    return blocks <= getattr(plugins.load(ARCHITECTURES, architecture), "MAX_FAST_BLOCKS", 0)


def shortened(generator: Generator, blocks: int) -> Generator:
    """Return a network with the first residual blocks of another one; it needs training.

    Args:
        generator: the network.
        blocks: number of blocks that are kept.

    Raises:
        UserError: the network has fewer blocks.
    """
    if blocks > generator.shape.blocks:
        raise UserError(f"keep_blocks: {blocks}, but the initial network has {generator.shape.blocks} blocks.")
    shorter = Generator(replace(generator.shape, blocks=blocks))
    shorter.record = generator.record
    state = generator.network.state_dict()
    shorter.network.load_state_dict({name: state[name] for name in shorter.network.state_dict()})
    return shorter.train(generator.training)


def enlarging_by(generator: Generator, shape: Shape) -> Generator:
    """Transfer the weights of a network to one of another factor or other axes.

    Layers that both networks have keep their weights; an additional upsampling layer is initialised with the previous
    one. The result needs training.

    Args:
        generator: an rrdbnet.
        shape: of the new network; it differs from that of the generator in `factor` and `along` alone.

    Raises:
        UserError: the architecture does not support this factor, or has no layers that can be transferred.
    """
    if shape == generator.shape:
        return generator
    adapted = Generator(shape)
    adapted.record = generator.record
    adapt = getattr(plugins.load(ARCHITECTURES, shape.architecture), "adapt", None)
    if adapt is None or shape.unshuffle:
        raise UserError(
            f"{shape.architecture}: the weights of a network that enlarges by {generator.factors} cannot initialise "
            f"one that enlarges by {shape.factors}; train from scratch, or choose weights for your factor."
        )
    adapted.network.load_state_dict(adapt(generator.network.state_dict(), adapted.network))
    return adapted.train(generator.training)
