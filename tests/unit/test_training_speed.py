"""What makes a training quick leaves its results as they are: each way of saving time against the plain way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.models.discriminators.unet_sn import doubled_along
from pipeline.models.generator import Generator, Shape
from pipeline.models.vgg import VggFeatures
from pipeline.physics.grid import Cut, pad_to_multiple
from pipeline.physics.interpolation import slice_weights
from pipeline.physics.operators import binning, kspace_truncation, slice_profile
from pipeline.training.augmentation.contrast import draw_curve
from pipeline.training.average import MovingAverage
from pipeline.training.gradient_checkpointing import checkpoint_trunk
from pipeline.training.loss_inputs import LossInputs
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.perceptual import PerceptualDistance
from pipeline.training.trainer import Logits, Trainer
from tests.small_training import ADVERSARIAL, TINY, make_trainer, tiny_recipe, tiny_settings
from tests.unit.test_patches import MODELS, a_model, a_volume

pytestmark = pytest.mark.usefixtures("one_thread")

SEED, STEP = 3, 4


# Patches


def drawn_plainly(volume: TrainingVolume, index: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a patch cropped from the degraded volume, as a reference implementation."""
    generator = np.random.default_rng([SEED, STEP, index])
    cut, place = volume.places[generator.integers(len(volume.places))]
    model = volume.model.redrawn(generator)
    generator.random()  # whether the contrast is changed
    factors = (model.whole_factors[cut.rows], model.whole_factors[cut.columns])
    coarse = as_slices(model.coarsen(volume.data), cut)
    weights = slice_weights(coarse.shape[0], model.whole_factors[cut.normal])[place]
    measured = np.tensordot(weights, coarse, axes=1)
    reference = pad_to_multiple(as_slices(volume.data, cut)[min(place, volume.data.shape[cut.normal] - 1)], factors)
    mask = pad_to_multiple(as_slices(volume.mask, cut)[min(place, volume.data.shape[cut.normal] - 1)], factors)
    rows, columns = np.nonzero(mask)
    chosen = generator.integers(rows.size)
    centre = (rows[chosen] // factors[0], columns[chosen] // factors[1])
    missing = [max(0, side - size) for size in measured.shape]
    measured = np.pad(measured, [(0, count) for count in missing])
    reference = np.pad(reference, [(0, count * factor) for count, factor in zip(missing, factors, strict=True)])
    starts = [int(np.clip(c - side // 2, 0, size - side)) for c, size in zip(centre, measured.shape, strict=True)]
    measured = measured[tuple(slice(start, start + side) for start in starts)]
    reference = reference[tuple(slice(s * f, (s + side) * f) for s, f in zip(starts, factors, strict=True))]
    return measured, reference


def as_slices(volume: np.ndarray, cut: Cut) -> np.ndarray:
    return np.moveaxis(volume, cut, (0, 1, 2))


ALL_MODELS = {
    **MODELS,
    "all axes": a_model((slice_profile.Parameters(thickness_mm=4.0), kspace_truncation.Parameters()), (4, 4, 4)),
    "sizes that the factor does not divide": a_model((binning.Parameters(),), (3, 3, 3)),
    "k-space of such sizes": a_model((kspace_truncation.Parameters(),), (3, 3, 1)),
}


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_patch_equals_a_crop_of_the_degraded_volume(name, side, monkeypatch):
    monkeypatch.setattr("pipeline.training.patches._augmented", lambda coarse, fine, *_, **__: (coarse, fine))
    volume = a_volume(ALL_MODELS[name])
    recipe = tiny_recipe(batch_size=8, patch_lr=side, noise_sigma_range=(0, 0), contrast_augmentation=0)
    patches = PatchSampler([volume], recipe, SEED).batch(STEP)
    for index in range(8):
        measured, reference = drawn_plainly(volume, index, side)
        np.testing.assert_array_equal(patches.reference[index, 0], reference)
        # Rician noise of no strength takes the magnitude.
        found = patches.measured[index, 0]
        np.testing.assert_allclose(np.abs(found), np.abs(measured), atol=2e-6)


def test_tone_curves_in_single_precision_agree_with_double():
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    for seed in range(10):
        generator = np.random.default_rng(seed)
        gamma, scale = np.exp(generator.uniform(*np.log((0.6, 1.6)))), generator.uniform(0.7, 1.1)
        found = draw_curve(np.random.default_rng(seed))(image)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, scale * image.astype(np.float64) ** gamma, rtol=2e-6)


# Networks


@pytest.mark.parametrize(
    ("factor", "along"), [(2, "both"), (3, "both"), (4, "both"), (8, "both"), (3, "columns"), (4, "columns")]
)
def test_training_and_evaluation_modes_agree(factor, along):
    torch.manual_seed(0)
    generator = Generator(Shape.from_json({**TINY, "factor": factor, "along": along})).double()
    image = torch.rand(2, 1, 7, 9, dtype=torch.float64)
    results, gradients = [], []
    for trains in (True, False):
        generator.train(trains).zero_grad()
        result = generator(image)
        result.square().sum().backward()
        results.append(result.detach())
        gradients.append([parameter.grad for parameter in generator.parameters()])
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 1, 3)])
def test_doubled_along_is_bilinear_interpolation(shape):
    image = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    expected = functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    found = doubled_along(doubled_along(image, -1), -2)
    torch.testing.assert_close(found, expected)
    change = torch.rand_like(expected)
    gradients = [torch.autograd.grad(result, image, change)[0] for result in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_batched_averaging_equals_averaging_of_each_weight():
    torch.manual_seed(0)
    network, average = (Generator(Shape.from_json(TINY)) for _ in range(2))
    average = MovingAverage(average, 0.99)
    expected = [parameter.clone() for parameter in average.network.parameters()]
    for step in (0, 5, 2000):
        average.update(network, step)
        decay = min(0.99, (1 + step) / (10 + step))
        for kept, current in zip(expected, network.parameters(), strict=True):
            kept.lerp_(current.detach(), 1 - decay)
    assert all(map(torch.equal, expected, average.network.parameters()))


# The discriminator's part


class RecomputesLogits(Trainer):
    """A trainer that recomputes logits in the step of the discriminator, which is frozen before it."""

    def _logits(self, inputs: LossInputs, estimate: torch.Tensor, parts: int) -> Logits:
        assert self._discriminator is not None
        self._discriminator.requires_grad_(False)
        with torch.no_grad():
            real = self._discriminator(inputs.reference)
        return Logits(real, self._discriminator(estimate))

    def _discriminator_step(self, parts: list[LossInputs], estimates: list[torch.Tensor], all_logits: list[Logits]):
        assert self._discriminator is not None
        self._discriminator.requires_grad_(True)
        again = [self._discriminate(inputs, one) for inputs, one in zip(parts, estimates, strict=True)]
        return super()._discriminator_step(parts, estimates, again)


@pytest.mark.parametrize("loss", ["relativistic", "standard", "hinge"])
def test_shared_logits_do_not_change_the_training(tmp_path, loss, monkeypatch):
    adversarial = {**ADVERSARIAL, "discriminator": "vgg_style", "loss": loss, "weight": 0.1}
    recipe = tiny_recipe(steps=5, adversarial=adversarial)
    once = make_trainer(tmp_path / "once", recipe, tiny_settings(record_every=1))
    once.run()
    monkeypatch.setattr("tests.small_training.Trainer", RecomputesLogits)
    twice = make_trainer(tmp_path / "twice", recipe, tiny_settings(record_every=1))
    twice.run()
    assert isinstance(twice, RecomputesLogits)
    for one, other in ((once._generator, twice._generator), (once._discriminator, twice._discriminator)):
        assert one is not None and other is not None
        assert all(map(torch.equal, one.parameters(), other.parameters()))
    timeless = [[{**row, "seconds": 0} for row in trainer.history] for trainer in (once, twice)]
    assert timeless[0] == timeless[1]


@contextmanager
def counted(module: nn.Module) -> Iterator[Callable[[], int]]:
    """Count how often a module is computed."""
    calls: list[Any] = []
    handle = module.register_forward_hook(lambda *_: calls.append(None))
    yield lambda: len(calls)
    handle.remove()


@pytest.mark.parametrize(("accumulate", "passes"), [(1, 2), (2, 8)])
def test_logits_are_computed_once_unless_the_batch_is_in_parts(tmp_path, accumulate, passes):
    trainer = make_trainer(tmp_path, tiny_recipe(adversarial=ADVERSARIAL), tiny_settings(accumulate=accumulate))
    assert trainer._discriminator is not None
    down = trainer._discriminator.get_submodule("down.0.parametrizations.weight")
    with counted(trainer._discriminator) as count, counted(down) as normalised:
        trainer.take_step()
        assert count() == passes
        assert accumulate > 1 or normalised() == 1


def test_a_discriminator_with_zero_weight_is_neither_computed_nor_trained(tmp_path):
    recipe = tiny_recipe(steps=2, adversarial={**ADVERSARIAL, "weight": 0.0})
    silent = make_trainer(tmp_path / "silent", recipe)
    plain = make_trainer(tmp_path / "plain", tiny_recipe(steps=2))
    assert silent._discriminator is not None
    before = [parameter.detach().clone() for parameter in silent._discriminator.parameters()]
    with counted(silent._discriminator) as count:
        silent.run()
        assert count() == 0
    assert all(map(torch.equal, before, silent._discriminator.parameters()))
    plain.run()
    assert all(map(torch.equal, silent._generator.parameters(), plain._generator.parameters()))


def test_a_vgg_that_no_term_uses_is_not_computed(tmp_path):
    torch.manual_seed(0)
    vgg = VggFeatures("vgg16", "none")
    distance = PerceptualDistance(vgg, tiny_recipe().perceptual)
    with counted(vgg) as count:
        make_trainer(tmp_path / "without", tiny_recipe(steps=1), perceptual=distance).run()
        assert count() == 0
        losses = {"l1": 1.0, "perceptual": 0.1}
        make_trainer(tmp_path / "with", tiny_recipe(steps=1, losses=losses), perceptual=distance).run()
        assert count() == 2
    assert all(parameter.grad is None for parameter in vgg.parameters())


# Gradient checkpointing


@pytest.mark.parametrize("architecture", ["rrdbnet", "srresnet"])
@pytest.mark.parametrize("adversarial", [None, ADVERSARIAL], ids=["pixels", "adversarial"])
def test_gradient_checkpointing_does_not_change_the_training(tmp_path, architecture, adversarial):
    recipe = tiny_recipe(steps=4, adversarial=adversarial, losses={"l1": 1.0, "ldl": 1.0}, noise_map=False)
    trainers = []
    for again in (False, True):
        torch.manual_seed(0)
        generator = Generator(Shape.from_json({**TINY, "architecture": architecture, "blocks": 2}))
        settings = tiny_settings(gradient_checkpointing=again, record_every=1)
        trainers.append(make_trainer(tmp_path / str(again), recipe, settings, generator=generator))
        trainers[-1].run()
    first, second = (trainer._generator.state_dict() for trainer in trainers)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    timeless = [[{**row, "seconds": 0} for row in trainer.history] for trainer in trainers]
    assert timeless[0] == timeless[1]


def test_gradient_checkpointing_saves_memory():
    torch.manual_seed(0)
    generator = Generator(Shape.from_json({**TINY, "blocks": 6}))
    image = torch.rand(1, 1, 16, 16)
    before = kept_bytes(generator, image)
    checkpoint_trunk(generator)
    assert kept_bytes(generator, image) < before / 2


def kept_bytes(network: nn.Module, image: torch.Tensor) -> int:
    """Return the memory of all tensors that autograd saves for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = network(image)
    assert result.requires_grad
    return sum(kept.values())


# The process

STEPS_OF_MEMORY = """
import resource
import numpy as np
import torch
from threadpoolctl import threadpool_info
from pipeline.models.device import keep_freed_memory
from pipeline.training.loading import limit_blas_threads

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        pieces = [torch.ones(size, 2**18) for size in (1, 3, 12, 40)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
limit_blas_threads()
faults()
print(first, faults(), max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_freed_memory_is_kept_and_numpy_uses_one_thread():
    told = subprocess.run([sys.executable, "-c", STEPS_OF_MEMORY], capture_output=True, text=True, check=True).stdout
    before, after, threads = map(int, told.split())
    assert before > 10_000
    assert after < before / 100
    assert threads == 1
