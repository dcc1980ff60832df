"""Networks applied to images degraded differently from their training data.

Every network was trained with one degradation and restores images of all of them. On the diagonal of the matrix,
training and test agree; off the diagonal, it shows what to expect on another scanner. Metrics are computed over the
foreground of slices of the test volumes, and compared with the best baseline on the same slices. That baseline is
chosen on these very slices, which favours it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from tqdm import tqdm

from pipeline import plugins
from pipeline.baselines.tuning.apply import BASELINES, default_settings
from pipeline.inference.volume import restore_excerpt
from pipeline.models.generator import Generator
from pipeline.physics.excerpts import Excerpt
from pipeline.tables.mismatch import MISMATCH
from pipeline.training.dial import METRICS

BEST_BASELINE = "best baseline"
"""Name of the best baseline among the networks, in the column trained_on."""


def measure(networks: Mapping[str, Generator], tests: Mapping[str, Sequence[Excerpt]]) -> pd.DataFrame:
    """Measure every network on the excerpts of every degradation.

    Args:
        networks: by the degradation that they were trained with.
        tests: excerpts of the same volumes, by degradation.

    Returns:
        One row per network (or best baseline), degradation, volume and metric; see `MismatchValue`.
    """
    rows = []
    pairs = [(tested, one) for tested, excerpts in tests.items() for one in excerpts]
    for tested, one in tqdm(pairs, unit="excerpt", disable=None):
        found = {name: one.mean_over_slices(restore_excerpt(net, one), METRICS) for name, net in networks.items()}
        for name, values in {BEST_BASELINE: _best_baseline(one), **found}.items():
            rows.extend((name, tested, one.reference.id, metric, value) for metric, value in values.items())
    return pd.DataFrame(rows, columns=pd.Index(MISMATCH.columns))


def _best_baseline(one: Excerpt) -> dict[str, float]:
    """Return the best value of each metric among the untuned baselines."""
    results = []
    for name in plugins.names(BASELINES):
        settings = default_settings(name, one.model.noise_sigma)
        estimate = plugins.load(BASELINES, name).upsample(one.lr, one.model, settings)
        results.append(one.mean_over_slices(estimate, METRICS))
    return {metric: max(values[metric] for values in results) for metric in METRICS}
