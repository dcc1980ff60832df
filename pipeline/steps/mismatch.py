"""What a network makes of images that were degraded otherwise than its training data: a table and a picture.

Networks that were each trained with one degradation restore images of all of them. On the diagonal training and test
agree; beside it stands the honest answer to the question whether a network will work on another scanner. Slices of the
test volumes are measured over their foreground, and compared with the best baseline on the same slices, the
best being chosen on these slices themselves, which favours it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    for tested, one in tqdm(pairs, unit="excerpt", disable=None):
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted test volumes (.safetensors)."""
    lr: list[Path]
    """Low-resolution volumes: all of the first degradation, then all of the next."""
    models: list[Path]
    """generator.safetensors of the networks, in the order of the names."""
    names: list[str]
    """Names of the degradations."""
    output: Path
    """One row a network, degradation, volume and metric (.csv)."""
    figure: Path
    """Figure of the matrix (.png)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that computes."""
    threads: int = 2
    """Threads that compute."""


def run(options: Options) -> None:
    """Write the table and the figure.

    Raises:
        UserError: the numbers of files and names do not match, a file cannot be read, or the device cannot be used.
    """
    names, references = options.names, [read_image(path) for path in options.hr]
    if len(options.models) != len(names) or len(options.lr) != len(names) * len(references):
        raise UserError(
            f"{len(names)} names need as many --models, not {len(options.models)}, and {len(names) * len(references)} "
            f"--lr for {len(references)} --hr, not {len(options.lr)}."
        )
    use_threads(options.threads)
    device = choose_device(options.device)
    networks = {name: load_generator(path).to(device).eval() for name, path in zip(names, options.models, strict=True)}
    table = measure(networks, _excerpts(names, references, options.lr))
    MISMATCH.write(options.output, table)
    with replacing(options.figure) as partial:
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
