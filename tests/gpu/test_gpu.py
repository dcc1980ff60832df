"""What a GPU computes is what the processor computes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config.sections import Infer
from pipeline.inference.volume import restore_volume, restore_with_tta_std
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator, Shape
from tests.helpers import synthetic_head
from tests.small_training import ADVERSARIAL, make_trainer, tiny_recipe, tiny_settings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is available"),
]

FACTORS = (4, 4, 1)
AGREEMENT = 1e-4
"""Largest difference between the two, as a fraction of the range."""


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return synthetic_head((64, 60, 6)) / np.float32(1000)


def network() -> Generator:
    """Return a network of the size of the demo with random weights, so large that every layer affects the result."""
    torch.manual_seed(0)
    generator = Generator(Shape(blocks=6, noise_map=True)).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(2.0)
    return generator


def on_gpu(generator: Generator) -> Generator:
    placed: Any = copy.deepcopy(generator).to(choose_device("cuda"))
    return placed.to(memory_format=torch.channels_last)


def test_auto_selects_the_gpu(caplog):
    caplog.set_level("INFO")
    assert choose_device("auto").type == "cuda"
    assert torch.cuda.get_device_name() in caplog.text


def test_restored_volumes_agree_with_the_cpu(head):
    generator = network()
    expected = restore_volume(generator, head, FACTORS, 2, Infer(), 0.02)
    found = restore_volume(on_gpu(generator), head, FACTORS, 2, Infer(), 0.02)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < AGREEMENT * np.ptp(expected)


def test_a_compiled_network_has_the_same_result(head):
    generator = on_gpu(network())
    expected = restore_volume(generator, head, FACTORS, 2, Infer(), 0.02)
    found = restore_volume(generator, head, FACTORS, 2, Infer(compile=True), 0.02)
    assert np.abs(found - expected).max() < AGREEMENT * np.ptp(expected)


def test_the_tta_std_agrees_with_the_cpu(head):
    generator = network()
    expected = restore_with_tta_std([generator], head[..., :2], FACTORS, 2, Infer(), 0.02, augmentations=4)
    found = restore_with_tta_std([on_gpu(generator)], head[..., :2], FACTORS, 2, Infer(), 0.02, augmentations=4)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other).max() < AGREEMENT * np.ptp(expected[0])


def test_slices_that_exceed_the_memory_are_restored_in_parts(head, monkeypatch):
    generator = on_gpu(network())
    expected = restore_volume(generator, head, FACTORS, 2, Infer(), 0.02)
    torch.cuda.empty_cache()
    kept = torch.cuda.memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    monkeypatch.setattr("pipeline.inference.volume.slices_per_batch", lambda *_: 6)
    torch.cuda.set_per_process_memory_fraction((kept + 150 * 2**20) / total)
    try:
        found = restore_volume(generator, head, FACTORS, 2, Infer(), 0.02)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.abs(found - expected).max() < AGREEMENT * np.ptp(expected)


def weights(generator: Generator) -> np.ndarray:
    return np.concatenate([value.detach().float().cpu().numpy().ravel() for value in generator.state_dict().values()])


def train(folder: Path, device: str = "cuda", steps: int = 12, **settings) -> tuple[np.ndarray, list[dict[str, float]]]:
    use_threads(4)
    trainer = make_trainer(folder, tiny_recipe(steps=steps), tiny_settings(**settings), device=device)
    result = trainer.run()
    return weights(result), trainer.history


def test_trainings_are_reproducible(tmp_path):
    first, _ = train(tmp_path / "one")
    second, _ = train(tmp_path / "other")
    assert np.array_equal(first, second)


def test_the_number_of_workers_does_not_change_the_training(tmp_path):
    first, _ = train(tmp_path / "one", threads=1)
    second, _ = train(tmp_path / "other", threads=6)
    assert np.array_equal(first, second)


def test_a_resumed_training_has_the_same_weights(tmp_path):
    undisturbed, _ = train(tmp_path / "whole", checkpoint_every=4)
    recipe, settings = tiny_recipe(steps=12), tiny_settings(checkpoint_every=4)
    cut = make_trainer(tmp_path / "cut", recipe, settings, device="cuda")

    def stop(*_):
        raise KeyboardInterrupt

    step = cut.take_step
    cut.take_step = lambda: stop() if cut._step == 10 else step()
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    resumed = make_trainer(tmp_path / "cut", recipe, settings, device="cuda").run()
    assert np.array_equal(weights(resumed), undisturbed)


def test_a_training_is_close_to_that_on_the_cpu(tmp_path):
    _, here = train(tmp_path / "gpu", steps=24)
    _, there = train(tmp_path / "cpu", device="cpu", steps=24)
    assert here[-1]["val_psnr"] == pytest.approx(there[-1]["val_psnr"], abs=0.1)
    assert here[0]["loss"] == pytest.approx(there[0]["loss"], rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_trainings_in_lower_precision_are_nearly_as_good(tmp_path, precision):
    _, whole = train(tmp_path / "whole", steps=60)
    _, half = train(tmp_path / "half", steps=60, precision=precision)
    assert all(math.isfinite(row["loss"]) for row in half)
    gains = [[row["val_psnr"] for row in history if "val_psnr" in row] for history in (whole, half)]
    gain, of_half = (each[-1] - each[0] for each in gains)
    # Sixteen bits leave out the first steps until their scale is found.
    assert gain > 1 and of_half > 0.6 * gain


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_adversarial_trainings_complete(tmp_path, precision):
    recipe = tiny_recipe(steps=12, adversarial=ADVERSARIAL)
    trainer = make_trainer(tmp_path, recipe, tiny_settings(precision=precision), device="cuda")
    assert np.isfinite(weights(trainer.run())).all()
    assert trainer.history[-1]["loss_discriminator"] > 0
