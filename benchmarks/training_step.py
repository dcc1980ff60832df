"""Training step compared with that of BasicSR: same network, losses, batch and patch size.

    python -m benchmarks.training_step [--steps 3] [--rounds 7] [--threads 2] [--json PATH]

The peer implements the published description of BasicSR's SRModel and ESRGANModel (Wang et al., BasicSR, 2022): float32
in the default memory layout; forward pass of the generator, losses, backward pass, Adam; then the discriminator, with
backward passes for its logits of real and generated patches in turn, Adam; exponential moving average with decay 0.999.
Both train the same single-channel 6-block RRDBNet on patches of 32 x 32 voxels at factor 4. The peer receives the same
batch at every step, ours draws a new one. The peer runs in its own process with the default settings of torch; memory
settings of our process are part of our implementation. The weights of the VGG are random, which takes the same time.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import kept_apart, machine
from pipeline import plugins
from pipeline.config.recipe import Recipe, filled
from pipeline.config.sections import Train
from pipeline.models.device import keep_freed_memory, use_threads
from pipeline.models.generator import Generator, Shape
from pipeline.models.vgg import VggFeatures
from pipeline.physics.forward import ForwardModel
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.fabric import start_engine
from pipeline.training.loading import limit_blas_threads
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.perceptual import PerceptualDistance
from pipeline.training.trainer import Networks, Trainer, ValidationResult

BATCH, SIDE, FACTOR, DECAY = 4, 32, 4, 0.999
COMMON = {
    "batch_size": BATCH,
    "patch_lr": SIDE,
    "noise_map": False,
    "ema_decay": DECAY,
    "steps": 10_000,
    "unfreeze": {"trunk_from": 0.0, "trunk_rate": 1.0},
}
STAGES = {"L1": "rrdb_l1", "GAN (ESRGAN)": "esrgan", "GAN (Real-ESRGAN)": "real-esrgan"}
"""Rows of the table and their recipes."""
VOLUME = (192, 224, 192)
RADIUS = 0.9
WARM_UP = 2
HEADING = "| case | peer, ms | ours, ms | ratio | ratio of the best rounds | data, % of ours |"


def recipe_of(stage: str) -> Recipe:
    """Return the recipe of a row."""
    return Recipe.model_validate({**filled(STAGES[stage], {}), **COMMON})


@dataclass
class InitialNetworks:
    """Networks with the same random initial weights for both implementations."""

    generator: Generator
    discriminator: nn.Module | None
    vgg: VggFeatures | None


def networks_of(recipe: Recipe) -> InitialNetworks:
    """Return new networks."""
    torch.manual_seed(0)
    discriminator = None
    if recipe.adversarial:
        build = plugins.load("pipeline.models.discriminators", recipe.adversarial.discriminator).build
        discriminator = build(1, SIDE * FACTOR, recipe.adversarial.features)
    vgg = VggFeatures("vgg19", "imagenet") if "perceptual" in recipe.losses else None
    return InitialNetworks(Generator(Shape(factor=FACTOR)), discriminator, vgg)


# The peer


class PlainTraining:
    """Training as described by BasicSR."""

    def __init__(self, recipe: Recipe) -> None:
        networks = networks_of(recipe)
        # eval() selects the published forward pass; no layer depends on the mode otherwise.
        self._generator, self._discriminator, self._vgg = (
            networks.generator.eval(),
            networks.discriminator,
            networks.vgg,
        )
        self._recipe = recipe
        self._average = copy.deepcopy(self._generator).requires_grad_(False)
        self._optimizer = torch.optim.Adam(self._generator.parameters(), lr=recipe.learning_rate)
        if self._discriminator and recipe.adversarial:
            self._critic_optimizer = torch.optim.Adam(
                self._discriminator.parameters(), lr=recipe.adversarial.learning_rate
            )
        generator = torch.Generator().manual_seed(1)
        self._measured = torch.rand(BATCH, 1, SIDE, SIDE, generator=generator)
        self._reference = torch.rand(BATCH, 1, SIDE * FACTOR, SIDE * FACTOR, generator=generator)

    def take_step(self) -> None:
        """Run one training step of all networks."""
        if self._discriminator:
            self._discriminator.requires_grad_(False)
        self._optimizer.zero_grad()
        estimate = self._generator(self._measured)
        loss = self._recipe.losses.get("l1", 0.0) * functional.l1_loss(estimate, self._reference)
        if self._vgg:
            loss = loss + self._recipe.losses["perceptual"] * self._perceptual(self._vgg, estimate)
        if self._discriminator and self._recipe.adversarial:
            loss = loss + self._recipe.adversarial.weight * self._generator_gan(self._discriminator, estimate)
        loss.backward()
        self._optimizer.step()
        if self._discriminator:
            self._discriminator.requires_grad_(True)
            self._critic_optimizer.zero_grad()
            self._discriminator_gan(self._discriminator, estimate)
            self._critic_optimizer.step()
        with torch.no_grad():
            for kept, current in zip(self._average.parameters(), self._generator.parameters(), strict=True):
                kept.mul_(DECAY).add_(current, alpha=1 - DECAY)

    def _perceptual(self, vgg: VggFeatures, estimate: Tensor) -> Tensor:
        layers = self._recipe.perceptual.layers
        found = vgg(estimate, list(layers), before_activation=True)
        wanted = vgg(self._reference, list(layers), before_activation=True)
        return sum(
            (weight * functional.l1_loss(found[name], wanted[name]) for name, weight in layers.items()),
            torch.zeros(()),
        )

    @property
    def _is_relativistic(self) -> bool:
        return self._recipe.adversarial is not None and self._recipe.adversarial.loss == "relativistic"

    def _generator_gan(self, discriminator: nn.Module, estimate: Tensor) -> Tensor:
        if not self._is_relativistic:
            return _looks(discriminator(estimate), True)
        real, fake = discriminator(self._reference).detach(), discriminator(estimate)
        return (_looks(real - fake.mean(), False) + _looks(fake - real.mean(), True)) / 2

    def _discriminator_gan(self, discriminator: nn.Module, estimate: Tensor) -> None:
        """Run two backward passes, for real and generated patches."""
        if not self._is_relativistic:
            _looks(discriminator(self._reference), True).backward()
            _looks(discriminator(estimate.detach()), False).backward()
            return
        fake, real = discriminator(estimate).detach(), discriminator(self._reference)
        (_looks(real - fake.mean(), True) / 2).backward()
        fake = discriminator(estimate.detach())
        (_looks(fake - real.mean().detach(), False) / 2).backward()


def _looks(logits: Tensor, real: bool) -> Tensor:
    """Return the binary cross entropy of logits against a single label."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def peer(stage: str, threads: int) -> Callable[[int], float]:
    """Return a function that runs steps of the peer and returns their time in seconds."""
    torch.set_num_threads(threads)
    return _timed(PlainTraining(recipe_of(stage)).take_step)


def _timed(take_step: Callable[[], object]) -> Callable[[int], float]:
    def take(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            take_step()
        return time.perf_counter() - began

    return take


# Ours


def training_volume(folder: Path) -> TrainingVolume:
    """Write a ball of smooth noise and open it memory-mapped, as in training."""
    grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in VOLUME), indexing="ij", sparse=True)
    mask = sum(axis**2 for axis in grid) < RADIUS**2
    noise = np.random.default_rng(0).random(VOLUME, dtype=np.float32)
    np.save(folder / "data.npy", np.where(mask, ndimage.gaussian_filter(noise, 1), 0).astype(np.float32))
    np.save(folder / "mask.npy", mask)
    data, mask = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("data", "mask"))
    slices = tuple(int(index) for index in np.flatnonzero(mask.any(axis=(0, 1))))
    return TrainingVolume(data, mask, 2, slices, ForwardModel((FACTOR, FACTOR, 1), VOLUME, "rician", 0.02, seed=1))


def our_trainer(stage: str, threads: int, folder: Path) -> Trainer:
    """Return our trainer, as set up by the step `train`."""
    use_threads(threads)
    limit_blas_threads()
    keep_freed_memory()
    recipe = recipe_of(stage)
    networks = networks_of(recipe)
    perceptual = PerceptualDistance(networks.vgg, recipe.perceptual) if networks.vgg else None
    return Trainer(
        Networks(networks.generator, networks.discriminator, perceptual),
        PatchSampler([training_volume(folder)], recipe, seed=0),
        recipe,
        Train(threads=threads),
        CheckpointFolder(folder, "benchmark"),
        lambda network: ValidationResult({}, 1.0, torch.zeros(0)),
        start_engine("cpu", "32-true"),
    )


# Both


def measure(stage: str, steps: int, rounds: int, threads: int) -> dict[str, Any]:
    """Return one row: medians over interleaved rounds, in seconds per step.

    On a shared machine, the ratio of the best rounds is more reliable.
    """
    with tempfile.TemporaryDirectory() as folder, kept_apart(peer, stage, threads) as theirs:
        trainer = our_trainer(stage, threads, Path(folder))
        ours = _timed(trainer.take_step)
        for side in (theirs, ours):
            side(WARM_UP)
        pairs = [(theirs(steps) / steps, ours(steps) / steps) for _ in range(rounds)]
        peer_s, ours_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        peer_best, ours_best = (min(column) for column in zip(*pairs, strict=True))
    return {
        "case": f"training step, {stage}",
        "peer_s": peer_s,
        "ours_s": ours_s,
        "ratio": ratio,
        "ratio_of_best": peer_best / ours_best,
        "data_share": trainer.waiting_share,
        "steps": steps,
        "rounds": rounds,
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [HEADING, "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = (
            f"{1000 * row['peer_s']:.0f} | {1000 * row['ours_s']:.0f} | {row['ratio']:.2f} | {row['ratio_of_best']:.2f}"
        )
        lines.append(f"| {row['case']} | {cells} | {100 * row['data_share']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=3, help="steps per round")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds; their median is reported")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=list(STAGES), help="stages")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    rows = [measure(stage, arguments.steps, arguments.rounds, arguments.threads) for stage in arguments.only]
    sys.stdout.write(table_of(rows) + "\n")
    if arguments.json:
        result = {
            "title": "Training step",
            "machine": {**machine(), "threads": str(arguments.threads)},
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
