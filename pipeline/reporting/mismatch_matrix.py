"""The mismatch matrix as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.fidelity.mismatch import BEST_BASELINE

NEUTRAL_DB = 0.1
"""Smallest end of the colour scale."""


def draw(table: pd.DataFrame) -> Any:
    """Return a matplotlib figure: PSNR of every network on every degradation, against the best baseline."""
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    chosen: Any = table[table["metric"] == "psnr"]
    means = chosen.pivot_table(index="trained_on", columns="tested_on", values="value")
    names = list(dict.fromkeys(table["tested_on"]))
    trained = [name for name in dict.fromkeys(table["trained_on"]) if name != BEST_BASELINE]
    gains = (means.loc[trained, names] - means.loc[BEST_BASELINE, names]).to_numpy(dtype=float)
    limit = max(float(np.abs(gains).max()), NEUTRAL_DB)
    figure = Figure(figsize=(2.6 + 1.1 * len(names), 1.9 + 0.62 * len(trained)), layout="constrained")
    axes: Any = figure.subplots()
    shown = axes.imshow(gains, cmap="RdBu", norm=TwoSlopeNorm(0.0, -limit, limit), aspect="auto")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(trained)), trained)
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    axes.set_title("PSNR against the best baseline, in dB", fontsize=10)
    for row, column in np.ndindex(gains.shape):
        strong = abs(gains[row, column]) > 0.6 * limit
        text = f"{gains[row, column]:+.2f}"
        weight = "bold" if trained[row] == names[column] else "normal"
        axes.text(column, row, text, ha="center", va="center", color="white" if strong else "black", weight=weight)
    figure.colorbar(shown, ax=axes, label="dB")
    return figure
