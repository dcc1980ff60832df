"""Detection of inserted structures by the methods of a run, over several draws, and what limits it.

    python -m benchmarks.inserted_structures --run results/demo --volumes mni152 s1-block --draws 4

Prints for every volume and method:

- the detection rate of the observer of the study, with its interval, and the difference of the delivered method to
  every other method, corrected for false alarms (as detection_rates.csv of a run, with more draws);
- the contrast of a structure after restoration, as seen by the template of the observer, and the standard deviation of
  its response without structures, both relative to the inserted contrast;
- the detection rate of a second observer at the same false-alarm rate: a channelised Hotelling observer (Barrett and
  Myers, Foundations of Image Science, section 14.3, Wiley 2004), trained for every method separately. It tolerates
  structures that appear wider or weaker, as long as they differ from the background of the same method.

Two variants of the delivered network are included: without data consistency, and with a given noise level of 0.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from pipeline import plugins
from pipeline.baselines.tuning.apply import read_tuning
from pipeline.config.sections import Evaluate, Infer, Insertion
from pipeline.fidelity.insertion import observer
from pipeline.fidelity.insertion.methods import Restore, baseline_methods, network_methods
from pipeline.fidelity.insertion.sites import DIRECTIONS, KINDS, Condition, Sites
from pipeline.fidelity.insertion.structure import Structure
from pipeline.fidelity.insertion.study import (
    Responses,
    RestoredPair,
    count_detections,
    list_places,
    observe,
    restore_pairs,
)
from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from pipeline.inference.restoration import restore
from pipeline.models.device import use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.excerpts import excerpt
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.statistics.detection import rate_table
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS

SEED = 2026
BASELINES = ("bicubic", "bspline3", "zerofill", "nlm_bspline3", "least_squares", "total_variation")
BLURS = (0.0, 1.0, 2.0, 4.0)
"""Widths of the channels in voxels: Gaussian blurs of the template of the structure."""
RIDGE = 1e-6
"""Ridge of the channel covariance, as a fraction of its mean variance."""


def variants(folder: Path, settings: Infer, deliver: str) -> dict[str, Restore]:
    """Return the delivered network without data consistency, and with a noise level of zero."""
    network = load_generator(folder / deliver / "generator.safetensors").eval()
    changes = {"no data consistency": {"data_consistency": False}, "noise level 0": {"noise_sigma": 0.0}}
    return {
        f"{deliver}, {name}": partial(restore, network, settings=settings.model_copy(update=one))
        for name, one in changes.items()
    }


def channels(structure: Structure) -> NDArray[np.float64]:
    """Return the weights of each channel, shape (channels, rows, columns): blurs of the template, without planes."""
    found = []
    for blur in BLURS:
        template = ndimage.gaussian_filter(structure.template, blur, mode="constant") if blur else structure.template
        found.append(observer.weights(Structure(structure.signal, structure.carrier, template)))
    return np.array(found)


@cache
def bank_of(condition: Condition, margin: int) -> NDArray[np.float64]:
    """Return the channels in every direction, shape (directions, channels, rows, columns)."""
    build = plugins.load(KINDS, condition.kind).structure
    return np.stack([channels(build(condition.size_voxels, one, condition.radius(margin))) for one in DIRECTIONS])


def answers(images: NDArray[np.floating], sites: Sites, bank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the response of each channel at each site, shape (sites, channels)."""
    side = bank.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    slices, rows, columns = sites.places.T
    seen = windows[slices, rows - side // 2, columns - side // 2].reshape(len(slices), 1, -1)
    weights = bank.reshape(*bank.shape[:2], -1)[sites.directions]
    return np.matmul(weights, seen.transpose(0, 2, 1))[..., 0]


def adapted(shown: list[RestoredPair], settings: Insertion, condition: Condition) -> Responses:
    """Apply the second observer to the draws of one method and contrast, with weights from the other draws."""
    bank = bank_of(condition, math.ceil(max(shown[0].base.model.factors)))
    looks = [one.plan.sites[condition] for one in shown]
    present, absent, plain = (
        [answers(image(one), site(look), bank) for one, look in zip(shown, looks, strict=True)]
        for image, site in (
            (lambda one: one.present, lambda look: look.inserted),
            (lambda one: one.absent, lambda look: look.inserted),
            (lambda one: one.absent, lambda look: look.background),
        )
    )
    found: list[tuple[NDArray, NDArray, NDArray, float]] = []
    for draw in range(len(shown)):
        others = [index for index in range(len(shown)) if index != draw] or [draw]
        signal = np.concatenate([present[index] - absent[index] for index in others]).mean(axis=0)
        covariance = np.cov(np.concatenate([plain[index] for index in others]).T)
        ridge = RIDGE * np.trace(covariance) / len(BLURS) * np.eye(len(BLURS))
        weights = np.linalg.solve(covariance + ridge, signal)
        limit = observer.threshold(plain[draw] @ weights, settings.false_alarm_rate)
        found.append((*(part[draw] @ weights for part in (present, absent, plain)), limit))
    first = shown[0]
    seen, unseen, empty = (np.concatenate([one[part] - one[3] for one in found]) for part in range(3))
    slices = np.concatenate([look.inserted.places[:, 0] for look in looks])
    return Responses(0, first.method, condition, first.contrast, slices, seen, unseen, empty, 0.0, 0.0)


def observe_twice(shown: list[RestoredPair], settings: Insertion) -> Iterator[tuple[str, Responses]]:
    """Yield the responses of both observers to the draws of one method and contrast, with the observer's name."""
    for one in shown:
        yield from (("study", seen) for seen in observe(one, settings))
    for condition in shown[0].plan.sites:
        yield "adapted", adapted(shown, settings, condition)


def transfers(seen: list[Responses], contrast: float) -> pd.DataFrame:
    """Return contrast recovery and standard deviation of the response without structures, by method and kind."""
    rows = [
        {
            "method": one.method,
            "kind": one.condition.kind,
            "contrast recovery": float(np.mean(one.present - one.absent)) / contrast,
            "standard deviation": float(np.std(one.background)) / contrast,
        }
        for one in seen
        if one.contrast == contrast
    ]
    means: Any = pd.DataFrame(rows).groupby(["method", "kind"]).mean()
    return means.unstack()


def print_table(title: str, table: pd.DataFrame) -> None:
    """Print a table under a heading."""
    sys.stdout.write(f"\n## {title}\n\n{table.to_string()}\n")
    sys.stdout.flush()


def rates_of(reference: Image, seen: list[Responses], deliver: str, detailed: bool) -> pd.DataFrame:
    """Return detection rates with intervals, over all inserted structures or by kind."""
    pair = (
        DETECTION_COUNTS.frame(count_detections(reference, seen)),
        INSERTED_PLACES.frame(list_places(reference, seen)),
    )
    evaluate = Evaluate()
    table: Any = rate_table([pair], deliver, evaluate.bootstrap_samples, evaluate.confidence, SEED)
    table = table[table["size_voxels"].isna() if detailed else table["kind"].isna()]
    columns = ["method", "kind", "inserted", "detected", "rate", "ci_low", "ci_high", "false_alarm_rate"]
    return table[[*columns, "net_diff", "net_diff_ci_low", "net_diff_ci_high"]].round(3)


def study_volume(run: Path, volume: str, settings: Insertion, deliver: str) -> None:
    """Print the tables of one volume."""
    reference = read_image(run / f"extracted/{volume}.safetensors")
    lr = read_image(run / f"degraded/{volume}.safetensors", LowResolutionImage)
    names = sorted(folder.name for folder in (run / "models").iterdir())
    networks = {name: load_generator(run / f"models/{name}/generator.safetensors").eval() for name in names}
    tuned = read_tuning(run / "tuning/settings.json")
    methods: Mapping[str, Restore] = {
        **{name: one for name, one in baseline_methods(tuned).items() if name in BASELINES},
        **network_methods(networks, lr, Infer()),
        **variants(run / "models", Infer(), deliver),
    }
    groups: dict[tuple[str, float], list[RestoredPair]] = {}
    for shown in restore_pairs(excerpt(reference, lr, settings.slices), methods, settings, SEED):
        groups.setdefault((shown.method, shown.contrast), []).append(shown)
    seen: dict[str, list[Responses]] = {"study": [], "adapted": []}
    for shown in groups.values():
        for name, one in observe_twice(shown, settings):
            seen[name].append(one)
    print_table(
        f"{volume}: detected by the observer of the study", rates_of(reference, seen["study"], deliver, detailed=True)
    )
    print_table(
        f"{volume}: contrast recovery and standard deviation", transfers(seen["study"], settings.contrasts[0]).round(2)
    )
    print_table(
        f"{volume}: detected by the adapted observer", rates_of(reference, seen["adapted"], deliver, detailed=False)
    )


def main() -> None:
    """Print the tables of every volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run, such as results/demo")
    parser.add_argument("--volumes", nargs="+", required=True, help="volumes of the run")
    parser.add_argument("--draws", type=int, default=4, help="number of times that structures are inserted")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")
    parser.add_argument("--deliver", default="brainsr", help="method with which the others are compared")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    pd.set_option("display.width", 200)
    for volume in arguments.volumes:
        study_volume(arguments.run, volume, Insertion(draws=arguments.draws), arguments.deliver)


if __name__ == "__main__":
    main()
