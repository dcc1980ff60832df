"""Performance of the networks of a run on other heads and scanners.

    python -m benchmarks.other_heads --run results/demo --volumes one.nii.gz other.nii.gz --slices 40 130

Each volume is extracted, degraded by k-space truncation with several noise levels, and restored by all baselines and
all networks of the run. Denoising and interpolation are tuned on a validation volume of the run for each noise level.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.training import NOISE, best_baseline, difference, restore_by_baselines
from pipeline.config.sections import Degrade, Extract, Infer
from pipeline.formats import format_of
from pipeline.formats.io.container import map_image
from pipeline.image.image import Identity, Image
from pipeline.image.normalisation import normalise
from pipeline.image.slices import cut_block
from pipeline.inference.restoration import restore
from pipeline.metrics import psnr, ssim
from pipeline.models.device import use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.grid import crop_to

METRICS = {"psnr": psnr.per_slice, "ssim": ssim.per_slice}
EVERY = 3
"""Only every third slice is restored, since adjacent slices are similar."""


def read_head(path: Path, slices: tuple[int, int], plane: str) -> Image:
    """Read and normalise a block of a volume, and keep every third slice."""
    image = format_of(path).read(path)
    block = normalise(cut_block(image, slices, 2), Extract.model_validate({"plane": plane}))
    name = path.name.split(".")[0]
    kept = slice(None, None, EVERY)
    data, mask = (np.ascontiguousarray(array[..., kept]) for array in (block.data, block.masks["foreground"]))
    filled = [index for index in range(data.shape[2]) if mask[..., index].any()]
    identity = Identity(name, name, "test")
    block = block.with_data(data, masks={"foreground": mask}, identity=identity)
    return block.with_block(foreground_slices=tuple(filled))


def measured(reference: Image, estimate: np.ndarray, method: str) -> list[dict[str, object]]:
    """Evaluate every slice over its foreground."""
    found = crop_to(estimate, reference.data.shape)
    rows = []
    for index in reference.block.foreground_slices:
        one = (reference.data[..., index], found[..., index], reference.masks["foreground"][..., index])
        rows.append({"method": method, "picture": index, **{name: do(*one, 1.0) for name, do in METRICS.items()}})
    return rows


def main() -> None:
    """Print a table for each volume and noise level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--volumes", type=Path, nargs="+", required=True)
    parser.add_argument("--slices", type=int, nargs=2, default=(40, 130))
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    use_threads(2)
    val = next(path for path in sorted((options.run / "extracted").glob("*.safetensors")) if split_of(path) == "val")
    for path in options.volumes:
        head = read_head(path, tuple(options.slices), "axial")
        for sigma in NOISE:
            lr = degrade(head, forward_model(head, Degrade(noise_sigma=sigma), 2026))
            results = restore_by_baselines(lr, val, sigma)
            for folder in sorted((options.run / "models").iterdir()):
                results[folder.name] = restore(load_generator(folder / "generator.safetensors").eval(), lr, Infer())
            table = pd.DataFrame([row for name, one in results.items() for row in measured(head, one, name)])
            means = table.groupby("method")[list(METRICS)].mean()
            best = {name: best_baseline(means, name) for name in METRICS}
            words = [f"\n## {head.id}, {100 * sigma:.0f} % noise, {len(head.block.foreground_slices)} slices\n"]
            words += [means.round(3).to_string(), "", "against the best baseline, paired over slices:"]
            networks = [name for name in ("rrdb_l1", "brainsr") if name in means.index]
            words += [
                f"{name} {metric}: {difference(table, metric, name, best[metric])} ({best[metric]})"
                for name in networks
                for metric in METRICS
            ]
            sys.stdout.write("\n".join([*words, ""]))
            sys.stdout.flush()


def split_of(path: Path) -> str:
    """Return the split of an extracted volume."""
    return map_image(path).identity.split


if __name__ == "__main__":
    main()
