"""Setup of a training: its files, volumes, initial network and discriminator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline import plugins
from pipeline.config.parameters import Direction
from pipeline.config.recipe import Recipe
from pipeline.config.sections import Train
from pipeline.errors import UserError, about
from pipeline.files import sha256_of
from pipeline.formats.io.container import map_image, map_labels
from pipeline.models.generator import Generator, Shape, shortened, with_inputs
from pipeline.models.weights import load_generator
from pipeline.physics.grid import is_isotropic
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.training.any_ratio import UNCHANGED, AnyRatioSampler
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.synthesis.label_map import LabelMap


@dataclass(frozen=True)
class TrainingFiles:
    """Input files of a training. References and low-resolution volumes are in the same order.

    Attributes:
        hr: extracted training volumes.
        lr: their low-resolution volumes.
        val_hr: extracted validation volumes.
        val_lr: their low-resolution volumes.
        start: the initial generator; None for random weights.
        perceptual: features of a VGG; None if the recipe uses none.
        teacher: the network that teaches by its results; None if the recipe has none.
    """

    hr: Sequence[Path]
    lr: Sequence[Path]
    val_hr: Sequence[Path]
    val_lr: Sequence[Path]
    start: Path | None = None
    perceptual: Path | None = None
    teacher: Path | None = None

    def checksums(self) -> list[str]:
        """Return the SHA-256 of every file."""
        single = [path for path in (self.start, self.perceptual, self.teacher) if path]
        return [sha256_of(path) for path in (*self.hr, *self.lr, *self.val_hr, *self.val_lr, *single)]


def training_key(files: TrainingFiles, recipe: Recipe, settings: Train, seed: int, code: str) -> str:
    """Return a hash of everything that the resulting weights depend on; `code` is the version of the package."""
    parts = [recipe.model_dump(), settings.model_dump(), seed, files.checksums(), code, torch.__version__]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def training_volume(hr: Path, lr: Path) -> TrainingVolume:
    """Open a reference for sampling patches, with the forward model of its low-resolution volume."""
    with about(f"training volume {hr}"):
        reference, low = map_image(hr), map_image(lr, LowResolutionImage)
        labels = map_labels(hr)
        label_map = None if labels is None else LabelMap(labels, reference.spacing_mm)
        return TrainingVolume(
            data=reference.data,
            mask=reference.masks["foreground"],
            slice_axis=low.slice_axis,
            slices=low.block.foreground_slices,
            model=low.forward_model,
            label_map=label_map,
        )


def starting_generator(start: Path | None, recipe: Recipe, factors: tuple[int, int]) -> Generator:
    """Return the initial network of a training, with the noise map and the neighbouring slices of the recipe.

    Raises:
        UserError: the file is not a generator, or has other factors, or inputs that the recipe does not have.
    """
    any_ratio = recipe.ratio_range is not None
    if start is None:
        shape = Shape(
            recipe.architecture,
            factors[1],
            recipe.blocks,
            recipe.features,
            noise_map=recipe.noise_map,
            along="both" if factors[0] == factors[1] else "columns",
            neighbours=recipe.neighbours,
        )
        return Generator(shape.for_any_ratio() if any_ratio else shape)
    generator = load_generator(start)
    if generator.shape.slice_maps != any_ratio:
        required = "requires" if generator.shape.slice_maps else "does not support"
        raise UserError(f"{start}: this network {required} ratio_range in the recipe.")
    if generator.factors != factors:
        raise UserError(f"{start}: enlarges by {generator.factors}, but the data was degraded by {factors}.")
    if generator.shape.noise_map and not recipe.noise_map:
        raise UserError(f"{start}: has a noise map; set noise_map: true in the recipe that starts from it.")
    if generator.shape.neighbours > recipe.neighbours:
        raise UserError(
            f"{start}: is given {generator.shape.neighbours} neighbouring slices on each side; set neighbours: "
            f"{generator.shape.neighbours} in the recipe that starts from it."
        )
    if recipe.keep_blocks:
        generator = shortened(generator, recipe.keep_blocks)
    return with_inputs(generator, noise_map=recipe.noise_map, neighbours=recipe.neighbours)


def network_factors(volumes: Sequence[TrainingVolume], recipe: Recipe) -> tuple[int, int]:
    """Return the factors of the network of a training, along rows and columns; errors as `plane_factors`."""
    return plane_factors(volumes) if recipe.ratio_range is None else UNCHANGED


def sampler_for(volumes: list[TrainingVolume], recipe: Recipe, seed: int) -> PatchSampler:
    """Return the source of the batches of a training; errors as those of the samplers."""
    return (PatchSampler if recipe.ratio_range is None else AnyRatioSampler)(volumes, recipe, seed)


def teacher_for(path: Path | None, recipe: Recipe, factors: tuple[int, int]) -> Generator | None:
    """Return the teacher of a training, in evaluation mode; None without a file.

    Raises:
        UserError: the file is not a generator, or has other factors or another number of neighbouring slices.
    """
    if path is None:
        return None
    teacher = load_generator(path)
    if teacher.factors != factors:
        raise UserError(f"{path}: the teacher enlarges by {teacher.factors}, but the data was degraded by {factors}.")
    if teacher.shape.neighbours != recipe.neighbours:
        raise UserError(
            f"{path}: the teacher is given {teacher.shape.neighbours} neighbouring slices on each side; set the same "
            "number in the recipe (neighbours)."
        )
    return teacher.eval().requires_grad_(False)


def plane_factors(volumes: Sequence[TrainingVolume]) -> tuple[int, int]:
    """Return the factors by which the slices of all volumes were degraded, along rows and columns.

    Raises:
        UserError: the factors differ, or only some of the volumes were degraded along all three axes.
    """
    factors = {tuple(volume.model.whole_factors[axis] for axis in volume.plane_axes) for volume in volumes}
    if len(factors) > 1:
        raise UserError(
            f"the training volumes were degraded by different factors {sorted(factors)}. Degrade them alike."
        )
    if len({is_isotropic(volume.model.factors) for volume in volumes}) > 1:
        raise UserError(
            "some training volumes were degraded along all three axes, others were not. Degrade them alike."
        )
    rows, columns = factors.pop()
    return rows, columns


def direction(volumes: Sequence[TrainingVolume]) -> Direction:
    """Return the axes of a volume that a network trained on these volumes enlarges."""
    model = volumes[0].model
    if is_isotropic(model.factors):
        return "isotropic"
    return "in_plane" if model.factors[model.slice_axis] == 1 else "through_plane"


def check_batch(recipe: Recipe, settings: Train, devices: int) -> None:
    """Check that the batch can be divided evenly among devices and accumulation steps.

    Raises:
        UserError: it cannot; the message contains the sizes.
    """
    if recipe.batch_size % (devices * settings.accumulate):
        raise UserError(
            f"batch_size: {recipe.batch_size} patches cannot be divided into {settings.accumulate} part(s) "
            f"(train.accumulate) on {devices} device(s); choose a multiple of {devices * settings.accumulate}."
        )


def discriminator_for(recipe: Recipe, factors: tuple[int, int]) -> torch.nn.Module | None:
    """Return the discriminator of a recipe, with random weights; None if the recipe has none.

    Raises:
        UserError: it does not support patches of this shape.
    """
    if recipe.adversarial is None:
        return None
    if recipe.adversarial.discriminator == "vgg_style" and factors[0] != factors[1]:
        raise UserError("adversarial.discriminator: vgg_style requires square patches; choose unet_sn.")
    build = plugins.load("pipeline.models.discriminators", recipe.adversarial.discriminator).build
    return build(1, recipe.patch_lr * factors[1], recipe.adversarial.features)
