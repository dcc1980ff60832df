"""Train a network by its recipe on the training volumes.

An interrupted training resumes from its last checkpoint and gives identical weights (on the CPU). If settings, data,
initial weights or code have changed, it starts from scratch and logs this. With torchrun, it is distributed over
several devices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pipeline.code_version import code_version
from pipeline.config.recipe import SCRATCH, Recipe
from pipeline.config.sections import Train
from pipeline.config.sources import Source
from pipeline.config.terms import Terms
from pipeline.errors import UserError
from pipeline.steps._framework import entry, section
from pipeline.training.run import train
from pipeline.training.setup import TrainingFiles


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted training volumes."""
    lr: list[Path]
    """Low-resolution images of the training volumes, in the same order."""
    val_hr: list[Path]
    """Extracted validation volumes."""
    val_lr: list[Path]
    """Low-resolution images of the validation volumes, in the same order."""
    # Not --start: torchrun, which parses this command line as well, takes it for an abbreviation of one of its options.
    start_from: Path | None = None
    """Generator to start from (.safetensors); without it, training starts from scratch."""
    teacher: Path | None = None
    """Generator whose results are compared with by the loss term `distillation` (.safetensors)."""
    perceptual: Path | None = None
    """Feature network for the perceptual loss (.safetensors, from the step convert_vgg)."""
    output: Path
    """Folder of the method."""
    checkpoints: Path
    """Folder of the checkpoints; removed at the end of training."""
    recipe: Annotated[Recipe, entry(Recipe, "recipe")]
    """The complete recipe."""
    source: Annotated[Source, entry(Source, "source")]
    """Entry of the initial weights in the table of sources."""
    terms: Annotated[tuple[Terms, ...], entry(tuple[Terms, ...], "terms")] = ()
    """Licences and citations of the training and validation volumes, for the model card."""
    seed: int = 0
    """Seed of all random numbers, unless the recipe has its own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Compute device."""
    settings: Annotated[Train, section(Train)] = field(default_factory=Train)
    """Section `train` of the configuration."""


def run(options: Options) -> None:
    """Train the network.

    Raises:
        UserError: a file that the recipe requires is not given; or as `train`.
    """
    recipe = options.recipe
    if (options.start_from is None) != (recipe.starts_from == SCRATCH):
        raise UserError(
            f"--start-from: the recipe starts from {recipe.starts_from!r}; give the initial network unless it starts "
            "from scratch."
        )
    if recipe.needs_perceptual and options.perceptual is None:
        raise UserError("--perceptual: the recipe has a perceptual loss; give the output of the step convert_vgg.")
    if (options.teacher is None) != (recipe.teacher is None):
        raise UserError(f"--teacher: the recipe has the teacher {recipe.teacher!r}; give its network, if it has one.")
    files = TrainingFiles(
        options.hr,
        options.lr,
        options.val_hr,
        options.val_lr,
        options.start_from,
        options.perceptual,
        options.teacher,
    )
    seed = options.seed if recipe.seed is None else recipe.seed
    code = code_version("pipeline.steps.train")
    train(
        files,
        recipe,
        options.settings,
        options.source,
        seed,
        options.device,
        options.output,
        options.checkpoints,
        code,
        options.terms,
    )
