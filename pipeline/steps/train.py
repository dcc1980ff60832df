"""Train a network by its recipe on the training volumes.

Killed and started again it goes on from its last checkpoint and ends in the same weights (on the CPU). When settings,
data, initial weights or code have changed it starts afresh and says so. Several devices share the work when it is
started through torchrun.
"""

from __future__ import annotations

from pipeline.code_version import code_version
from pipeline.config.load import read_entry, read_section
from pipeline.config.recipe import SCRATCH, Recipe
from pipeline.config.sections import Train
from pipeline.config.sources import Source
from pipeline.errors import UserError
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.training.run import train
from pipeline.training.setup import TrainingFiles


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
    code = code_version("pipeline.steps.train")
    train(files, recipe, settings, source, seed, arguments.device, arguments.output, arguments.checkpoints, code)
