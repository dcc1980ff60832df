"""Loss terms against closed forms and second implementations."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch import nn
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from pipeline import plugins
from pipeline.config.perceptual import LAYERS, Perceptual
from pipeline.errors import UserError
from pipeline.models.vgg import VggFeatures
from pipeline.physics.forward import ForwardModel
from pipeline.physics.torch_operator import as_torch
from pipeline.training.adversarial import hinge, least_squares, relativistic, standard
from pipeline.training.loss_inputs import LossInputs
from pipeline.training.losses import charbonnier, consistency, l1, ldl, ms_ssim, mse, perceptual, ssim
from pipeline.training.perceptual import VGG16_CALIBRATION, PerceptualDistance, calibration_of, layer_of

LOSSES = plugins.names("pipeline.training.losses")
ADVERSARIAL = plugins.names("pipeline.training.adversarial")
SIDE = 48


class Stub(nn.Module):
    """Replacement for a VGG: two layers with a ReLU that changes the result."""

    def __init__(self, architecture="vgg19"):
        super().__init__()
        self.architecture = architecture
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.asked = []

    def forward(self, image, layers, before_activation):
        self.asked.append((tuple(layers), before_activation))
        features = {name: self.gain * image * float(name[4:].replace("_", ".")) - 1 for name in layers}
        return features if before_activation else {name: value.relu() for name, value in features.items()}


def distance_of(vgg, settings=None):
    return PerceptualDistance(cast(VggFeatures, vgg), settings or Perceptual())


def smooth_pictures(batch, channels, side=SIDE, seed=0):
    generator = np.random.default_rng(seed)
    pictures = ndimage.gaussian_filter(generator.random((batch, channels, side, side)), (0, 0, 1.5, 1.5))
    pictures = (pictures - pictures.min()) / np.ptp(pictures)
    return torch.from_numpy(pictures.astype(np.float32))


def inputs_of(reference, averaged=None, distance=None):
    operator = as_torch(ForwardModel((4, 4), tuple(reference.shape[-2:])).terms)
    measured = torch.nn.functional.avg_pool2d(reference, 4)
    kept = reference if averaged is None else averaged
    given = (measured, torch.zeros(len(reference)))
    return LossInputs(given, reference, operator, lambda: kept, distance, teacher=lambda: reference)


@pytest.fixture
def pair():
    reference = smooth_pictures(2, 1)
    generator = torch.Generator().manual_seed(1)
    return reference + 0.1 * torch.randn(reference.shape, generator=generator), reference


def test_pixel_terms_equal_their_formulas(pair):
    estimate, reference = pair
    difference = (estimate - reference).double().numpy()
    inputs = inputs_of(reference)
    assert l1.loss(estimate, inputs).item() == pytest.approx(np.abs(difference).mean(), rel=1e-5)
    assert mse.loss(estimate, inputs).item() == pytest.approx((difference**2).mean(), rel=1e-5)
    smooth = np.hypot(difference, 1e-3).mean()
    assert charbonnier.loss(estimate, inputs).item() == pytest.approx(smooth, rel=1e-5)


def test_charbonnier_is_quadratic_near_zero_and_absolute_far_away():
    inputs = inputs_of(torch.zeros(1, 1, 4, 4))
    for difference, expected in ((0.0, 1e-3), (1e-5, 1e-3 + 0.5e-7), (1.0, 1.0)):
        assert charbonnier.loss(inputs.reference + difference, inputs).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_estimate_has_zero_loss_and_a_finite_gradient(name):
    reference = smooth_pictures(2, 1)
    estimate = reference.clone().requires_grad_()
    inputs = inputs_of(reference, distance=distance_of(Stub()))
    loss = plugins.load("pipeline.training.losses", name).loss(estimate, inputs)
    loss.backward()
    assert loss.shape == ()
    assert loss.item() == pytest.approx(0, abs=1.1e-3)  # Charbonnier's smallest value is its epsilon
    assert estimate.grad is not None and torch.isfinite(estimate.grad).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_descent_reduces_every_term(name, channels):
    reference = smooth_pictures(2, channels)
    estimate = (
        reference + 0.1 * torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    ).requires_grad_()
    averaged = reference + 0.05
    inputs = inputs_of(reference, averaged, distance_of(Stub()))
    term = plugins.load("pipeline.training.losses", name).loss
    before = term(estimate, inputs)
    before.backward()
    assert estimate.grad is not None and torch.isfinite(estimate.grad).all()
    step = 1e-2 * estimate.grad / estimate.grad.norm()
    with torch.no_grad():
        assert term(estimate - step, inputs) < before


@pytest.mark.parametrize("name", LOSSES)
def test_terms_are_accurate_in_mixed_precision(name, pair):
    estimate, reference = pair
    inputs = inputs_of(reference, reference + 0.05, distance_of(Stub()))
    term = plugins.load("pipeline.training.losses", name).loss
    # The network's output is coarse in half precision: the comparison is with the same coarse values, summed finely.
    coarse = estimate.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = term(coarse, inputs)
    assert found.item() == pytest.approx(term(coarse.float(), inputs).item(), rel=2e-2)


def artifact_map_by_loops(estimate, reference, averaged):
    """Liang et al. 2022 for one picture (channels, y, x), pixel by pixel."""
    residual, kept = (np.abs(picture - reference).mean(axis=0) * 3 for picture in (estimate, averaged))
    padded = np.pad(residual, 3, mode="reflect")
    result = np.zeros_like(residual)
    for y, x in np.ndindex(residual.shape):
        if residual[y, x] >= kept[y, x]:
            result[y, x] = residual.var(ddof=1) ** 0.2 * padded[y : y + 7, x : x + 7].var(ddof=1)
    return result


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_ldl_equals_loops_over_the_pixels(channels):
    reference, other = smooth_pictures(2, channels, 20), smooth_pictures(2, channels, 20, seed=3)
    estimate = reference + 0.2 * other * torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    averaged = reference + 0.1 * other
    triples = zip(*(tensor.double().numpy() for tensor in (estimate, reference, averaged)), strict=True)
    maps = [artifact_map_by_loops(*triple) for triple in triples]
    assert 0.1 < np.mean(np.stack(maps) == 0) < 0.9
    found = ldl.artifact_map(estimate, reference, averaged)
    assert np.allclose(found[:, 0].numpy(), maps, rtol=1e-3, atol=1e-8)
    expected = np.mean([np.abs(e - t) * m for e, t, m in zip(estimate.numpy(), reference.numpy(), maps, strict=True)])
    assert ldl.loss(estimate, inputs_of(reference, averaged)).item() == pytest.approx(expected, rel=1e-4)


def test_ldl_of_a_grey_picture_is_that_of_three_equal_colours(pair):
    estimate, reference = pair
    averaged = reference + 0.05
    grey = ldl.loss(estimate, inputs_of(reference, averaged))
    colours = ldl.loss(
        estimate.expand(-1, 3, -1, -1), inputs_of(*(t.expand(-1, 3, -1, -1) for t in (reference, averaged)))
    )
    assert grey.item() == pytest.approx(colours.item(), rel=1e-6)
    # The sum over three colours is what the paper's residual is.
    residual = (estimate - reference).abs().expand(-1, 3, -1, -1).sum(dim=1)
    local = ndimage.generic_filter(residual[0].double().numpy(), lambda w: w.var(ddof=1), size=7, mode="mirror")
    everywhere = ldl.artifact_map(estimate, reference, reference)[0, 0].numpy()
    assert np.allclose(everywhere, local * residual[0].numpy().var(ddof=1) ** 0.2, rtol=1e-3)


def test_ldl_applies_only_where_the_averaged_network_is_better(pair):
    estimate, reference = pair
    assert ldl.loss(estimate, inputs_of(reference, averaged=reference + 10)).item() == 0
    assert ldl.loss(estimate, inputs_of(reference, averaged=reference)).item() > 0


def test_consistency_is_the_forward_model_of_the_patch(pair):
    estimate, reference = pair
    model = ForwardModel((4, 4), (SIDE, SIDE), "none", 0.0, seed=0)
    coarse = [
        model.coarsen(e.numpy()) - model.coarsen(t.numpy())
        for e, t in zip(estimate[:, 0], reference[:, 0], strict=True)
    ]
    assert consistency.loss(estimate, inputs_of(reference)).item() == pytest.approx(np.abs(coarse).mean(), rel=1e-4)


def test_consistency_applies_each_matrix_to_its_axis():
    reference = torch.zeros(1, 1, 16, 32)
    estimate = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    model = ForwardModel((4, 4), (16, 32), "none", 0.0, seed=0)
    expected = np.abs(model.coarsen(estimate[0, 0].numpy())).mean()
    assert consistency.loss(estimate, inputs_of(reference)).item() == pytest.approx(expected, rel=1e-4)


def test_consistency_ignores_detail_that_is_not_measured():
    reference = smooth_pictures(1, 1)
    beyond = 0.1 * torch.cos(math.pi * torch.arange(SIDE)).expand(1, 1, SIDE, SIDE)
    assert consistency.loss(reference + beyond, inputs_of(reference)).item() == pytest.approx(0, abs=1e-6)
    assert consistency.loss(reference + 0.1, inputs_of(reference)).item() == pytest.approx(0.1, rel=1e-4)


def test_ms_ssim_equals_the_library_where_all_scales_fit():
    reference = smooth_pictures(2, 1, 192)
    estimate = reference + 0.1 * torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    expected = multiscale_structural_similarity_index_measure(estimate, reference, data_range=1.0, normalize="relu")
    assert ms_ssim.loss(estimate, inputs_of(reference)).item() == pytest.approx(1 - expected.item(), abs=1e-5)


def test_ssim_equals_a_second_implementation():
    estimate, reference = (smooth_pictures(2, 1, seed=seed) for seed in (3, 4))
    maps = []
    for one, other in zip(estimate[:, 0].numpy(), reference[:, 0].numpy(), strict=True):
        # Beyond its edges an image is mirrored about its outermost pixels.
        pair = (np.pad(image, 5, mode="reflect") for image in (one, other))
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        found: Any = structural_similarity(*pair, data_range=1.0, full=True, **settings)
        maps.append(found[1][5:-5, 5:-5])
    assert ssim.loss(estimate, inputs_of(reference)).item() == pytest.approx(1 - np.mean(maps), abs=1e-5)


def test_ms_ssim_has_fewer_scales_on_small_patches():
    assert ms_ssim.exponents_for(176) == pytest.approx((0.0448, 0.2856, 0.3001, 0.2363, 0.1333), abs=1e-3)
    assert [len(ms_ssim.exponents_for(side)) for side in (256, 175, 128, 96, 48, 22, 11)] == [5, 4, 4, 4, 3, 2, 1]
    assert all(sum(ms_ssim.exponents_for(side)) == pytest.approx(1) for side in range(11, 260))
    with pytest.raises(UserError, match="at least 11 pixels, but these have 10"):
        ms_ssim.exponents_for(10)
    reference = smooth_pictures(2, 1)
    estimate = reference + 0.1 * torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    expected = multiscale_structural_similarity_index_measure(
        estimate, reference, data_range=1.0, normalize="relu", betas=ms_ssim.exponents_for(48)
    )
    assert ms_ssim.loss(estimate, inputs_of(reference)).item() == pytest.approx(1 - expected.item(), abs=1e-5)


def test_ms_ssim_has_gradients_where_one_scale_is_inverted():
    coarse = smooth_pictures(1, 1, 96)
    board = 0.2 * torch.cos(math.pi * (torch.arange(96)[:, None] + torch.arange(96)))
    estimate = (0.7 * coarse - board).requires_grad_()
    loss = ms_ssim.loss(estimate, inputs_of(coarse + board))
    loss.backward()
    assert 0.1 < loss.item() < 0.9
    assert estimate.grad is not None and torch.isfinite(estimate.grad).all()
    assert estimate.grad.abs().sum() > 1e-4


def test_a_perceptual_term_without_a_network_is_refused(pair):
    with pytest.raises(ValueError, match="requires the features of a VGG"):
        perceptual.loss(pair[0], inputs_of(pair[1]))


@pytest.mark.parametrize("activation", ["before", "after"])
@pytest.mark.parametrize("criterion", ["l1", "mse"])
@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_perceptual_distance_equals_its_formula(pair, activation, criterion, architecture):
    estimate, reference = pair
    settings = Perceptual(
        layers={"conv1_2": 0.5, "conv5_4": 2.0}, activation=activation, criterion=criterion, scale=0.3
    )
    vgg = Stub(architecture)
    found = perceptual.loss(estimate, inputs_of(reference, distance=distance_of(vgg, settings)))
    expected = 0.0
    names = {"vgg19": (1.2, 5.4, 1.0), "vgg16": (1.2, 5.3, VGG16_CALIBRATION[4])}[architecture]
    for number, weight, size in ((names[0], 0.5, 1.0), (names[1], 2.0, names[2])):
        features = [2 * number * picture.double().numpy() - 1 for picture in (estimate, reference)]
        if activation == "after":
            features = [value.clip(0) for value in features]
        difference = 0.3 * size * (features[0] - features[1])
        expected += weight * (np.abs(difference) if criterion == "l1" else difference**2).mean()
    assert found.item() == pytest.approx(expected, rel=1e-4)
    assert {before for _, before in vgg.asked} == {activation == "before"}


def test_perceptual_distance_freezes_the_network_and_spares_the_reference(pair):
    estimate, reference = (tensor.clone().requires_grad_() for tensor in pair)
    vgg = Stub()
    distance = distance_of(vgg).to("cpu")
    distance.distance(estimate, reference).backward()
    assert estimate.grad is not None and estimate.grad.abs().sum() > 0
    assert reference.grad is None and vgg.gain.grad is None
    assert not vgg.training


def test_layers_of_vgg19_map_to_vgg16():
    moved = {name: layer_of(name, "vgg16") for name in LAYERS if layer_of(name, "vgg16") != name}
    assert moved == {"conv3_4": "conv3_3", "conv4_4": "conv4_3", "conv5_4": "conv5_3"}
    assert all(layer_of(name, "vgg19") == name and calibration_of(name, "vgg19") == 1 for name in LAYERS)
    assert calibration_of("conv5_4", "vgg16") == VGG16_CALIBRATION[4] != 1


def test_perceptual_distance_of_a_real_vgg(pair):
    torch.manual_seed(0)
    estimate, reference = (tensor.clone() for tensor in pair)
    vgg = VggFeatures("vgg16", "none")
    distance = PerceptualDistance(vgg, Perceptual(layers={"conv1_2": 1.0, "conv3_4": 1.0}))
    estimate.requires_grad_()
    loss = distance.distance(estimate, reference)
    loss.backward()
    assert estimate.grad is not None and estimate.grad.abs().sum() > 0
    features = [vgg(picture, ("conv1_2", "conv3_3"), True) for picture in (estimate, reference)]
    expected = sum((features[0][name] - features[1][name]).abs().mean().item() for name in features[0])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": {"conv5_5": 1.0}}, "unknown layer; did you mean 'conv5_"),
        ({"layers": {"conv5_4": -1.0}}, "greater than or equal to 0"),
        ({"layers": {}}, "at least 1"),
        ({"scale": 0.0}, "greater than 0"),
        ({"criterion": "l2"}, "'l1' or 'mse'"),
        ({"activations": "after"}, "not permitted"),
    ],
)
def test_wrong_settings_of_the_perceptual_distance_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Perceptual(**values)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def expected_losses(name, real, fake):
    """Return the losses of discriminator and generator as defined in the papers."""
    if name == "standard":
        return -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean(), -np.log(sigmoid(fake)).mean()
    if name == "least_squares":
        return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2, ((fake - 1) ** 2).mean() / 2
    if name == "hinge":
        return np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean(), -fake.mean()
    more_real, more_fake = sigmoid(real - fake.mean()), sigmoid(fake - real.mean())
    discriminator = -np.log(more_real).mean() - np.log(1 - more_fake).mean()
    generator = -np.log(1 - more_real).mean() - np.log(more_fake).mean()
    return discriminator / 2, generator / 2


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("shape", [(4, 1), (2, 1, 5, 7)])
def test_adversarial_losses_equal_the_papers(name, shape):
    generator = np.random.default_rng(0)
    real, fake = generator.normal(0.5, 2, shape), generator.normal(-0.5, 2, shape)
    module = plugins.load("pipeline.training.adversarial", name)
    tensors = torch.from_numpy(real), torch.from_numpy(fake)
    expected = expected_losses(name, real, fake)
    assert module.discriminator_loss(*tensors).item() == pytest.approx(expected[0])
    assert module.generator_loss(*tensors).item() == pytest.approx(expected[1])


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_gradients_separate_logits_and_are_finite(name):
    module = plugins.load("pipeline.training.adversarial", name)
    for size in (0.1, 1e4):
        real, fake = (torch.full((3, 1), value * size, requires_grad=True) for value in (-1.0, 1.0))
        module.discriminator_loss(real, fake).backward()
        assert real.grad is not None and fake.grad is not None
        assert torch.isfinite(real.grad).all() and torch.isfinite(fake.grad).all()
        assert (real.grad < 0).all() and (fake.grad > 0).all()


@pytest.mark.parametrize("module", [standard, relativistic, least_squares, hinge])
def test_the_generator_loss_has_gradients_for_the_generator_alone(module):
    real = torch.tensor([0.3, -0.2], requires_grad=True)
    fake = torch.tensor([-0.4, 0.1], requires_grad=True)
    module.generator_loss(real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None and (fake.grad < 0).all()
