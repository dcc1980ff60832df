"""Patches, contrast, learning rates, averaged weights, checkpoints, and the loop that joins them."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.config.recipe import Adversarial, Recipe
from pipeline.config.sections import Train
from pipeline.errors import UserError
from pipeline.inference.volume import restore_excerpt
from pipeline.models.generator import Generator
from pipeline.models.weights import save_generator
from pipeline.training.augmentation.contrast import GAMMA_RANGE, SCALE_RANGE, draw_curve
from pipeline.training.average import MovingAverage
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.patches import Patches, PatchSampler, TrainingVolume
from pipeline.training.record import NOISE_LEVELS, consistency_weights
from pipeline.training.schedules import (
    FINAL_RATE,
    adversarial_weight_at,
    group_learning_rate_factor,
    learning_rate_factor,
)
from pipeline.training.setup import (
    TrainingFiles,
    check_batch,
    plane_factors,
    starting_generator,
    teacher_for,
    training_key,
)
from pipeline.training.trainer import Trainer
from pipeline.training.validation import validate
from tests.small_training import (
    ADVERSARIAL,
    ChangedSampler,
    make_trainer,
    small_excerpt,
    tiny_generator,
    tiny_recipe,
    tiny_settings,
    training_volume,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Patches


def quiet(**changes) -> Recipe:
    """A recipe whose patches have neither noise nor changes of contrast."""
    return tiny_recipe(**{"noise_sigma_range": (0.0, 0.0), "contrast_augmentation": 0.0, **changes})


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_patch_pairs_show_the_same_region(slice_axis):
    volume = training_volume(slice_axis=slice_axis, shape=(66, 70, 62))
    patches = PatchSampler([volume], quiet(batch_size=8), seed=5).batch(0)
    assert patches.measured.shape == (8, 1, 8, 8)
    assert patches.reference.shape == (8, 1, 32, 32)
    assert patches.sigma.shape == (8,)
    assert patches.measured.dtype == patches.reference.dtype == patches.sigma.dtype == np.float32
    # Without noise, a low-resolution voxel is about the mean of the sixteen it covers.
    means = patches.reference.reshape(8, 1, 8, 4, 8, 4).mean(axis=(3, 5))
    assert np.corrcoef(means.ravel(), patches.measured.ravel())[0, 1] > 0.98


def arrays(patches: Patches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return patches.measured, patches.reference, patches.sigma


def equal(one: Patches, other: Patches) -> bool:
    return all(np.array_equal(first, second) for first, second in zip(arrays(one), arrays(other), strict=True))


def test_a_batch_depends_on_seed_and_step_alone():
    recipe, volume = tiny_recipe(), training_volume()
    first = PatchSampler([volume], recipe, seed=5)
    for step in range(3):
        first.batch(step)
    assert equal(first.batch(7), PatchSampler([volume], recipe, seed=5).batch(7))
    for other in (first.batch(8), PatchSampler([volume], recipe, seed=6).batch(7)):
        assert not any(np.array_equal(*pair) for pair in zip(arrays(first.batch(7)), arrays(other), strict=True))


def test_the_parts_of_several_devices_form_the_whole_batch():
    sampler = PatchSampler([training_volume()], tiny_recipe(batch_size=6), seed=5)
    whole = arrays(sampler.batch(3))
    for part in (slice(0, 2), slice(2, 4), slice(4, 6)):
        for found, expected in zip(arrays(sampler.batch(3, part)), whole, strict=True):
            assert np.array_equal(found, expected[part])


def test_a_slice_smaller_than_a_patch_is_padded():
    patches = PatchSampler([training_volume()], tiny_recipe(batch_size=3, patch_lr=32), seed=1).batch(0)
    assert patches.measured.shape == (3, 1, 32, 32)
    assert patches.reference.shape == (3, 1, 128, 128)
    assert np.isfinite(patches.measured).all()


def test_noise_levels_are_uniform_within_the_range():
    recipe = tiny_recipe(batch_size=100, noise_sigma_range=(0.01, 0.05))
    sigma = PatchSampler([training_volume(sigma=0.5)], recipe, seed=2).batch(0).sigma
    assert 0.01 <= sigma.min() < 0.015
    assert 0.045 < sigma.max() <= 0.05
    assert np.abs(np.quantile(sigma, [0.25, 0.5, 0.75]) - [0.02, 0.03, 0.04]).max() < 0.006


def test_sigma_is_the_noise_level_of_the_patches():
    recipe = tiny_recipe(batch_size=40, noise_sigma_range=(0.005, 0.06), contrast_augmentation=0.0)
    noisy = PatchSampler([training_volume()], recipe, seed=2).batch(0)
    clean = PatchSampler([training_volume()], recipe.model_copy(update={"noise_sigma_range": (0.0, 0.0)}), seed=2)
    noiseless = clean.batch(0)
    assert np.array_equal(noisy.reference, noiseless.reference)
    assert not noiseless.sigma.any()
    # Where the image is far above the noise, Rician noise is as good as Gaussian.
    bright = noiseless.measured > 0.4
    ratios = [
        np.std((noisy.measured - noiseless.measured)[index][bright[index]]) / noisy.sigma[index]
        for index in range(40)
        if bright[index].sum() >= 24
    ]
    assert len(ratios) > 20
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)
    assert max(abs(ratio - 1) for ratio in ratios) < 0.5


def test_without_a_range_noise_is_that_of_the_forward_model():
    recipe = tiny_recipe(batch_size=4, noise_sigma_range=None)
    sampler = PatchSampler([training_volume(sigma=0.07)], recipe, seed=2)
    assert np.allclose(sampler.batch(0).sigma, 0.07)


def test_the_operator_of_a_patch_is_that_of_a_volume_of_its_size():
    ((rows, columns),) = PatchSampler([training_volume()], tiny_recipe(), seed=0).batch(0).operator
    patch = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    model = replace(training_volume().model, factors=(4, 4, 1), hr_shape=(32, 32, 1))
    assert np.allclose(rows @ patch @ columns.T, model.coarsen(patch[:, :, None])[:, :, 0], atol=1e-5)


def test_contrast_changes_keep_background_and_order():
    image = np.linspace(-0.1, 1.2, 500, dtype=np.float32)
    for seed in range(20):
        changed = draw_curve(np.random.default_rng(seed))(image)
        assert np.all(changed[image <= 0] == 0)
        assert np.all(np.diff(changed[image > 0]) > 0)
        assert changed.max() <= SCALE_RANGE[1] * 1.2 ** GAMMA_RANGE[1] + 1e-6


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)])
def test_contrast_augmentation_applies_to_the_given_fraction_of_patches(share, least, most):
    recipe = quiet(batch_size=40, contrast_augmentation=share)
    # A flat slice stays flat, so that each patch shows its scale.
    volume = training_volume()
    flat = TrainingVolume(np.ones_like(volume.data), volume.mask, 2, volume.slices, volume.model)
    values = PatchSampler([flat], recipe, seed=3).batch(0).reference.max(axis=(1, 2, 3))
    assert least <= int(np.sum(np.abs(values - 1) > 1e-6)) <= most


# Rates


def test_the_learning_rate_has_warmup_and_cosine_decay():
    recipe = tiny_recipe(steps=110, warmup_steps=10)
    rates = [learning_rate_factor(step, recipe) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[60] == pytest.approx((1 + FINAL_RATE) / 2)
    assert rates[110] == pytest.approx(FINAL_RATE)


def test_the_trunk_is_unfrozen_later_with_a_lower_rate():
    recipe = tiny_recipe(steps=20, unfreeze={"trunk_from": 0.25, "trunk_rate": 0.5})
    assert [group_learning_rate_factor(step, "trunk", recipe) for step in range(5)] == [0.0] * 5
    for step in range(20):
        assert group_learning_rate_factor(step, "upsampler", recipe) == learning_rate_factor(step, recipe)
    for step in range(5, 20):
        assert group_learning_rate_factor(step, "trunk", recipe) == 0.5 * learning_rate_factor(step, recipe) > 0


def test_the_adversarial_weight_rises_along_a_ramp():
    recipe, adversarial = tiny_recipe(steps=20), Adversarial(weight=0.1, ramp=0.5)
    weights = [adversarial_weight_at(step, adversarial, recipe) for step in range(20)]
    assert weights[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert weights[10:] == pytest.approx([0.1] * 10)
    assert adversarial_weight_at(0, Adversarial(weight=0.1), recipe) == 0.1
    assert adversarial_weight_at(0, Adversarial(weight=0.1, ramp=0.01), recipe) == 0.1


# Averaged weights


class Counting(nn.Module):
    """One weight, and a counter as a buffer."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(0))


def test_weights_are_averaged_and_buffers_copied():
    network = Counting(0.0)
    average = MovingAverage(network, decay=0.9)
    expected = 0.0
    for step in range(300):
        with torch.no_grad():
            network.weight.fill_(float(np.sin(step / 20)))
        network.get_buffer("count").fill_(step)
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * float(np.sin(step / 20))
        assert average.network.get_parameter("weight").item() == pytest.approx(expected, abs=1e-5)
        assert average.network.get_buffer("count").item() == step
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_without_decay_the_average_is_the_network_itself():
    network = Counting(3.0)
    average = MovingAverage(network, decay=0.0)
    with torch.no_grad():
        network.weight.fill_(7.0)
    average.update(network, 0)
    assert average.network.get_parameter("weight").item() == 7.0


# The loop


def losses(trainer: Trainer, *names: str) -> np.ndarray:
    """Return the loss columns of the history, by row; all of them if no names are given."""
    names = names or tuple(sorted(name for name in trainer.history[0] if name.startswith("loss")))
    return np.array([[row[name] for name in names] for row in trainer.history])


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_frozen_layers_do_not_change_until_they_are_unfrozen(tmp_path):
    recipe = tiny_recipe(steps=8, unfreeze={"trunk_from": 0.5, "trunk_rate": 0.5})
    trainer = make_trainer(tmp_path, recipe)
    groups = trainer._generator.layer_groups()
    moved: dict[str, list[bool]] = {name: [] for name in groups}
    take = trainer.take_step

    def take_and_compare() -> None:
        before = {name: [one.detach().clone() for one in group] for name, group in groups.items()}
        take()
        for name, group in groups.items():
            moved[name].append(any(not torch.equal(*pair) for pair in zip(before[name], group, strict=True)))

    trainer.take_step = take_and_compare
    trainer.run()
    assert moved == {"upsampler": [True] * 8, "trunk": [False] * 4 + [True] * 4}
    rates = {group["name"]: group["lr"] for group in trainer._optimizer.param_groups}
    assert rates["trunk"] == pytest.approx(rates["upsampler"] / 2)
    assert rates["upsampler"] == pytest.approx(1e-3 * learning_rate_factor(7, recipe))


def test_a_recipe_without_discriminator_trains_and_records_history(tmp_path):
    recipe = tiny_recipe(steps=14, learning_rate=3e-3, losses={"l1": 0.5, "mse": 2.0})
    trainer = make_trainer(tmp_path, recipe, tiny_settings(validate_every=7, record_every=2))
    network = trainer.run()
    assert [row["step"] for row in trainer.history] == [2, 4, 6, 7, 8, 10, 12, 14]
    for row in trainer.history:
        assert row["loss"] == pytest.approx(0.5 * row["loss_l1"] + 2 * row["loss_mse"], rel=1e-5)
        assert row["learning_rate"] == pytest.approx(3e-3 * learning_rate_factor(int(row["step"]) - 1, recipe))
        assert ("val_psnr" in row) == (row["step"] % 7 == 0)
    assert trainer.history[-1]["val_psnr"] > trainer.history[3]["val_psnr"]
    assert sorted(trainer.samples) == [0, 7, 14]
    assert trainer.samples[14].shape == trainer.samples[0].shape
    assert same_weights(network, trainer._average.network)
    assert 0 <= trainer.waiting_share <= 1


def test_the_history_of_an_adversarial_recipe_contains_losses_and_ramp(tmp_path):
    recipe = tiny_recipe(steps=6, adversarial={**ADVERSARIAL, "weight": 0.1, "ramp": 0.5}, losses={"l1": 1.0})
    trainer = make_trainer(tmp_path, recipe, tiny_settings(record_every=1))
    trainer.run()
    assert [row["adversarial_weight"] for row in trainer.history] == pytest.approx([0.1 / 3, 0.2 / 3, *[0.1] * 4])
    for row in trainer.history:
        expected = row["loss_l1"] + row["adversarial_weight"] * row["loss_adversarial"]
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
        assert 0 < row["discriminator_fake"] < 1
        assert row["loss_discriminator"] > 0


@pytest.mark.parametrize("adversarial", [None, ADVERSARIAL], ids=["pixels", "adversarial"])
def test_gradient_accumulation_does_not_change_the_training(tmp_path, adversarial):
    recipe = tiny_recipe(batch_size=4, adversarial=adversarial)
    whole, parts = (
        make_trainer(tmp_path / str(count), recipe, tiny_settings(accumulate=count, record_every=1)) for count in (1, 2)
    )
    whole.run()
    parts.run()
    assert losses(whole).shape == (12, 2 if adversarial is None else 4)
    np.testing.assert_allclose(losses(parts, "loss", "loss_l1"), losses(whole, "loss", "loss_l1"), rtol=1e-4)
    # Spectral normalisation iterates once for every part, so that it is a little further with more of them.
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-2)


def test_mixed_precision_stays_near_full_precision(tmp_path):
    recipe = tiny_recipe(steps=6, adversarial=ADVERSARIAL)
    full, mixed = (
        make_trainer(tmp_path / kind, recipe, tiny_settings(precision=kind, record_every=1))
        for kind in ("32-true", "bf16-mixed")
    )
    full.run()
    network = mixed.run()
    np.testing.assert_allclose(losses(mixed), losses(full), rtol=0.05)
    assert not np.array_equal(losses(mixed), losses(full))
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_a_vgg_style_discriminator_and_the_other_terms_train_as_well(tmp_path):
    terms = {"charbonnier": 1.0, "ldl": 1.0, "consistency": 1.0, "ms_ssim": 0.1}
    adversarial = {**ADVERSARIAL, "discriminator": "vgg_style", "loss": "relativistic", "features": 4}
    trainer = make_trainer(tmp_path, tiny_recipe(steps=4, losses=terms, adversarial=adversarial))
    trainer.run()
    assert {f"loss_{name}" for name in terms} <= set(trainer.history[-1])
    assert trainer.events == []


def test_a_network_learns_from_its_teacher(tmp_path):
    """The teacher darkens, which no network would learn from the references."""
    teacher = tiny_generator(seed=7).eval()
    with torch.no_grad():
        for name in ("conv_last.weight", "conv_last.bias"):
            teacher.network.get_parameter(name).mul_(-1)
    before = copy.deepcopy(teacher.state_dict())
    excerpt = small_excerpt()

    def distances(losses: dict[str, float]) -> tuple[float, float]:
        recipe = tiny_recipe(
            steps=20, learning_rate=3e-3, losses=losses, teacher="pretrained" if "distillation" in losses else None
        )
        given = teacher if recipe.teacher else None
        network = make_trainer(tmp_path / "-".join(losses), recipe, teacher=given).run()
        estimates = [restore_excerpt(one, excerpt) for one in (network, teacher)]
        return (
            float(np.abs(estimates[0] - estimates[1]).mean()),
            float(np.abs(estimates[0] - excerpt.reference.data).mean()),
        )

    taught, untaught = distances({"distillation": 1.0}), distances({"l1": 1.0})
    assert taught[0] < untaught[0] / 2
    assert taught[1] > untaught[1]
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())
    assert not any(weight.grad is not None for weight in teacher.parameters())


def test_the_key_of_a_training_depends_on_its_teacher(tmp_path):
    keys = []
    for seed in (1, 1, 2):
        save_generator(tmp_path / "teacher.safetensors", tiny_generator(seed))
        files = TrainingFiles([], [], [], [], teacher=tmp_path / "teacher.safetensors")
        keys.append(training_key(files, tiny_recipe(), tiny_settings(), 0, "code"))
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(UserError, match=r"teacher.safetensors: the teacher enlarges by \(4, 4\), but .* by \(2, 2\)"):
        teacher_for(tmp_path / "teacher.safetensors", tiny_recipe(), (2, 2))
    with pytest.raises(UserError, match="given 0 neighbouring slices on each side; set the same number"):
        teacher_for(tmp_path / "teacher.safetensors", tiny_recipe(neighbours=1), (4, 4))


def test_training_continues_without_any_loss_term(tmp_path):
    recipe = tiny_recipe(steps=3, losses={}, adversarial={**ADVERSARIAL, "weight": 0.0})
    trainer = make_trainer(tmp_path, recipe, tiny_settings(record_every=1))
    trainer.run()
    assert [row["loss"] for row in trainer.history] == [0, 0, 0]
    assert trainer.events == []


def test_a_resumed_training_has_the_same_result_and_events(tmp_path):
    """The state of the sentinel, the factor of the adversarial weight and the good state are restored as well."""

    def spoil(step: int, patches: Patches) -> Patches:
        return replace(patches, reference=np.full_like(patches.reference, np.nan)) if step in (3, 12) else patches

    recipe = tiny_recipe(steps=16, adversarial=ADVERSARIAL)
    # Every skipped step sets back: once before the interruption, once after it.
    settings = tiny_settings({"patience_steps": 5}, checkpoint_every=7)

    def trainer(folder: str) -> Trainer:
        sampler = ChangedSampler(PatchSampler([training_volume()], recipe, seed=5), spoil)
        return make_trainer(tmp_path / folder, recipe, settings, sampler=sampler)

    undisturbed = trainer("whole")
    expected = copy.deepcopy(undisturbed.run())
    interrupted = trainer("cut")
    take = interrupted.take_step

    def take_until_nine() -> None:
        if interrupted._step == 9:
            raise KeyboardInterrupt
        take()

    interrupted.take_step = take_until_nine
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed = trainer("cut")
    assert same_weights(resumed.run(), expected)
    assert [event.step for event in resumed.events] == [3, 3, 12, 12]
    assert str(resumed.events) == str(undisturbed.events)
    assert resumed._sentinel.adversarial_factor == 0.25
    timeless = [[{**row, "seconds": 0} for row in one.history] for one in (resumed, undisturbed)]
    assert str(timeless[0]) == str(timeless[1])
    assert all(torch.equal(resumed.samples[step], undisturbed.samples[step]) for step in undisturbed.samples)
    assert resumed._discriminator is not None
    assert undisturbed._discriminator is not None
    assert same_weights(resumed._discriminator, undisturbed._discriminator)


def test_validation_reports_psnr_and_diversity():
    class Repeating(nn.Module):
        """Repeats pixels and adds `offset`; the result follows the input exactly, scaled."""

        factors = (4, 4)

        def __init__(self, scale: float, offset: float) -> None:
            super().__init__()
            self.scale, self.offset = nn.Parameter(torch.tensor(scale)), offset

        def forward(self, image, sigma):
            return self.scale * nn.functional.interpolate(image, scale_factor=4) + self.offset

    excerpts = [small_excerpt(), small_excerpt(seed=6)]
    near, flat = (validate(Repeating(*pair), excerpts) for pair in ((1.0, 0.0), (0.1, 0.5)))  # pyright: ignore[reportArgumentType]
    assert near.diversity == pytest.approx(1.0, rel=1e-4)
    assert flat.diversity == pytest.approx(0.1, rel=1e-4)
    assert near.values["psnr"] > flat.values["psnr"] + 3
    assert near.excerpts.shape == (2, 44, 40)  # rows and columns, as they are drawn
    assert near.excerpts.dtype == torch.float32


def test_data_consistency_weights_are_fitted_at_several_noise_levels():
    found = consistency_weights(
        tiny_generator(seed=1).eval(), [small_excerpt()], tiny_recipe(noise_sigma_range=(0.0, 0.06))
    )
    levels = [level for level, _ in found]
    assert (levels[0], levels[-1], len(levels)) == (0.0, pytest.approx(0.06), NOISE_LEVELS)
    # They lie closer where noise is low.
    assert np.all(np.diff(levels, n=2) > 0)
    assert all(0 <= weight <= 1 for _, weight in found)
    # A network that has learnt nothing gains most from the measurement, where there is no noise.
    assert found[0][1] == max(weight for _, weight in found) > 0.5
    alone = consistency_weights(
        tiny_generator().eval(), [small_excerpt(sigma=0.03)], tiny_recipe(noise_sigma_range=None)
    )
    assert [level for level, _ in alone] == pytest.approx([0.03])


# What does not fit together


@pytest.mark.parametrize(("size", "accumulate", "devices", "multiple"), [(3, 2, 1, 2), (4, 1, 3, 3), (6, 2, 2, 4)])
def test_a_batch_that_cannot_be_divided_evenly_is_rejected(size, accumulate, devices, multiple):
    with pytest.raises(UserError, match=rf"batch_size: {size} patches .* choose a multiple of {multiple}\."):
        check_batch(tiny_recipe(batch_size=size), Train(accumulate=accumulate), devices)


@pytest.mark.parametrize(("size", "accumulate", "devices"), [(2, 1, 1), (4, 2, 2), (6, 3, 1)])
def test_a_batch_that_can_be_divided_evenly_is_accepted(size, accumulate, devices):
    check_batch(tiny_recipe(batch_size=size), Train(accumulate=accumulate), devices)


def test_volumes_must_have_the_same_factors():
    assert plane_factors([training_volume(slice_axis=0), training_volume(slice_axis=2)]) == (4, 4)
    with pytest.raises(UserError, match=r"different factors \[\(2, 2\), \(4, 4\)\]"):
        plane_factors([training_volume(), training_volume(factor=2)])


def test_initial_weights_of_another_factor_are_rejected(tmp_path):
    save_generator(tmp_path / "x4.safetensors", tiny_generator())
    with pytest.raises(UserError, match=r"x4\.safetensors: enlarges by \(4, 4\), but .* by \(2, 2\)"):
        starting_generator(tmp_path / "x4.safetensors", tiny_recipe(), (2, 2))


def test_initial_weights_with_a_noise_map_are_rejected_by_a_recipe_without_one(tmp_path):
    save_generator(tmp_path / "told.safetensors", tiny_generator(noise_map=True))
    with pytest.raises(UserError, match="has a noise map; set noise_map: true"):
        starting_generator(tmp_path / "told.safetensors", tiny_recipe(noise_map=False), (4, 4))


def test_a_shortened_network_keeps_the_first_blocks(tmp_path):
    whole = tiny_generator(blocks=3)
    save_generator(tmp_path / "whole.safetensors", whole)
    short = starting_generator(tmp_path / "whole.safetensors", tiny_recipe(keep_blocks=1), (4, 4))
    assert (short.shape.blocks, short.is_fast, whole.is_fast) == (1, True, False)
    for name, tensor in short.network.state_dict().items():
        assert torch.equal(tensor, whole.network.state_dict()[name])
    with pytest.raises(UserError, match="keep_blocks: 4, but the initial network has 3 blocks"):
        starting_generator(tmp_path / "whole.safetensors", tiny_recipe(keep_blocks=4), (4, 4))
    with pytest.raises(ValueError, match="keep_blocks: shortens an initial network"):
        tiny_recipe(keep_blocks=1, starts_from="scratch")


def test_a_noise_map_is_added_to_initial_weights_without_effect(tmp_path):
    plain = tiny_generator(noise_map=False)
    save_generator(tmp_path / "plain.safetensors", plain)
    told = starting_generator(tmp_path / "plain.safetensors", tiny_recipe(), (4, 4))
    untold = starting_generator(tmp_path / "plain.safetensors", tiny_recipe(noise_map=False), (4, 4))
    image = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert told.shape.noise_map
        assert torch.allclose(told(image, torch.tensor([0.01, 0.05])), plain(image), atol=1e-6)
        assert torch.equal(untold(image), plain(image))


@pytest.mark.parametrize("architecture", ["rrdbnet", "srresnet", "fast_edsr"])
def test_from_scratch_recipe_and_data_determine_the_shape(architecture):
    recipe = tiny_recipe(architecture=architecture, blocks=2, features=16, starts_from="scratch", noise_map=False)
    shape = starting_generator(None, recipe, (2, 2)).shape
    assert (shape.architecture, shape.factor, shape.blocks, shape.features) == (architecture, 2, 2, 16)
    assert not shape.noise_map
    assert isinstance(starting_generator(None, recipe, (2, 2)), Generator)


# Checkpoints


def test_the_newest_of_two_matching_checkpoints_is_loaded(tmp_path):
    folder = CheckpointFolder(tmp_path / "work", "key")
    with folder.lease():
        for step in (1, 2, 3):
            folder.save(step, {"value": torch.tensor([float(step)])})
    kept = sorted(path.name for path in (tmp_path / "work").glob("*.pt"))
    assert kept == ["generation-0.pt", "generation-1.pt"]
    latest = folder.latest()
    assert latest is not None
    assert latest["value"].item() == 3.0


def test_a_damaged_checkpoint_is_replaced_by_the_previous_one(tmp_path):
    folder = CheckpointFolder(tmp_path, "key")
    folder.save(1, {"value": 1})
    folder.save(2, {"value": 2})
    newest = tmp_path / "generation-1.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    assert folder.latest() == {"value": 1}


def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path, caplog):
    CheckpointFolder(tmp_path, "before").save(5, {"value": 5})
    with caplog.at_level("INFO"):
        assert CheckpointFolder(tmp_path, "after").latest() is None
    assert "training from the beginning" in caplog.text


def test_two_trainers_cannot_share_a_folder(tmp_path):
    first, second = CheckpointFolder(tmp_path, "key"), CheckpointFolder(tmp_path, "key")
    with first.lease(), pytest.raises(UserError, match="another training"), second.lease():
        pass
    with second.lease():
        pass
