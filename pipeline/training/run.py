"""Training of one method, from its input files to the network, model card, history, events and samples."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.config.recipe import Recipe
from pipeline.config.sections import Train
from pipeline.config.sources import Source
from pipeline.config.terms import Terms
from pipeline.files import replacing, write_text
from pipeline.formats.io.container import map_image
from pipeline.models.card import trained_card
from pipeline.models.device import device_name, keep_freed_memory, use_threads
from pipeline.models.generator import Generator
from pipeline.models.vgg import read_vgg
from pipeline.models.weights import save_generator
from pipeline.physics.excerpts import Excerpt
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.tables.dial import DIAL, DialSetting
from pipeline.tables.history import write_history
from pipeline.tables.training_events import EVENTS
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.dial import evaluate_settings, interpolate_weights
from pipeline.training.fabric import start_engine
from pipeline.training.loading import limit_blas_threads
from pipeline.training.perceptual import PerceptualDistance
from pipeline.training.record import record_of
from pipeline.training.setup import (
    TrainingFiles,
    check_batch,
    discriminator_for,
    network_factors,
    sampler_for,
    starting_generator,
    teacher_for,
    training_key,
    training_volume,
)
from pipeline.training.trainer import Networks, Trainer
from pipeline.training.validation import (
    middle_of,
    middle_of_input,
    stack_common_part,
    validate,
    validation_excerpts,
)

logger = logging.getLogger(__name__)


def train(
    files: TrainingFiles,
    recipe: Recipe,
    settings: Train,
    source: Source,
    seed: int,
    device: str,
    output: Path,
    work: Path,
    code: str,
    terms: Sequence[Terms] = (),
) -> None:
    """Train, and write the generator, model card, history, events, samples and the curve of the fidelity dial, if any.

    Args:
        files: volumes, initial weights and teacher.
        recipe: networks, losses and schedules.
        settings: the section `train`.
        source: the initial weights' entry in the table of sources, for the model card.
        seed: of the run.
        device: auto, cpu or cuda.
        output: folder of the method, with the name of the method.
        work: folder of the checkpoints; it is removed when the training is complete.
        code: version of the package; checkpoints of another version are not resumed.
        terms: licences and citations of the volumes, for the model card.

    Raises:
        UserError: another training writes to `work`, a file does not fit, the device is not available, or the sentinel
            stopped the training.
    """
    use_threads(settings.threads)
    limit_blas_threads()
    keep_freed_memory()
    engine = start_engine(device, settings.precision)
    check_batch(recipe, settings, engine.world_size)
    torch.manual_seed(seed)
    checkpoints = CheckpointFolder(work, training_key(files, recipe, settings, seed, code))
    with checkpoints.lease() if engine.is_global_zero else nullcontext():
        volumes = [training_volume(hr, lr) for hr, lr in zip(files.hr, files.lr, strict=True)]
        factors = network_factors(volumes, recipe)
        start = starting_generator(files.start, recipe, factors)
        pairs = zip(files.val_hr, files.val_lr, strict=True)
        excerpts = [one for pair in pairs for one in validation_excerpts(*pair, recipe)]
        perceptual = PerceptualDistance(read_vgg(files.perceptual), recipe.perceptual) if files.perceptual else None
        teacher = teacher_for(files.teacher, recipe, factors)
        parts = Networks(copy.deepcopy(start), discriminator_for(recipe, factors), perceptual, teacher)
        sampler = sampler_for(volumes, recipe, seed)
        trainer = Trainer(
            parts, sampler, recipe, settings, checkpoints, lambda network: validate(network, excerpts), engine
        )
        network = trainer.run().cpu()
        logger.info("%.1f %% of the time was spent waiting for data", 100 * trainer.waiting_share)
        if engine.is_global_zero:
            network, dial = _interpolate(start, network, excerpts, recipe, perceptual)
            network.record = record_of(network, output.name, volumes, excerpts, recipe)
            _write(output, trainer, dial, excerpts)
            volumes = [map_image(path, LowResolutionImage) for path in (*files.lr, *files.val_lr)]
            where = device_name(engine.device)
            card = trained_card(source, network, recipe, volumes, trainer.history, where, terms, start.record)
            write_text(output / "model_card.md", card)
            save_generator(output / "generator.safetensors", network)
            checkpoints.remove()
    engine.barrier()


def _interpolate(
    start: Generator,
    end: Generator,
    excerpts: Sequence[Excerpt],
    recipe: Recipe,
    perceptual: PerceptualDistance | None,
) -> tuple[Generator, list[DialSetting]]:
    """Return the network at the chosen setting of the fidelity dial, and all settings; the trained one without dial."""
    if recipe.dial is None or perceptual is None:
        return end, []
    rows = evaluate_settings(start, end, excerpts, recipe.dial, perceptual.to("cpu"))
    chosen = next(row for row in rows if row.chosen)
    logger.info("fidelity dial: interpolation factor %.2f: %s", chosen.alpha, chosen)
    return interpolate_weights(start, end, chosen.alpha), rows


def _write(
    output: Path,
    trainer: Trainer,
    dial: Sequence[DialSetting],
    excerpts: Sequence[Excerpt],
) -> None:
    """Write history, events, samples and, if there is a dial, its curve."""
    output.mkdir(parents=True, exist_ok=True)
    write_history(output / "history.csv", trainer.history)
    EVENTS.write(output / "events.csv", trainer.events)
    (output / "dial.csv").unlink(missing_ok=True)
    if dial:
        DIAL.write(output / "dial.csv", dial)
    references = [middle_of(np.asarray(one.reference.data), one) for one in excerpts]
    samples: dict[str, Tensor] = {
        "lr": torch.from_numpy(stack_common_part([middle_of_input(one) for one in excerpts])),
        "reference": torch.from_numpy(stack_common_part(references)),
        **{f"step-{step:06d}": image.contiguous() for step, image in trainer.samples.items()},
    }
    with replacing(output / "samples.safetensors") as partial:
        save_file(samples, partial)
