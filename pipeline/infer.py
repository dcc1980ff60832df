"""Restores a volume with a network and writes it like the volume's own file."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.cli import ArgumentParser, Namespace, add_path, add_settings
from pipeline.config.load import read_section
from pipeline.config.stages import Infer
from pipeline.image.container import read_image
from pipeline.image.predictions import write_prediction
from pipeline.inference.consistency import toward_measurement
from pipeline.inference.volume import restore_volume
from pipeline.models.device import choose_device, use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.forward import ForwardModel

logger = logging.getLogger(__name__)


def infer(method: str, generator: Path, lr: Path, settings: Infer, device: str, output: Path) -> None:
    """Restores the low-resolution volume `lr` with `generator` and writes the prediction.

    Args:
        method: name of the network in the tables; its share of infer.consistency corrects the result.
        generator: its weights.
        lr: the low-resolution volume.
        settings: the section `infer`.
        device: auto, cpu or cuda.
        output: the prediction.

    Raises:
        UserError: a file cannot be read, or the device cannot be used.
    """
    use_threads(settings.threads)
    network, _ = load_generator(generator)
    network = network.to(choose_device(device)).eval()
    image = read_image(lr)
    restored = restore_volume(network, image.data, image.facts["slice_axis"], settings)
    model = ForwardModel.from_json(image.facts["forward_model"])
    corrected = toward_measurement(restored, image.data, model, settings.consistency.get(method, 0.0))
    saturated = write_prediction(output, image, corrected)
    logger.info("%s: %s -> %s, %d voxels clipped", image.facts["id"], image.data.shape, restored.shape, saturated)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options of this stage."""
    parser.add_argument("--method", required=True, help="name of the network in the tables, such as rrdb_l1")
    add_path(parser, "--model", "generator.safetensors of the method")
    add_path(parser, "--lr", "low-resolution volume (.safetensors)")
    add_path(parser, "--output", "prediction (.nii.gz)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_settings(parser, Infer)


def main(arguments: Namespace) -> None:
    """Runs the stage."""
    settings = read_section(Infer, arguments.settings)
    infer(arguments.method, arguments.model, arguments.lr, settings, arguments.device, arguments.output)
