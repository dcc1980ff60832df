"""Train a network by its recipe on the training volumes.

Killed and started again it goes on from its last checkpoint and ends in the same weights (on the CPU). When settings,
data, initial weights or code have changed it starts afresh and says so. Several devices share the work when it is
started through torchrun.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline import plugins
from pipeline.code_version import code_version
from pipeline.config.load import read_entry, read_section
from pipeline.config.recipe import SCRATCH, Recipe
from pipeline.config.sections import Train
from pipeline.config.sources import Source
from pipeline.errors import UserError, about
from pipeline.files import replacing, sha256_of, write_text
from pipeline.formats.io.container import map_array, read_facts, read_image
from pipeline.image.stack import upright
from pipeline.inference import background_margin as margin
from pipeline.inference import domain
from pipeline.inference.volume import AS_LEARNT, restore_excerpt, restore_volume
from pipeline.models.card import trained_card
from pipeline.models.device import device_words, keep_memory, use_threads
from pipeline.models.generator import Generator, Shape, with_noise_map
from pipeline.models.vgg import read_vgg
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.data_consistency import best_share
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to, is_isotropic
from pipeline.physics.parameters import Direction
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.dial import METRICS, between, try_settings
from pipeline.training.fabric import start_engine
from pipeline.training.history import write_history
from pipeline.training.loading import draw_with_one_thread
from pipeline.training.patches import PatchSampler, TrainingVolume
from pipeline.training.perceptual import PerceptualDistance
from pipeline.training.trainer import Look, Parts, Trainer

logger = logging.getLogger(__name__)

VALIDATION_SLICES = 4
"""Evenly spaced slices per validation volume: enough to watch progress by."""
NOISE_LEVELS = 6
"""Noise levels at which the best correction toward the measurement is found; they lie closer where noise is low,
since the share changes fastest there."""
EXCERPT_SIDE = 96
"""Most voxels along the sides of the excerpts that show the progress."""
DARKER = 0.9
"""Share of its intensities that the input keeps when the sentinel asks whether the output follows."""
EVENT_COLUMNS = ("step", "kind", "what", "value")


@dataclass(frozen=True)
class TrainingFiles:
    """What a training reads. References and low-resolution volumes stand in the same order.

    Attributes:
        hr: extracted training volumes.
        lr: their low-resolution volumes.
        val_hr: extracted validation volumes.
        val_lr: their low-resolution volumes.
        start: the generator to start from; None starts from scratch.
        perceptual: features of a VGG; None where the recipe needs none.
    """

    hr: Sequence[Path]
    lr: Sequence[Path]
    val_hr: Sequence[Path]
    val_lr: Sequence[Path]
    start: Path | None = None
    perceptual: Path | None = None

    def checksums(self) -> list[str]:
        """Return the SHA-256 of every file."""
        single = [path for path in (self.start, self.perceptual) if path]
        return [sha256_of(path) for path in (*self.hr, *self.lr, *self.val_hr, *self.val_lr, *single)]


def training_key(files: TrainingFiles, recipe: Recipe, settings: Train, seed: int) -> str:
    """Return a hash of everything that the resulting weights depend on."""
    versions = [code_version("pipeline.steps.train"), torch.__version__]
    parts = [recipe.model_dump(), settings.model_dump(), seed, files.checksums(), *versions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def training_volume(hr: Path, lr: Path) -> TrainingVolume:
    """Open a reference for drawing patches, with the forward model that its low-resolution volume recorded."""
    with about(f"training volume {hr}"):
        facts = read_facts(lr)
        return TrainingVolume(
            data=map_array(hr, "data"),
            mask=map_array(hr, "mask.foreground"),
            slice_axis=facts["slice_axis"],
            slices=tuple(facts["foreground_slices"]),
            model=ForwardModel.from_json(facts["forward_model"]),
        )


def starting_generator(start: Path | None, recipe: Recipe, factors: tuple[int, int]) -> Generator:
    """Return the network that a training starts from, with a noise map where the recipe wants one.

    Raises:
        UserError: the file is no generator, or has other factors, or a noise map that the recipe does not have.
    """
    if start is None:
        return Generator(
            Shape(
                recipe.architecture,
                factors[1],
                recipe.blocks,
                recipe.features,
                noise_map=recipe.noise_map,
                along="both" if factors[0] == factors[1] else "columns",
            )
        )
    generator = load_generator(start)
    if generator.factors != factors:
        raise UserError(f"{start}: enlarges by {generator.factors}, but the data was degraded by {factors}.")
    if generator.shape.noise_map and not recipe.noise_map:
        raise UserError(f"{start}: is told the noise; set noise_map: true in the recipe that starts from it.")
    return with_noise_map(generator) if recipe.noise_map and not generator.shape.noise_map else generator


def plane_factors(volumes: Sequence[TrainingVolume]) -> tuple[int, int]:
    """Return the factors by which the slices of all volumes were degraded, along rows and columns.

    Raises:
        UserError: there are several, or some volumes were degraded across their slices as well.
    """
    factors = {tuple(volume.model.factors[axis] for axis in volume.plane_axes) for volume in volumes}
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
    """Return along which axes of a volume a network that learns from these volumes enlarges."""
    if is_isotropic(volumes[0].model.factors):
        return "isotropic"
    rows, columns = plane_factors(volumes)
    return "in_plane" if rows == columns else "through_plane"


def look_at(network: Generator, excerpts: Sequence[Excerpt]) -> Look:
    """Look at a network's results on validation slices."""
    results = [restore_excerpt(network, one) for one in excerpts]
    measured = [one.mean_over_slices(result, METRICS) for one, result in zip(excerpts, results, strict=True)]
    values = {name: float(np.mean([each[name] for each in measured])) for name in METRICS}
    shown = [_middle(result, one) for one, result in zip(excerpts, results, strict=True)]
    return Look(values, _diversity(network, excerpts[0], results[0]), torch.from_numpy(_stacked(shown)))


def _diversity(network: Generator, one: Excerpt, result: np.ndarray) -> float:
    """How much the first slice of a result, or a whole block, changes when the input grows darker, per its change."""
    count, axis = one.measured_slices, one.slice_axis
    first = np.take(one.measured, range(count), axis)
    before = np.take(result, range(count * one.model.factors[axis]), axis)
    sigma = one.model.noise_sigma
    darker = restore_volume(network, DARKER * first, one.model.factors, axis, AS_LEARNT, sigma)
    change, given = (float(np.sqrt(np.mean(array**2))) for array in (darker - before, (1 - DARKER) * first))
    return change / given if given else 0.0


def _middle(volume: np.ndarray, one: Excerpt) -> np.ndarray:
    """The middle of the middle slice of what lies on the reference's grid, as rows and columns, as it is drawn."""
    axis = one.slice_axis
    image = upright(np.take(crop_to(volume, one.reference.data.shape), volume.shape[axis] // 2, axis))
    starts = [max(0, (size - EXCERPT_SIDE) // 2) for size in image.shape]
    return np.array(image[tuple(slice(start, start + EXCERPT_SIDE) for start in starts)], dtype=np.float32)


def _stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """Stack images of different sizes by their common part."""
    rows, columns = (min(image.shape[axis] for image in images) for axis in (0, 1))
    return np.ascontiguousarray(np.stack([image[:rows, :columns] for image in images]))


def shares(network: Generator, excerpts: Sequence[Excerpt], recipe: Recipe) -> list[list[float]]:
    """Return the best share of the correction toward the measurement at several noise levels, see `best_share`."""
    low, high = recipe.noise_sigma_range or (excerpts[0].model.noise_sigma,) * 2
    found = []
    for sigma in np.unique(low + (high - low) * np.linspace(0, 1, NOISE_LEVELS) ** 2):
        noisy = [one.at_noise(float(sigma)) for one in excerpts]
        best = [best_share(restore_excerpt(network, one, recipe.self_ensemble), one) for one in noisy]
        found.append([float(sigma), float(np.mean(best))])
    return found


def train(
    files: TrainingFiles,
    recipe: Recipe,
    settings: Train,
    source: Source,
    seed: int,
    device: str,
    output: Path,
    work: Path,
) -> None:
    """Train and write generator, model card, history, events, samples and, where there is a dial, its curve.

    Args:
        files: volumes and initial weights.
        recipe: what is trained, and how.
        settings: the section `train`.
        source: the initial weights' entry in the table of sources, for the model card.
        seed: of the run.
        device: auto, cpu or cuda.
        output: folder of the method; its name is the method's.
        work: folder of the checkpoints; it is removed when the training has ended well.

    Raises:
        UserError: another training writes to `work`, a file does not fit, the device cannot be used, or the training
            failed so often that the sentinel stopped it.
    """
    use_threads(settings.threads)
    draw_with_one_thread()
    keep_memory()
    engine = start_engine(device, settings.precision)
    check_batch(recipe, settings, engine.world_size)
    torch.manual_seed(seed)
    checkpoints = CheckpointFolder(work, training_key(files, recipe, settings, seed))
    with checkpoints.lease() if engine.is_global_zero else nullcontext():
        volumes = [training_volume(hr, lr) for hr, lr in zip(files.hr, files.lr, strict=True)]
        factors = plane_factors(volumes)
        start = starting_generator(files.start, recipe, factors)
        excerpts = [_excerpt(hr, lr) for hr, lr in zip(files.val_hr, files.val_lr, strict=True)]
        perceptual = PerceptualDistance(read_vgg(files.perceptual), recipe.perceptual) if files.perceptual else None
        parts = Parts(copy.deepcopy(start), _discriminator(recipe, factors), perceptual)
        sampler = PatchSampler(volumes, recipe, seed)
        trainer = Trainer(
            parts, sampler, recipe, settings, checkpoints, lambda network: look_at(network, excerpts), engine
        )
        network = trainer.run().cpu()
        logger.info("the networks waited for data for %.1f%% of the time", 100 * trainer.waiting_share)
        if engine.is_global_zero:
            network, dial = _dialled(start, network, excerpts, recipe, perceptual)
            facts = {
                "method": output.name,
                "direction": direction(volumes),
                domain.FACT: domain.training_domain([volume.model for volume in volumes], recipe),
                "recipe": recipe.model_dump(mode="json"),
                "shares": shares(network, excerpts, recipe),
                margin.FACT: margin.departures(network, excerpts),
            }
            _write(output, trainer, dial, excerpts)
            learnt = [read_facts(path) for path in (*files.lr, *files.val_lr)]
            about = (recipe, learnt, trainer.history, device_words(engine.device), facts[margin.FACT])
            card = trained_card(output.name, source, network, *about)
            write_text(output / "model_card.md", card)
            save_generator(output / "generator.safetensors", network, facts)
            checkpoints.remove()
    engine.barrier()


def check_batch(recipe: Recipe, settings: Train, devices: int) -> None:
    """Refuse a batch that cannot be cut evenly.

    Raises:
        UserError: naming the sizes.
    """
    if recipe.batch_size % (devices * settings.accumulate):
        raise UserError(
            f"batch_size: {recipe.batch_size} patches cannot be cut into {settings.accumulate} part(s) "
            f"(train.accumulate) on {devices} device(s); choose a multiple of {devices * settings.accumulate}."
        )


def _excerpt(hr: Path, lr: Path) -> Excerpt:
    with about(f"validation volume {hr}"):
        return excerpt(read_image(hr), read_image(lr), VALIDATION_SLICES)


def _discriminator(recipe: Recipe, factors: tuple[int, int]) -> torch.nn.Module | None:
    if recipe.adversarial is None:
        return None
    if recipe.adversarial.discriminator == "vgg_style" and factors[0] != factors[1]:
        raise UserError("adversarial.discriminator: vgg_style looks at square patches alone; choose unet_sn.")
    build = plugins.load("pipeline.models.discriminators", recipe.adversarial.discriminator).build
    return build(1, recipe.patch_lr * factors[1], recipe.adversarial.features)


def _dialled(
    start: Generator,
    end: Generator,
    excerpts: Sequence[Excerpt],
    recipe: Recipe,
    perceptual: PerceptualDistance | None,
) -> tuple[Generator, list[dict[str, Any]]]:
    """The network at the dial's chosen setting, and the whole curve; the trained network where there is no dial."""
    if recipe.dial is None or perceptual is None:
        return end, []
    rows = try_settings(start, end, excerpts, recipe.dial, perceptual.to("cpu"))
    chosen = next(row for row in rows if row["chosen"])
    logger.info("the fidelity dial stands at %.2f: %s", chosen["alpha"], chosen)
    return between(start, end, chosen["alpha"]), rows


def _write(
    output: Path,
    trainer: Trainer,
    dial: Sequence[Mapping[str, Any]],
    excerpts: Sequence[Excerpt],
) -> None:
    """Write what the training has to show."""
    output.mkdir(parents=True, exist_ok=True)
    write_history(output / "history.csv", trainer.history)
    _write_table(output / "events.csv", [asdict(event) for event in trainer.events], EVENT_COLUMNS)
    (output / "dial.csv").unlink(missing_ok=True)
    if dial:
        _write_table(output / "dial.csv", dial, tuple(dial[0]))
    samples: dict[str, Tensor] = {
        "lr": torch.from_numpy(_stacked([_coarse_middle(one) for one in excerpts])),
        "reference": torch.from_numpy(_stacked([_middle(np.asarray(one.reference.data), one) for one in excerpts])),
        **{f"step-{step:06d}": image.contiguous() for step, image in trainer.samples.items()},
    }
    with replacing(output / "samples.safetensors") as partial:
        save_file(samples, partial)


def _coarse_middle(one: Excerpt) -> np.ndarray:
    """The middle of the measured slice, enlarged by repetition so that it shows the same place as the reference's."""
    enlarged = one.measured
    for axis, factor in enumerate(one.model.factors):
        enlarged = np.repeat(enlarged, factor, axis)
    return _middle(enlarged, one)


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    with replacing(path) as partial:
        pd.DataFrame(rows, columns=pd.Index(columns)).to_csv(
            partial, index=False, float_format="%.9g", lineterminator="\n"
        )


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted training volumes", many=True)
    add_path(parser, "--lr", "their low-resolution volumes, in the same order", many=True)
    add_path(parser, "--val-hr", "extracted validation volumes", many=True)
    add_path(parser, "--val-lr", "their low-resolution volumes, in the same order", many=True)
    # Not --start: torchrun, which reads this command line as well, takes that for an abbreviation of its own options.
    add_path(
        parser, "--start-from", "generator (.safetensors); without it, training starts from scratch", required=False
    )
    add_path(parser, "--perceptual", "features of a VGG (.safetensors, from the stage features)", required=False)
    add_path(parser, "--output", "folder of the method")
    add_path(parser, "--checkpoints", "folder of the resume state; removed at the end")
    parser.add_argument("--recipe", required=True, metavar="JSON", help="the recipe, complete")
    parser.add_argument(
        "--source", required=True, metavar="JSON", help="the initial weights' entry in the table of sources"
    )
    parser.add_argument("--seed", type=int, default=0, help="root of all random numbers, unless the recipe has its own")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_settings(parser, Train)


def main(arguments: Namespace) -> None:
    """Run the stage.

    Raises:
        UserError: a file that the recipe needs is not given; or as `train`.
    """
    recipe = read_entry(Recipe, arguments.recipe, "recipe")
    if (arguments.start_from is None) != (recipe.starts_from == SCRATCH):
        raise UserError(
            f"--start-from: the recipe starts from {recipe.starts_from!r}; give the option, or not, accordingly."
        )
    if recipe.needs_perceptual and arguments.perceptual is None:
        raise UserError("--perceptual: the recipe compares features; give the file that the stage features wrote.")
    files = TrainingFiles(
        arguments.hr, arguments.lr, arguments.val_hr, arguments.val_lr, arguments.start_from, arguments.perceptual
    )
    source = read_entry(Source, arguments.source, "source")
    settings = read_section(Train, arguments.settings)
    seed = arguments.seed if recipe.seed is None else recipe.seed
    train(files, recipe, settings, source, seed, arguments.device, arguments.output, arguments.checkpoints)
