"""A small classifier of brain images, used to test whether restored images keep the class of their reference.

It is trained on reference images only. A restored image with another class than the reference of the same slice has
lost or gained features that may matter to a reader. The network is residual (He, Zhang, Ren and Sun, CVPR 2016).
"""

from __future__ import annotations

import logging
from copy import deepcopy
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

logger = logging.getLogger(__name__)

SIDE = 112
"""Number of rows and columns of the network's input."""
CHANNELS = (16, 32, 64, 96)
"""Number of features at each resolution; the first has SIDE / 4 rows, and each further one half as many."""
BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
MAX_EPOCHS = 30
PATIENCE = 12
"""Number of epochs without improvement on the held-out images after which training stops."""
HELD_OUT = 0.1
"""Fraction of the images of each class that is held out."""
MAX_SHIFT = 6
"""Maximum shift in voxels along both axes, for data augmentation."""


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection; the first halves the resolution if `stride` is 2."""

    def __init__(self, features_in: int, features: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(features_in, features, 3, stride, 1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, 1, 1, bias=False),
            nn.BatchNorm2d(features),
        )
        same = stride == 1 and features_in == features
        self.shortcut = nn.Identity() if same else nn.Conv2d(features_in, features, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, features_in, y, x) to (n, features, y / stride, x / stride)."""
        return functional.relu(self.body(features) + self.shortcut(features))


class Classifier(nn.Module):
    """Map greyscale images of shape (n, 1, SIDE, SIDE) to logits of shape (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, CHANNELS[0], 5, 2, 2, bias=False), nn.BatchNorm2d(CHANNELS[0])]
        layers += [nn.ReLU(), nn.MaxPool2d(2), ResidualBlock(CHANNELS[0], CHANNELS[0], 1)]
        for features_in, features in pairwise(CHANNELS):
            layers.append(ResidualBlock(features_in, features, 2))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(CHANNELS[-1], classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes."""
        return self.layers(images)


def train_classifier(images: NDArray[np.floating], labels: NDArray[np.integer], seed: int) -> nn.Module:
    """Train a classifier on reference images.

    Args:
        images: shape (n, y, x), intensities in [0, 1].
        labels: class of every image, 0 and up; shape (n,).
        seed: random seed of the weights, the held-out images and the batches. Results are reproducible on the same
            machine with the same number of threads.

    Returns:
        The network of the epoch with the lowest loss on the held-out images, for `predict`.

    Raises:
        ValueError: the shapes of images and labels differ, or a class has fewer than two images.
    """
    if images.ndim != 3 or labels.shape != images.shape[:1]:  # noqa: PLR2004
        raise ValueError(f"images of shape {images.shape} do not fit labels of shape {labels.shape}.")
    if np.bincount(labels).min() < 2:  # noqa: PLR2004
        raise ValueError("every class needs two images: one for training, one to hold out.")
    generator = np.random.default_rng(seed)
    held_out = _held_out(labels, generator)
    inputs, targets = _inputs(images), torch.from_numpy(labels.astype(np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(int(labels.max()) + 1)
        return _fit(network, inputs, targets, held_out, generator)


def predict(network: nn.Module, images: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the class of every image; `images` as for `train_classifier`, the result of shape (n,)."""
    return _scores(network, _inputs(images)).argmax(dim=1).numpy()


def agreement(network: nn.Module, reference: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Return the fraction of images that are assigned the class of their reference.

    Args:
        network: from `train_classifier`.
        reference: shape (n, y, x), intensities in [0, 1].
        estimate: the restored images; their size may differ.
    """
    return float(np.mean(predict(network, reference) == predict(network, estimate)))


def _held_out(labels: NDArray[np.integer], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Hold out the same fraction of each class, at least one image."""
    chosen = np.zeros(labels.shape, dtype=bool)
    for kind in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == kind))
        chosen[members[: max(1, round(HELD_OUT * members.size))]] = True
    return chosen


def resized(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Resize images to the network's input, shape (n, SIDE, SIDE); `images` as for `train_classifier`."""
    tensor = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
    same = tuple(tensor.shape[2:]) == (SIDE, SIDE)
    smaller = tensor if same else functional.interpolate(tensor, (SIDE, SIDE), mode="bilinear", antialias=True)
    return smaller[:, 0].numpy()


def _inputs(images: NDArray[np.floating]) -> Tensor:
    """Return float32 of shape (n, 1, SIDE, SIDE), centred about zero."""
    return 4 * torch.from_numpy(resized(images))[:, None] - 1  # brain images are dark on average


def _fit(
    network: Classifier,
    inputs: Tensor,
    targets: Tensor,
    held_out: NDArray[np.bool_],
    generator: np.random.Generator,
) -> nn.Module:
    """Train with early stopping, and return the network of the best epoch."""
    shown, hidden = np.flatnonzero(~held_out), torch.from_numpy(np.flatnonzero(held_out))
    steps = -(-shown.size // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=MAX_EPOCHS * steps)
    best, best_loss, best_epoch = deepcopy(network.state_dict()), float("inf"), 0
    for epoch in range(1, MAX_EPOCHS + 1):
        network.train()
        for batch in np.array_split(generator.permutation(shown), steps):
            chosen = torch.from_numpy(batch)
            loss = functional.cross_entropy(network(_augmented(inputs[chosen], generator)), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        held_out_loss = float(functional.cross_entropy(_scores(network, inputs[hidden]), targets[hidden]))
        logger.info("epoch %d: cross entropy of the held-out images %.3f", epoch, held_out_loss)
        if held_out_loss < best_loss:
            best, best_loss, best_epoch = deepcopy(network.state_dict()), held_out_loss, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    network.load_state_dict(best)
    return network.eval()


def _augmented(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Augment images: mirror half of them from left to right, and shift all of them by the same random vector."""
    mirrored = torch.from_numpy(generator.random(len(images)) < 0.5)[:, None, None, None]  # noqa: PLR2004
    flipped = torch.where(mirrored, images.flip(-1), images)
    rows, columns = generator.integers(-MAX_SHIFT, MAX_SHIFT + 1, size=2)
    return torch.roll(flipped, (int(rows), int(columns)), (-2, -1))


def _scores(network: nn.Module, inputs: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part) for part in inputs.split(4 * BATCH)])
