"""Discriminators judge patches of the sides that trainings use, and refuse others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.models.discriminators.vgg_style import widths

ROOM = "pipeline.models.discriminators"

pytestmark = pytest.mark.usefixtures("one_thread")


def build(name: str, channels: int, side: int, features: int = 4) -> nn.Module:
    torch.manual_seed(2)
    return plugins.load(ROOM, name).build(channels, side, features)


@pytest.mark.parametrize("side", [16, 17, 24, 31, 32, 48, 64, 96, 100, 128])
def test_vgg_style_returns_one_logit_per_patch(side):
    logits = build("vgg_style", 2, side)(torch.rand(3, 2, side, side))
    assert logits.shape == (3, 1)
    assert float(logits.detach().std()) > 0


@pytest.mark.parametrize("side", [16, 24, 32, 64, 96, 128])
def test_unet_returns_one_logit_per_pixel(side):
    assert build("unet_sn", 2, side)(torch.rand(2, 2, side, side)).shape == (2, 1, side, side)


@pytest.mark.parametrize(("name", "side"), [("vgg_style", 15), ("vgg_style", 8), ("unet_sn", 100), ("unet_sn", 4)])
def test_other_sides_are_refused(name, side):
    with pytest.raises(UserError, match=rf"{name}: .*\b{side}\b.* patch_lr"):
        build(name, 1, side)


def test_the_published_sizes_have_the_published_number_of_weights():
    """Counted by hand from the papers' figures and the authors' layers: 128 x 128 in colour, 64 features."""
    kernels = [(64, 64, 16), (64, 128, 9), (128, 128, 16), (128, 256, 9), (256, 256, 16), (256, 512, 9)]
    kernels += [(512, 512, 16), (512, 512, 9), (512, 512, 16)]
    normalised = sum(before * after * taps + 2 * after for before, after, taps in kernels)
    dense = 512 * 4 * 4 * 100 + 100 + 100 + 1
    assert size(plugins.load(ROOM, "vgg_style").build(3, 128)) == 3 * 64 * 9 + 64 + normalised + dense
    halvings = 16 * (64 * 128 + 128 * 256 + 256 * 512)
    others = 9 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 64 + 64 * 64)
    first_and_last = (3 * 64 * 9 + 64) + (64 * 9 + 1)
    assert size(plugins.load(ROOM, "unet_sn").build(3, 128)) == halvings + others + first_and_last


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_features_double_with_every_stride_up_to_eight_times():
    assert widths(128, 64) == [64, 64, 128, 256, 512, 512]
    assert widths(100, 16) == widths(96, 16) == [16, 16, 32, 64, 128]
    assert widths(16, 16) == [16, 16, 32]


def test_unet_kernels_have_the_spectral_norm_one():
    network = build("unet_sn", 1, 16)
    normalised = [
        module for module in network.modules() if isinstance(module, nn.Conv2d) and hasattr(module, "parametrizations")
    ]
    for _ in range(60):  # every pass in training mode is one step of the power iteration
        network(torch.rand(1, 1, 16, 16))
    network.eval()
    norms = [float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), ord=2)) for module in normalised]
    assert len(norms) == 8
    assert norms == pytest.approx([1.0] * 8, abs=0.02)


@pytest.mark.parametrize("name", ["vgg_style", "unet_sn"])
def test_a_discriminator_learns_to_distinguish_noise_from_stripes(name):
    network = build(name, 1, 16)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    stripes = torch.ones(8, 1, 16, 16) * (torch.arange(16) % 2)
    real = fake = torch.zeros(())
    for _ in range(30):
        real, fake = network(stripes), network(torch.rand(8, 1, 16, 16))
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(real.detach().mean()) > 0.5 > -0.5 > float(fake.detach().mean())
