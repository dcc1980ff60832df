"""A small network that tells kinds of brain images apart, to ask whether restored images still show what they should.

It is trained on true images only. Where it gives a restored image another class than the reference of the same slice,
the restoration changed what a reader might see. The network is a residual one (He, Zhang, Ren and Sun, CVPR 2016).
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
"""Rows and columns that images are resized to."""
CHANNELS = (16, 32, 64, 96)
"""Features at every resolution, each half the one before; the first is a quarter of SIDE."""
BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
MAX_EPOCHS = 30
PATIENCE = 12
"""Training ends after so many epochs in which the held-out images were classified no better."""
HELD_OUT = 0.1
"""Share of the images of every class that training does not see."""
LARGEST_SHIFT = 6
"""Images are moved by up to so many voxels along both axes while training."""


class ResidualBlock(nn.Module):
    """Two convolutions around which the input is added; the first halves the resolution if `stride` is 2."""

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
    """Grey images of shape (n, 1, SIDE, SIDE) to one score a class, shape (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, CHANNELS[0], 5, 2, 2, bias=False), nn.BatchNorm2d(CHANNELS[0])]
        layers += [nn.ReLU(), nn.MaxPool2d(2), ResidualBlock(CHANNELS[0], CHANNELS[0], 1)]
        for features_in, features in pairwise(CHANNELS):
            layers.append(ResidualBlock(features_in, features, 2))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(CHANNELS[-1], classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the classes; the largest one wins."""
        return self.layers(images)


def train_classifier(images: NDArray[np.floating], labels: NDArray[np.integer], seed: int) -> nn.Module:
    """Train a classifier on true images.

    Args:
        images: shape (n, y, x), intensities in [0, 1].
        labels: class of every image, 0 and up; shape (n,).
        seed: of the weights, the held-out tenth and the order of the images. The same seed gives the same network on
            the same machine with the same number of threads.

    Returns:
        The network of the epoch that classified the held-out images best, ready for `predict`.

    Raises:
        ValueError: images and labels do not belong together, or a class has fewer than two images.
    """
    if images.ndim != 3 or labels.shape != images.shape[:1]:  # noqa: PLR2004
        raise ValueError(f"images of shape {images.shape} do not fit labels of shape {labels.shape}.")
    if np.bincount(labels).min() < 2:  # noqa: PLR2004
        raise ValueError("every class needs two images: one to learn from, one to hold out.")
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
    """Return the share of images that keep the class of their reference, from 0 to 1.

    Args:
        network: from `train_classifier`.
        reference: shape (n, y, x), intensities in [0, 1].
        estimate: the same slices, restored; their sizes may differ.
    """
    return float(np.mean(predict(network, reference) == predict(network, estimate)))


def _held_out(labels: NDArray[np.integer], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose the same share of every class, at least one image of each."""
    chosen = np.zeros(labels.shape, dtype=bool)
    for kind in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == kind))
        chosen[members[: max(1, round(HELD_OUT * members.size))]] = True
    return chosen


def resized(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return images as the classifier sees them, shape (n, SIDE, SIDE); `images` as for `train_classifier`."""
    tensor = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
    same = tuple(tensor.shape[2:]) == (SIDE, SIDE)
    smaller = tensor if same else functional.interpolate(tensor, (SIDE, SIDE), mode="bilinear", antialias=True)
    return smaller[:, 0].numpy()


def _inputs(images: NDArray[np.floating]) -> Tensor:
    """Return float32 of shape (n, 1, SIDE, SIDE), about zero."""
    return 4 * torch.from_numpy(resized(images))[:, None] - 1  # brain images are dark on the average


def _fit(
    network: Classifier,
    inputs: Tensor,
    targets: Tensor,
    held_out: NDArray[np.bool_],
    generator: np.random.Generator,
) -> nn.Module:
    """Train until the held-out images are classified no better and return to the best epoch."""
    shown, hidden = np.flatnonzero(~held_out), torch.from_numpy(np.flatnonzero(held_out))
    steps = -(-shown.size // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=MAX_EPOCHS * steps)
    best, best_loss, best_epoch = deepcopy(network.state_dict()), float("inf"), 0
    for epoch in range(1, MAX_EPOCHS + 1):
        network.train()
        for batch in np.array_split(generator.permutation(shown), steps):
            chosen = torch.from_numpy(batch)
            loss = functional.cross_entropy(network(_varied(inputs[chosen], generator)), targets[chosen])
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


def _varied(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Mirror half of the images from left to right and moves all of them a little."""
    mirrored = torch.from_numpy(generator.random(len(images)) < 0.5)[:, None, None, None]  # noqa: PLR2004
    flipped = torch.where(mirrored, images.flip(-1), images)
    rows, columns = generator.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, size=2)
    return torch.roll(flipped, (int(rows), int(columns)), (-2, -1))


def _scores(network: nn.Module, inputs: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part) for part in inputs.split(4 * BATCH)])
