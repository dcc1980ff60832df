"""Restore a volume with a network and write it like the volume's own file.

With --spread, the standard deviation over the eight flips and transposes is written as well, in one pass: where a
network disagrees with itself (pipeline/inference/tta.py). It is that of the network's own results, before they
are corrected toward the measurement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.config.load import read_section
from pipeline.config.sections import Infer
from pipeline.formats.io.container import read_image, write_image
from pipeline.formats.io.predictions import restored_image, write_prediction
from pipeline.inference.memory import use_memory
from pipeline.inference.restoration import check_restored, network_on, restore_measured
from pipeline.models.device import choose_device, use_threads
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_memory, add_path, add_settings

logger = logging.getLogger(__name__)


def infer(
    generator: Path,
    lr: Path,
    settings: Infer,
    device: str,
    output: Path,
    spread: Path | None = None,
    others: Sequence[Path] = (),
) -> Callable[[], None]:
    """Restore the low-resolution volume `lr` with `generator`; return what writes the prediction.

    Args:
        generator: its weights.
        lr: the low-resolution volume.
        settings: the section `infer`.
        device: auto, cpu or cuda.
        output: the prediction.
        spread: where the standard deviation over the views goes, in normalised intensities; None for nowhere.
        others: weights of further networks, whose disagreement counts in the spread.

    Raises:
        UserError: a file cannot be read, the device cannot be used, or the result of the delivered method disagrees
            with the measurement; those of other methods are warned of, and measured.
    """
    use_threads(settings.threads)
    chosen = choose_device(device)
    networks = [network_on(path, chosen) for path in (generator, *others)]
    image = read_image(lr, LowResolutionImage)
    found = restore_measured(networks, image, settings, with_tta_std=spread is not None)
    check_restored(networks[0], image, found, force=settings.force or output.parent.name != settings.deliver)

    def write() -> None:
        if spread is not None and found.tta_std is not None:
            write_image(spread, restored_image(image, found.tta_std))
        saturated = write_prediction(output, image, found.restored)
        logger.info("%s: restored, %d voxels clipped", image.id, saturated)

    return write


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--model", "generator.safetensors of the method")
    add_path(parser, "--lr", "low-resolution volume (.safetensors)", each_volume=True)
    add_path(parser, "--output", "prediction; its suffix is that of the volume's format", each_volume=True)
    text = "where the disagreement over views is written (.safetensors)"
    parser.each_volume(parser.add_argument("--spread", type=Path, nargs="*", default=[], metavar="PATH", help=text))
    text = "generator.safetensors of further networks, whose disagreement counts in the spread"
    parser.add_argument("--others", type=Path, nargs="*", default=[], metavar="PATH", help=text)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_memory(parser)
    add_settings(parser, Infer)


def main(arguments: Namespace) -> Callable[[], None]:
    """Run the stage but for its writing, which what it returns does."""
    settings = read_section(Infer, arguments.settings)
    use_memory(arguments.memory_mb)
    spread, others = arguments.spread or None, arguments.others
    return infer(arguments.model, arguments.lr, settings, arguments.device, arguments.output, spread, others)
