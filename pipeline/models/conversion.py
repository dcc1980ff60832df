"""Conversion of downloaded weights: one-channel generators, and feature networks for the perceptual loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.config.sources import ShippedSource, Source
from pipeline.errors import UserError
from pipeline.models.generator import Along, Generator, Shape, enlarging_by
from pipeline.models.generators.rrdbnet import UNSHUFFLE
from pipeline.models.record import NetworkRecord
from pipeline.models.vgg import VggFeatures, read_vgg
from pipeline.models.weights import fold_to_one_channel, load_generator, read_weights


def one_channel_generator(weights: Path, source: Source, factor: int, along: Along) -> Generator:
    """Read the weights of a source and fold them to one channel.

    Where the source's network enlarges by another factor, the layers that fit are kept. Networks that ship have one
    channel and keep their noise map.

    Args:
        weights: .bin (ncnn), .pth or .safetensors file.
        source: its entry in the table of sources, which describes the network's shape.
        factor: enlargement of the slices.
        along: axes of a slice that are enlarged.

    Raises:
        UserError: the source describes no network, or the file does not match its description.
    """
    if source.network is None:
        raise UserError(f"{weights}: its source has no `network`, so the shape is unknown.")
    if isinstance(source, ShippedSource):
        return _adapted(load_generator(weights), factor, along)
    described = source.network.model_dump(exclude={"trained_on"})
    # Only networks of these factors begin with a pixel-unshuffle, whatever their source says.
    shape = Shape(**{**described, "unshuffle": source.network.unshuffle and source.network.factor in UNSHUFFLE})
    state = read_weights(weights, Generator(shape).network)
    single = Generator(replace(shape, channels=1))
    single.network.load_state_dict(fold_to_one_channel(state, shape.channels))
    return _adapted(single, factor, along)


def _adapted(network: Generator, factor: int, along: Along) -> Generator:
    """Return a network of another factor or other axes; the record of the training then applies no more.

    Networks of any ratio have no factor and are returned unchanged.
    """
    if network.shape.slice_maps:
        return network
    adapted = enlarging_by(network, replace(network.shape, factor=factor, along=along))
    if adapted is not network:
        adapted.record = NetworkRecord()
    return adapted


def feature_network(weights: Path, source: Source) -> VggFeatures:
    """Read the convolutions of a VGG.

    Args:
        weights: .onnx, .pth or .safetensors file.
        source: its entry in the table of sources, which names the architecture.

    Raises:
        UserError: the source describes no VGG, or the file does not match its description.
    """
    if source.features is None:
        raise UserError(f"{weights}: its source has no `features`, so it is not known to be a VGG.")
    vgg = read_vgg(weights)
    if vgg.architecture != source.features:
        raise UserError(f"{weights}: is a {vgg.architecture}, but its source says features: {source.features}.")
    return vgg
