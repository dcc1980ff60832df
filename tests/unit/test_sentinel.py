"""The sentinel: its checks of numbers, and real trainings that are made to fail in each of the known ways."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision

from pipeline.config.recipe import Recipe
from pipeline.config.sections import Sentinel as Settings
from pipeline.errors import UserError
from pipeline.models.generator import Generator
from pipeline.training.patches import Patches, PatchSampler
from pipeline.training.sentinel import FIRST_STEPS, Sentinel
from pipeline.training.trainer import Trainer, ValidationResult
from tests import small_training
from tests.small_training import (
    ADVERSARIAL,
    ChangedSampler,
    make_trainer,
    tiny_generator,
    tiny_recipe,
    tiny_settings,
    training_volume,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def used_to(gradient: float, **settings: Any) -> Sentinel:
    """Return a sentinel whose running median is defined; the next step is FIRST_STEPS."""
    sentinel = Sentinel(Settings.model_validate(settings))
    for step in range(FIRST_STEPS):
        assert sentinel.check_step(step, 1.0, gradient) == "fine"
    return sentinel


def kinds(sentinel: Sentinel | Trainer) -> list[str]:
    return [event.kind for event in sentinel.events]


# Logitss on numbers


@pytest.mark.parametrize(
    ("loss", "gradient", "what"),
    [
        (np.nan, 1.0, "loss is not finite"),
        (np.inf, 1.0, "loss is not finite"),
        (1.0, np.nan, "gradient is not finite"),
        (1.0, np.inf, "gradient is not finite"),
        (1.0, 41.0, "exploded: the running median is 2"),
    ],
)
def test_a_bad_step_is_skipped_and_noted(loss, gradient, what):
    sentinel = used_to(2.0)
    assert sentinel.check_step(10, loss, gradient) == "skip"
    (event,) = sentinel.events
    assert event.step == 10
    assert event.kind == "skipped_step"
    assert what in event.what
    assert sentinel.check_step(11, 1.0, 39.0) == "fine"
    assert sentinel.adversarial_factor == 1.0


def test_gradients_are_not_checked_before_the_median_is_defined():
    sentinel = Sentinel(Settings())
    verdicts = [sentinel.check_step(step, 1.0, gradient) for step, gradient in enumerate((1.0, 1000.0, 1e-9))]
    assert verdicts == ["fine"] * 3
    assert sentinel.check_step(3, np.nan, 1.0) == "skip"


def test_skipped_steps_do_not_change_the_running_median():
    sentinel = used_to(1.0)
    for step in range(10, 110):
        # The median of the last fifty follows a gradient that slowly becomes a thousand times larger.
        assert sentinel.check_step(step, 1.0, 1.0 * 1.07 ** (step - 10)) == "fine"
    top = 1.07**99
    assert sentinel.check_step(110, 1.0, 21 * top) == "skip"
    assert sentinel.check_step(111, 1.0, 21 * top) == "skip"


def test_consecutive_skipped_steps_trigger_a_rollback():
    sentinel = used_to(1.0, patience_steps=30)
    assert [sentinel.check_step(step, np.nan, 1.0) for step in (10, 11)] == ["skip", "skip"]
    assert sentinel.check_step(12, 1.0, 1.0) == "fine"
    assert [sentinel.check_step(step, np.nan, 1.0) for step in (13, 14, 15)] == ["skip", "skip", "roll_back"]
    assert kinds(sentinel) == ["skipped_step"] * 5 + ["rolled_back"]
    assert sentinel.events[-1].what == "3 consecutive steps were skipped"
    assert sentinel.adversarial_factor == 0.5


def test_a_persistently_vanished_gradient_triggers_a_rollback():
    sentinel = used_to(1.0, patience_steps=4, min_gradient=1e-3)
    assert [sentinel.check_step(step, 1.0, 0.9e-3) for step in range(10, 13)] == ["fine"] * 3
    assert sentinel.check_step(13, 1.0, 1.1e-3) == "fine"
    assert [sentinel.check_step(step, 1.0, 0.9e-3) for step in range(14, 17)] == ["fine"] * 3
    assert sentinel.check_step(17, 1.0, 0.9e-3) == "roll_back"
    assert sentinel.events[-1].what == "the generator's gradient vanished"
    assert sentinel.events[-1].value == 0.9e-3


@pytest.mark.parametrize(
    ("real", "fake", "still", "what"),
    [
        (0.995, 0.01, False, "almost perfectly"),
        (np.nan, 0.5, False, "almost perfectly"),
        (0.6, 0.4, True, "do not change"),
    ],
)
def test_a_persistently_dominant_or_frozen_discriminator_triggers_a_rollback(real, fake, still, what):
    sentinel = Sentinel(Settings(patience_steps=3))
    assert [sentinel.check_discriminator(step, real, fake, still) for step in range(2)] == ["fine", "fine"]
    assert sentinel.check_discriminator(2, 0.6, 0.4, False) == "fine"
    assert sentinel.events == []
    verdicts = [sentinel.check_discriminator(step, real, fake, still) for step in range(3, 6)]
    assert verdicts == ["fine", "fine", "roll_back"]
    assert what in sentinel.events[-1].what
    assert sentinel.adversarial_factor == 0.5


def test_a_discriminator_with_inverted_logits_is_not_dominant():
    sentinel = Sentinel(Settings(patience_steps=1))
    assert sentinel.check_discriminator(0, 0.01, 0.99, False) == "fine"


@pytest.mark.parametrize(
    ("psnr", "diversity", "what"),
    [
        (20.0, 0.01, "no longer depends on the input"),
        (20.0, np.nan, "no longer depends on the input"),
        (16.9, 0.5, "fell from 20.00 dB"),
        (np.nan, 0.5, "fell from 20.00 dB"),
    ],
)
def test_a_collapse_at_validation_triggers_a_rollback(psnr, diversity, what):
    sentinel = Sentinel(Settings())
    assert sentinel.check_validation(0, 20.0, 0.5) == "fine"
    assert sentinel.check_validation(50, 17.1, 0.5) == "fine"
    assert sentinel.check_validation(100, psnr, diversity) == "roll_back"
    assert what in sentinel.events[-1].what
    assert sentinel.check_validation(150, 20.5, 0.5) == "fine"


def test_random_weights_may_have_low_diversity():
    sentinel = Sentinel(Settings())
    assert sentinel.check_validation(0, 2.0, 0.001) == "fine"
    assert sentinel.check_validation(50, 6.0, 0.4) == "fine"
    assert sentinel.check_validation(100, 6.0, 0.001) == "roll_back"
    assert Sentinel(Settings()).check_validation(0, 2.0, np.nan) == "roll_back"


def test_every_rollback_reduces_the_adversarial_weight():
    sentinel = Sentinel(Settings(max_rollbacks=2, adversarial_factor=0.25))
    assert sentinel.check_validation(0, 20.0, 0.5) == "fine"
    for count in (1, 2):
        assert sentinel.check_validation(count, 1.0, 0.5) == "roll_back"
        assert not sentinel.exhausted
        assert sentinel.adversarial_factor == 0.25**count
    assert sentinel.check_validation(3, 1.0, 0.5) == "roll_back"
    assert sentinel.exhausted
    assert kinds(sentinel) == ["rolled_back", "rolled_back", "stopped"]


def test_a_training_with_a_symptom_is_not_healthy():
    sentinel = used_to(1.0, patience_steps=3)
    assert sentinel.healthy
    assert sentinel.check_discriminator(1, 1.0, 0.0, False) == "fine"
    assert not sentinel.healthy
    assert sentinel.check_discriminator(2, 0.5, 0.5, False) == "fine"
    assert sentinel.healthy


def test_half_precision_may_skip_more_consecutive_steps():
    patient, hasty = (Sentinel(Settings(patience_steps=10), least) for least in (4, 0))
    assert [patient.check_step(step, 1.0, np.inf) for step in range(4)] == ["skip", "skip", "skip", "roll_back"]
    assert hasty.check_step(0, 1.0, np.inf) == "roll_back"


def verdicts_of(sentinel: Sentinel) -> list[str]:
    generator = np.random.default_rng(3)
    verdicts = []
    for step in range(60):
        loss = np.nan if generator.random() < 0.2 else 1.0
        real, fake, change = generator.random(3).round(1).tolist()
        verdicts.append(sentinel.check_step(step, loss, generator.random()))
        verdicts.append(sentinel.check_discriminator(step, real, fake, change == 0))
        verdicts.append(sentinel.check_validation(step, 20 + 4 * generator.random(), generator.random()))
    return verdicts


def test_a_restored_sentinel_continues_unchanged(tmp_path):
    settings = Settings(patience_steps=20, max_discriminator_gap=0.1, min_gradient=0.5, max_rollbacks=1000)
    undisturbed = Sentinel(settings)
    verdicts_of(undisturbed)
    # As a checkpoint writes and reads it, which knows plain values and tensors alone.
    torch.save(undisturbed.state(), tmp_path / "state.pt")
    restored = Sentinel(settings)
    restored.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert len(undisturbed.events) > 10
    assert verdicts_of(restored) == verdicts_of(undisturbed)
    assert str(restored.state()) == str(undisturbed.state())


# Real trainings


def sampler(recipe: Recipe, change) -> ChangedSampler:
    return ChangedSampler(PatchSampler([training_volume()], recipe, seed=5), change)


def weights_after_steps(trainer: Trainer) -> list[dict[str, torch.Tensor]]:
    """Run a training; return the weights of the trained network after every step."""
    found: list[dict[str, torch.Tensor]] = []
    take = trainer.take_step

    def take_and_watch() -> None:
        take()
        found.append(copy.deepcopy(trainer._generator.state_dict()))

    trainer.take_step = take_and_watch
    trainer.run()
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def finite(network: torch.nn.Module | dict[str, torch.Tensor]) -> bool:
    state = network.state_dict() if isinstance(network, torch.nn.Module) else network
    return all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


def test_a_healthy_adversarial_training_has_no_events(tmp_path):
    recipe = tiny_recipe(steps=24, adversarial={**ADVERSARIAL, "loss": "relativistic"})
    trainer = make_trainer(tmp_path, recipe, tiny_settings(validate_every=12))
    assert finite(trainer.run())
    assert trainer.events == []
    assert trainer.history[-1]["val_psnr"] > trainer.history[3]["val_psnr"] + 0.5
    assert trainer.history[-1]["adversarial_weight"] == pytest.approx(5e-3)


def test_an_excessive_learning_rate_is_rolled_back_and_finally_stopped(tmp_path):
    recipe = tiny_recipe(steps=200, learning_rate=50.0, warmup_steps=0)
    trainer = make_trainer(tmp_path, recipe, tiny_settings({"max_rollbacks": 2}))
    with pytest.raises(UserError, match=r"stopped at step \d+: .*after 2 rollbacks .*Lower the learning rate"):
        trainer.run()
    assert "skipped_step" in kinds(trainer)
    assert kinds(trainer).count("rolled_back") == 2
    assert kinds(trainer)[-1] == "stopped"


def test_a_rollback_restores_the_weights_of_the_last_good_state(tmp_path):
    def spoil(step: int, patches: Patches) -> Patches:
        return replace(patches, measured=np.full_like(patches.measured, np.nan)) if 7 <= step < 9 else patches

    recipe = tiny_recipe(steps=9)
    settings = tiny_settings({"patience_steps": 20}, validate_every=6)
    trainer = make_trainer(tmp_path, recipe, settings, sampler=sampler(recipe, spoil))
    good: list[dict[str, torch.Tensor]] = []
    validate = trainer._validate

    def validate_and_keep(network: Generator) -> ValidationResult:
        good.append(copy.deepcopy(network.state_dict()))
        return validate(network)

    trainer._validate = validate_and_keep
    after = weights_after_steps(trainer)
    assert kinds(trainer) == ["skipped_step", "skipped_step", "rolled_back"]
    # Validations at steps 0, 6 and 9: the averaged network of step 6 has the weights of the trained one after it.
    assert same(after[8], good[1])
    assert not same(after[6], good[1])
    assert same(good[2], good[1])
    assert not trainer._optimizer.optimizer.state


def test_a_frozen_discriminator_is_detected_and_its_weight_reduced(tmp_path):
    recipe = tiny_recipe(steps=10, adversarial={**ADVERSARIAL, "learning_rate": 0.0})
    trainer = make_trainer(tmp_path, recipe, tiny_settings({"patience_steps": 6}, record_every=1))
    trainer.run()
    (event,) = trainer.events
    assert (event.kind, event.step, event.value) == ("rolled_back", 5, 0.0)
    assert event.what == "the weights of the discriminator do not change"
    assert [row["adversarial_weight"] for row in trainer.history] == pytest.approx([5e-3] * 6 + [2.5e-3] * 4)


def test_a_dominant_discriminator_is_detected_and_its_weight_reduced(tmp_path):
    def apart(step: int, patches: Patches) -> Patches:
        return replace(patches, reference=patches.reference + 2)

    # The generator hardly moves, so that brightness alone separates reference and result.
    recipe = tiny_recipe(steps=16, learning_rate=1e-9, adversarial={**ADVERSARIAL, "learning_rate": 1e-2})
    settings = tiny_settings({"max_discriminator_gap": 0.9, "patience_steps": 3}, validate_every=100, record_every=1)
    trainer = make_trainer(tmp_path, recipe, settings, sampler=sampler(recipe, apart))
    trainer.run()
    event = trainer.events[0]
    assert event.kind == "rolled_back"
    assert "almost perfectly" in event.what
    assert event.value > 0.9
    gaps = [row["discriminator_real"] - row["discriminator_fake"] for row in trainer.history]
    assert min(gaps[event.step - 2 : event.step + 1]) > 0.9
    # The discriminator is set back as well: it has to learn to tell them apart anew.
    assert gaps[event.step + 1] < 0.5
    assert trainer.history[-1]["adversarial_weight"] < 5e-3


def test_mode_collapse_is_detected(tmp_path):
    def constant(step: int, patches: Patches) -> Patches:
        return replace(patches, reference=np.full_like(patches.reference, 0.2))

    generator = tiny_generator(seed=2)
    with torch.no_grad():
        generator.get_submodule("network.conv_last").get_parameter("weight").mul_(5)
    recipe = tiny_recipe(steps=40, learning_rate=3e-3, losses={"mse": 1.0}, ema_decay=0.5)
    settings = tiny_settings({"max_loss_db": 100.0}, validate_every=8)
    trainer = make_trainer(tmp_path, recipe, settings, generator=generator, sampler=sampler(recipe, constant))
    trainer.run()
    diversity = {row["step"]: row["diversity"] for row in trainer.history if "diversity" in row}
    event = trainer.events[0]
    assert (event.kind, event.what) == ("rolled_back", "the result no longer depends on the input")
    assert event.value == diversity[event.step] < 0.02
    assert all(value > 0.02 for step, value in diversity.items() if step < event.step)


@pytest.mark.parametrize("architecture", ["rrdbnet", "srresnet"])
def test_a_nan_patch_skips_one_step_alone(tmp_path, architecture):
    def spoil(step: int, patches: Patches) -> Patches:
        if step == 4:
            patches.measured[0, 0, 3, 3] = np.nan
        return patches

    recipe = tiny_recipe(steps=8)
    generator = tiny_generator(architecture=architecture)
    trainer = make_trainer(tmp_path, recipe, generator=generator, sampler=sampler(recipe, spoil))
    after = weights_after_steps(trainer)
    assert [(event.step, event.kind, event.what) for event in trainer.events] == [
        (4, "skipped_step", "the loss is not finite")
    ]
    # Running means of a batch normalisation are part of the state, and are undone as well.
    assert same(after[4], after[3])
    assert not same(after[5], after[4])
    assert all(finite(state) for state in after)
    assert finite(trainer._average.network)
    assert trainer.history[-1]["step"] == 8
    assert all(np.isfinite(list(row.values())).all() for row in trainer.history)


def test_a_state_with_a_symptom_is_not_a_rollback_target(tmp_path):
    def spoil(step: int, patches: Patches) -> Patches:
        return replace(patches, measured=np.full_like(patches.measured, np.nan)) if 5 <= step < 8 else patches

    recipe = tiny_recipe(steps=8)
    settings = tiny_settings({"patience_steps": 30}, validate_every=2)
    trainer = make_trainer(tmp_path, recipe, settings, sampler=sampler(recipe, spoil))
    after = weights_after_steps(trainer)
    assert kinds(trainer) == ["skipped_step"] * 3 + ["rolled_back"]
    # The validation after step 6 took place while steps were being skipped: what is good is the state after step 4.
    assert not same(after[7], after[5])
    assert same(after[7], trainer._good["generator"])


def test_the_discriminator_skips_a_bad_batch(tmp_path):
    def spoil(step: int, patches: Patches) -> Patches:
        if step == 1:
            patches.reference[:] = np.nan
        return patches

    recipe = tiny_recipe(steps=3, adversarial=ADVERSARIAL)
    trainer = make_trainer(tmp_path, recipe, tiny_settings(record_every=1), sampler=sampler(recipe, spoil))
    trainer.run()
    assert kinds(trainer) == ["skipped_step"]
    assert "loss_discriminator" not in trainer.history[1]
    assert trainer._discriminator is not None
    assert finite(trainer._discriminator)


def half_precision(monkeypatch: pytest.MonkeyPatch, scale: float) -> torch.amp.GradScaler:
    """Use a gradient scaler on the CPU, where Fabric would use bfloat16 instead."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def engine(device: str, precision: str) -> Fabric:
        fabric = Fabric(accelerator="cpu", plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
        fabric.launch()
        return fabric

    monkeypatch.setattr(small_training, "start_engine", engine)
    return scaler


def test_the_scale_of_half_precision_survives_an_interruption(tmp_path, monkeypatch):
    recipe, settings = tiny_recipe(steps=4), tiny_settings(precision="16-mixed", checkpoint_every=2)
    first = half_precision(monkeypatch, 2.0**18)
    trainer = make_trainer(tmp_path, recipe, settings)
    finish_step = trainer._finish_step

    def stop_after_two() -> None:
        finish_step()
        if trainer._step == 2:
            raise KeyboardInterrupt

    trainer._finish_step = stop_after_two
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    reached = first.get_scale()
    assert reached < 2.0**18
    second = half_precision(monkeypatch, 2.0**4)
    make_trainer(tmp_path, recipe, settings).run()
    assert second.get_scale() in (reached, reached / 2, reached / 4)


def test_half_precision_continues_after_overflow_and_bad_steps(tmp_path, monkeypatch):
    scaler = half_precision(monkeypatch, 2.0**18)

    def spoil(step: int, patches: Patches) -> Patches:
        if step == 12:
            patches.measured[0, 0, 3, 3] = np.nan
        if step == 13:
            patches.measured[0] *= 1000
        return patches

    recipe = tiny_recipe(steps=15)
    settings = tiny_settings(precision="16-mixed", validate_every=15)
    trainer = make_trainer(tmp_path, recipe, settings, sampler=sampler(recipe, spoil))
    after = weights_after_steps(trainer)
    skipped = [event.step for event in trainer.events if event.kind == "skipped_step"]
    assert 0 in skipped, "the scale was chosen so that the first gradients overflow"
    assert {12, 13} <= set(skipped)
    assert all(same(after[step], after[step - 1]) for step in skipped if step)
    assert scaler.get_scale() < 2.0**18
    assert not same(after[14], after[13])
    assert all(finite(state) for state in after)
