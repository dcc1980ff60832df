"""Generators: their sizes, their noise map, their layers, and what their architectures promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.models.generator import ARCHITECTURES, NOISE_MAP_SCALE, Generator, Shape, with_inputs
from pipeline.models.record import NetworkRecord

SMALL = Shape(blocks=1, features=8, growth=4)
FACTORS = (1, 2, 3, 4, 8)
KINDS = plugins.names(ARCHITECTURES)

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(**changes: Any) -> Generator:
    torch.manual_seed(5)
    return Generator(replace(SMALL, **changes)).eval()


def random_image(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (7, 5)])
def test_any_size_is_enlarged_by_any_factor(architecture, factor, size):
    network = generator(architecture=architecture, factor=factor, channels=2, noise_map=True)
    with torch.inference_mode():
        result = network(random_image(2, 2, *size))
    assert result.shape == (2, 2, factor * size[0], factor * size[1])
    assert bool(torch.isfinite(result).all())


@pytest.mark.parametrize("architecture", KINDS)
def test_other_factors_are_refused(architecture):
    with pytest.raises(UserError, match=f"{architecture}: enlarges by 1, 2, 3, 4, 8, not by 5"):
        generator(architecture=architecture, factor=5)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(UserError, match="did you mean 'rrdbnet'"):
        generator(architecture="rrdbnat")


@pytest.mark.parametrize(("factor", "side"), [(1, 4), (2, 2)])
def test_small_factors_are_factor_4_after_a_pixel_unshuffle(factor, side):
    """The order is that of the published weights: all pixels of a channel, row by row, then the next channel."""
    network = generator(factor=factor, channels=3, unshuffle=True)
    inner = Generator(replace(SMALL, channels=3 * side**2)).network
    state = {name: tensor for name, tensor in network.network.state_dict().items() if "conv_last" not in name}
    inner.load_state_dict(state, strict=False)
    inner.conv_last = network.network.conv_last
    image = random_image(1, 3, 8, 12)
    squares = [image[:, c, row::side, column::side] for c in range(3) for row in range(side) for column in range(side)]
    with torch.inference_mode():
        assert torch.allclose(network(image), inner(torch.stack(squares, dim=1)), atol=1e-6)


def test_odd_sizes_are_padded_with_edge_values():
    network = generator(factor=2, unshuffle=True)
    image = random_image(1, 1, 5, 7)
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge"))
    with torch.inference_mode():
        assert torch.equal(network(image), network(padded)[..., :10, :14])


def unevenness(network: nn.Module, factor: int) -> float:
    """Return the relative range of the central output of a network for a constant image."""
    side = 96 if factor < 4 else 48
    with torch.inference_mode():
        result = network(torch.full((1, 1, side, side), 0.7))[0, 0]
    centre = result.shape[-1] // 2
    middle = result[centre - 8 : centre + 8, centre - 8 : centre + 8]
    return float((middle.max() - middle.min()) / middle.abs().max())


def with_large_weights(network: Generator) -> Generator:
    """Scale up small initial weights, so that every layer affects the output."""
    for name, parameter in network.named_parameters():
        if ".rdb" in name:
            parameter.data *= 10
    return network


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_rrdbnet_has_no_checkerboard_artifacts(factor):
    assert unevenness(with_large_weights(generator(factor=factor)), factor) < 1e-5


def test_sub_pixel_convolutions_have_checkerboard_artifacts():
    """Verify that the test above can fail."""
    assert unevenness(generator(architecture="srresnet"), 4) > 1e-2


def test_dense_blocks_start_a_tenth_of_he_initialisation():
    weight = Generator(Shape(blocks=1)).network.get_parameter("body.0.rdb2.conv5.weight")
    fan_in = 9 * (64 + 4 * 32)
    assert float(weight.detach().std()) == pytest.approx(0.1 * np.sqrt(2 / fan_in), rel=0.02)


def multiplications(network: Generator, side: int = 32) -> float:
    """Return the multiplications of all convolutions per pixel of the input, counted by hooks."""
    counts = []

    def count(module: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counts.append(module.get_parameter("weight").numel() * output[0, 0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 1, side, side), torch.zeros(1))
    return sum(counts) / side**2


def test_the_fast_network_needs_a_fifteenth_of_the_multiplications():
    large = multiplications(Generator(Shape(factor=2, noise_map=True)).eval())
    fast = multiplications(Generator(Shape("fast_edsr", factor=2, blocks=16, noise_map=True)).eval())
    assert fast == pytest.approx(305_000, rel=0.02)
    assert 14.5 < large / fast < 16


def test_the_fast_network_starts_near_bilinear_interpolation_on_cell_centres():
    network = Generator(Shape("fast_edsr", factor=2, blocks=4, features=16)).eval()
    image = random_image(1, 1, 9, 11)
    expected = nn.functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        assert float((network(image) - expected).abs().max()) < 0.1


def test_srresnet_has_the_size_of_the_paper():
    """Counted by hand from figure 4 of the paper, with one slope for each PReLU."""
    block = 2 * (64 * 64 * 9 + 64) + 2 * 128 + 1
    head = 81 * 64 + 64 + 1
    tail = (64 * 64 * 9 + 64 + 128) + 2 * (64 * 256 * 9 + 256 + 1) + (64 * 81 + 1)
    network = Generator(Shape(architecture="srresnet", blocks=16))
    assert sum(parameter.numel() for parameter in network.parameters()) == head + 16 * block + tail


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("factor", FACTORS)
def test_a_new_noise_map_has_no_effect_before_training(architecture, factor):
    before = with_large_weights(generator(architecture=architecture, factor=factor, channels=2))
    before.record = NetworkRecord(method="a")
    after = with_inputs(before, noise_map=True, neighbours=0)
    image, sigma = random_image(2, 2, 9, 10), torch.tensor([0.01, 0.3])
    with torch.inference_mode():
        assert torch.allclose(after(image, sigma), before(image), atol=1e-6)
    assert after.shape == replace(before.shape, noise_map=True)
    assert after.record == before.record
    assert not after.training
    assert with_inputs(after, noise_map=False, neighbours=0) is after
    assert not before.shape.noise_map
    after.network.get_parameter("conv_first.weight").data[:, -1] = 0.1
    with torch.inference_mode():
        assert not torch.allclose(after(image, sigma), before(image), atol=1e-4)


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("factor", FACTORS)
def test_new_neighbouring_slices_have_no_effect_before_training(architecture, factor):
    """Neither slices nor a noise map change places, also where they are given one after the other."""
    before = with_large_weights(generator(architecture=architecture, factor=factor))
    after = with_inputs(before, noise_map=False, neighbours=1)
    again = with_inputs(with_inputs(after, noise_map=True, neighbours=1), noise_map=False, neighbours=2)
    assert again.shape == replace(before.shape, noise_map=True, neighbours=2)
    slices, sigma = random_image(2, 5, 9, 10), torch.tensor([0.01, 0.3])
    with torch.inference_mode():
        expected = before(slices[:, 2:3])
        assert torch.allclose(after(slices[:, 1:4]), expected, atol=1e-6)
        assert torch.allclose(again(slices, sigma), expected, atol=1e-6)
    again.network.get_parameter("conv_first.weight").data[:, :4] = 0.1
    with torch.inference_mode():
        assert not torch.allclose(again(slices, sigma), expected, atol=1e-4)


class Remember(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return image


def test_the_noise_map_is_the_scaled_last_channel():
    network = generator(channels=2, noise_map=True)
    network.network = Remember()
    image = random_image(2, 2, 4, 5)
    network(image, torch.tensor([0.01, 0.05], dtype=torch.float64))
    expected = NOISE_MAP_SCALE * torch.tensor([0.01, 0.05]).reshape(2, 1, 1).expand(2, 4, 5)
    assert torch.equal(network.network.seen[:, :2], image)
    assert torch.allclose(network.network.seen[:, 2], expected)
    network(image, random_image(2, 1, 4, 5, seed=1))
    assert torch.equal(network.network.seen[:, 2:], NOISE_MAP_SCALE * random_image(2, 1, 4, 5, seed=1))
    network(image)
    assert not network.network.seen[:, 2].any()


def test_networks_without_a_noise_map_ignore_sigma():
    network, image = generator(), random_image(1, 1, 6, 6)
    with torch.inference_mode():
        assert torch.equal(network(image, torch.tensor([0.4])), network(image))


@pytest.mark.parametrize(
    ("changes", "upsampler"),
    [
        ({}, {"conv_up1", "conv_up2", "conv_hr", "conv_last"}),
        ({"factor": 3}, {"conv_up1", "conv_hr", "conv_last"}),
        ({"factor": 8}, {"conv_up1", "conv_up2", "conv_up3", "conv_hr", "conv_last"}),
        ({"architecture": "srresnet"}, {"upsampler", "conv_last"}),
        ({"architecture": "fast_edsr"}, {"conv_last"}),
    ],
)
def test_layers_belong_to_the_trunk_or_the_upsampler(changes, upsampler):
    network = generator(**changes)
    names = {id(parameter): name.split(".")[1] for name, parameter in network.named_parameters()}
    groups = network.layer_groups()
    assert list(groups) == ["upsampler", "trunk"]
    assert {names[id(parameter)] for parameter in groups["upsampler"]} == upsampler
    assert {names[id(parameter)] for parameter in groups["trunk"]} == set(names.values()) - upsampler
    assert sum(len(group) for group in groups.values()) == len(names)


def test_a_shape_survives_json():
    shape = Shape("srresnet", 3, 2, 16, 8, 2, noise_map=True)
    assert Shape.from_json(shape.to_json()) == shape
    assert shape.in_channels == 3
    assert Shape.from_json({"blocks": 23, "features": 64, "growth": 32, "channels": 1}) == Shape(blocks=23)
    with pytest.raises(ValueError, match="width"):
        Shape.from_json({"width": 3})
