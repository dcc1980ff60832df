"""The classifier behind the agreement of diagnoses, on toys that it must tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.fidelity import classifier
from pipeline.fidelity.classifier import agreement, predict, train_classifier


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(classifier, "SIDE", 32)
    monkeypatch.setattr(classifier, "CHANNELS", (4, 8))
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 8)
    monkeypatch.setattr(classifier, "BATCH", 8)
    # Two threads that wait for each other on a busy machine take a hundred times as long as one.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def toys(count=48, seed=0):
    """Stripes across, stripes down, and none; in noise."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    wave = 0.25 * np.sin(np.arange(32) * 1.2)
    patterns = np.stack([np.tile(wave, (32, 1)), np.tile(wave[:, None], (1, 32)), np.zeros((32, 32))])
    images = 0.4 + patterns[labels] + 0.05 * generator.standard_normal((count, 32, 32))
    return images.clip(0, 1), labels


def test_it_learns_to_tell_patterns_apart():
    network = train_classifier(*toys(), seed=1)
    images, labels = toys(30, seed=9)
    assert predict(network, images).shape == (30,)
    assert np.mean(predict(network, images) == labels) > 0.9
    assert agreement(network, images, images) == 1
    turned = images.transpose(0, 2, 1)
    assert agreement(network, images, turned) == pytest.approx(1 / 3, abs=0.1)
    larger = images.repeat(2, axis=1).repeat(2, axis=2).astype(np.float32)
    assert agreement(network, images, larger) > 0.9


def test_the_same_seed_gives_the_same_network_and_leaves_the_random_state_alone(monkeypatch):
    monkeypatch.setattr(classifier, "MAX_EPOCHS", 2)
    before = torch.random.get_rng_state()
    one, same, other = (train_classifier(*toys(), seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_every_class_is_held_out_in_part():
    labels = np.array([0] * 40 + [1] * 20 + [2] * 3)
    held_out = classifier._held_out(labels, np.random.default_rng(0))
    assert [int(held_out[labels == kind].sum()) for kind in range(3)] == [4, 2, 1]


def test_what_does_not_fit_is_refused():
    images, labels = toys()
    with pytest.raises(ValueError, match="do not fit"):
        train_classifier(images, labels[:-1], seed=0)
    with pytest.raises(ValueError, match="two images"):
        train_classifier(images[:4], labels[:4], seed=0)
