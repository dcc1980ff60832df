"""What a network makes of images that were degraded otherwise than its training data: a table and a picture.

Networks that were each trained with one degradation restore images of all of them. On the diagonal training and test
agree; beside it stands the honest answer to the question whether a network will work on another scanner. Slices of the
test volumes are measured over their foreground, and compared with the best baseline on the same slices, the
best being chosen on these slices themselves, which favours it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.formats.io.container import read_image
from pipeline.inference.volume import restore_excerpt
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.excerpts import Excerpt, excerpt
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, show_progress
from pipeline.tables.mismatch import MISMATCH
from pipeline.training.dial import METRICS

logger = logging.getLogger(__name__)

CLASSICAL = "best baseline"
MAX_SLICES = 6
"""Evenly spaced slices a volume."""
NEUTRAL_DB = 0.1
"""Differences below this have no colour of their own."""


def measure(networks: Mapping[str, Generator], tests: Mapping[str, Sequence[Excerpt]]) -> pd.DataFrame:
    """Measure every network on the excerpts of every degradation.

    Args:
        networks: by the degradation that they were trained with.
        tests: excerpts of the same volumes, by degradation.

    Returns:
        One row a network (or best baseline), degradation, volume and metric; see `MismatchValue`.
    """
    rows = []
    pairs = [(tested, one) for tested, excerpts in tests.items() for one in excerpts]
    for tested, one in tqdm(pairs, unit="excerpt", disable=not show_progress()):
        found = {name: one.mean_over_slices(restore_excerpt(net, one), METRICS) for name, net in networks.items()}
        for name, values in {CLASSICAL: _best_classical(one), **found}.items():
            rows.extend((name, tested, one.reference.id, metric, value) for metric, value in values.items())
    return pd.DataFrame(rows, columns=pd.Index(MISMATCH.columns))


def _best_classical(one: Excerpt) -> dict[str, float]:
    """The best value of each metric among the baselines, without any tuning."""
    results = []
    for name in plugins.names("pipeline.baselines"):
        estimate = plugins.load("pipeline.baselines", name).upsample(one.measured, one.model.factors, _untuned(one))
        results.append(one.mean_over_slices(estimate, METRICS))
    return {metric: max(values[metric] for values in results) for metric in METRICS}


def _untuned(one: Excerpt) -> dict[str, Any]:
    """Settings of denoise-then-interpolate by rule of thumb: a strength of one standard deviation of the noise."""
    return {"sigma": one.model.noise_sigma, "h_in_sigma": 1.0, "patch_size": 3, "patch_distance": 3}


def draw(table: pd.DataFrame) -> Any:
    """Return a matplotlib figure: PSNR of every network on every degradation, against the best baseline."""
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    chosen: Any = table[table["metric"] == "psnr"]
    means = chosen.pivot_table(index="trained_on", columns="tested_on", values="value")
    names = list(dict.fromkeys(table["tested_on"]))
    trained = [name for name in dict.fromkeys(table["trained_on"]) if name != CLASSICAL]
    gains = (means.loc[trained, names] - means.loc[CLASSICAL, names]).to_numpy(dtype=float)
    most = max(float(np.abs(gains).max()), NEUTRAL_DB)
    figure = Figure(figsize=(2.6 + 1.1 * len(names), 1.9 + 0.62 * len(trained)), layout="constrained")
    axes: Any = figure.subplots()
    shown = axes.imshow(gains, cmap="RdBu", norm=TwoSlopeNorm(0.0, -most, most), aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(trained)), trained)
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    axes.set_title("PSNR against the best baseline, in dB", fontsize=10)
    for row, column in np.ndindex(gains.shape):
        strong = abs(gains[row, column]) > 0.6 * most
        text = f"{gains[row, column]:+.2f}"
        weight = "bold" if trained[row] == names[column] else "normal"
        axes.text(column, row, text, ha="center", va="center", color="white" if strong else "black", weight=weight)
    figure.colorbar(shown, ax=axes, label="dB")
    return figure


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted test volumes (.safetensors)", many=True)
    add_path(parser, "--lr", "their low-resolution volumes: all of the first degradation, then the next", many=True)
    add_path(parser, "--models", "generator.safetensors of the networks, in the order of the names", many=True)
    parser.add_argument("--names", nargs="+", required=True, metavar="NAME", help="names of the degradations")
    add_path(parser, "--output", "one row a network, degradation, volume and metric (.csv)")
    add_path(parser, "--figure", "picture of the matrix (.png)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    parser.add_argument("--threads", type=int, default=2, help="of the computation (default: %(default)s)")


def main(arguments: Namespace) -> None:
    """Run the stage.

    Raises:
        UserError: the numbers of files and names do not fit, a file cannot be read, or the device cannot be used.
    """
    names, references = arguments.names, [read_image(path) for path in arguments.hr]
    if len(arguments.models) != len(names) or len(arguments.lr) != len(names) * len(references):
        raise UserError(
            f"{len(names)} names need as many --models, not {len(arguments.models)}, and "
            f"{len(names) * len(references)} "
            f"--lr for {len(references)} --hr, not {len(arguments.lr)}."
        )
    use_threads(arguments.threads)
    device = choose_device(arguments.device)
    networks = {
        name: load_generator(path).to(device).eval() for name, path in zip(names, arguments.models, strict=True)
    }
    table = measure(networks, _excerpts(names, references, arguments.lr))
    MISMATCH.write(arguments.output, table)
    with replacing(arguments.figure) as partial:
        draw(table).savefig(partial, format="png", dpi=120, metadata={"Software": None})
    logger.info("%d networks on %d degradations of %d volumes", len(networks), len(names), len(references))


def _excerpts(names: Sequence[str], references: Sequence[Any], lr: Sequence[Path]) -> dict[str, list[Excerpt]]:
    count = len(references)
    return {
        name: [
            excerpt(reference, read_image(path, LowResolutionImage), MAX_SLICES)
            for reference, path in zip(references, lr[place * count : (place + 1) * count], strict=True)
        ]
        for place, name in enumerate(names)
    }
