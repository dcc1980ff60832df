"""Which inserted structures do a run's methods show, over several draws, and what do they lose on the way?

    python -m benchmarks.inserted_structures --run results/demo --volumes mni152 s1-block --draws 4

Printed are, for every volume and method:

- the share that the study's observer finds, with its interval, and the difference of the delivered method to each other
  one, false alarms taken off (the table detection_rates.csv of a run, with more draws);
- what becomes of a structure: its contrast after the restoration, as the observer's template sees it, and the spread
  (standard deviation) of the template's answers where nothing is, both as fractions of the contrast that was inserted;
- the share that a second observer finds, at the same rate of false alarms: a channelised Hotelling observer (Barrett
  and Myers, Foundations of Image Science, section 14.3, Wiley 2004), which learns for every method apart how it draws
  the structures, and what it makes of places without them. It forgives a method that draws structures wider or weaker
  than they are, as long as they stand out from what the same method makes of the rest.

Beside the run's methods stand variants of the delivered network: without the correction toward the measurement, and
told that there is no noise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pipeline.steps.detection_rates import Detection, Place
from scipy import ndimage

from pipeline import plugins
from pipeline.config.sections import Evaluate, Infer, Insertion
from pipeline.fidelity.insertion import observer
from pipeline.fidelity.insertion.sites import DIRECTIONS, KINDS, Condition, Sites
from pipeline.fidelity.insertion.structure import Structure
from pipeline.fidelity.insertion.study import Restore, Restored, Seen, detections, looked_at, place_rows, restorations
from pipeline.formats.io.container import read_image
from pipeline.image.image import Image
from pipeline.inference.restoration import restore
from pipeline.models.device import use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.excerpts import excerpt
from pipeline.statistics.detection import rate_table
from pipeline.steps.insert_structures import classical_methods, network_methods
from pipeline.steps.interpolate import read_tuning

SEED = 2026
CLASSICAL = ("bicubic", "bspline3", "zerofill", "nlm_bspline3")
BLURS = (0.0, 1.0, 2.0, 4.0)
"""Widths of the channels beside the structure's own, in voxels: Gaussian blurs of its template."""
RIDGE = 1e-6
"""Added to the channels' covariance, as a share of its mean variance."""


def variants(folder: Path, told: Infer, deliver: str) -> dict[str, Restore]:
    """Return the delivered network without correction toward the measurement, and told that there is no noise."""
    network = load_generator(folder / deliver / "generator.safetensors").eval()
    changes = {"uncorrected": {"consistency": False}, "told no noise": {"noise_sigma": 0.0}}

    def restored(settings: Infer, image: Image) -> Any:
        return restore(network, image, settings)

    return {f"{deliver}, {name}": partial(restored, told.model_copy(update=one)) for name, one in changes.items()}


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
    """Return what each channel answers at each site, shape (sites, channels)."""
    side = bank.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))
    slices, rows, columns = sites.places.T
    seen = windows[slices, rows - side // 2, columns - side // 2].reshape(len(slices), 1, -1)
    weights = bank.reshape(*bank.shape[:2], -1)[sites.directions]
    return np.matmul(weights, seen.transpose(0, 2, 1))[..., 0]


def adapted(shown: list[Restored], settings: Insertion, condition: Condition) -> Seen:
    """Let the second observer look at the draws of one method and contrast, each with weights from the other draws."""
    bank = bank_of(condition, max(shown[0].base.model.factors))
    looks = [one.plan.looks[condition] for one in shown]
    present, absent, plain = (
        [answers(image(one), site(look), bank) for one, look in zip(shown, looks, strict=True)]
        for image, site in (
            (lambda one: one.present, lambda look: look.inserted),
            (lambda one: one.absent, lambda look: look.inserted),
            (lambda one: one.absent, lambda look: look.plain),
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
    return Seen(0, first.method, condition, first.contrast, slices, seen, unseen, empty, 0.0, 0.0)


def looked_at_twice(shown: list[Restored], settings: Insertion) -> Iterator[tuple[str, Seen]]:
    """Yield what both observers see of the draws of one method and contrast, under the names of the observers."""
    for one in shown:
        yield from (("study", seen) for seen in looked_at(one, settings))
    for condition in shown[0].plan.looks:
        yield "adapted", adapted(shown, settings, condition)


def transfers(seen: list[Seen], contrast: float) -> pd.DataFrame:
    """Return what is left of the structures' contrast, and the spread of answers without them, by method and kind."""
    rows = [
        {
            "method": one.method,
            "kind": one.condition.kind,
            "contrast left": float(np.mean(one.present - one.absent)) / contrast,
            "spread": float(np.std(one.plain)) / contrast,
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


def rates_of(reference: Image, seen: list[Seen], deliver: str, detailed: bool) -> pd.DataFrame:
    """Return rates with intervals, over all that was inserted, or also by kind."""
    pair = (
        pd.DataFrame(detections(reference, seen), columns=pd.Index(Detection._fields)),
        pd.DataFrame(place_rows(reference, seen), columns=pd.Index(Place._fields)),
    )
    evaluate = Evaluate()
    table: Any = rate_table([pair], deliver, evaluate.bootstrap_samples, evaluate.confidence, SEED)
    table = table[table["size_voxels"].isna() if detailed else table["kind"].isna()]
    columns = ["method", "kind", "inserted", "detected", "rate", "ci_low", "ci_high", "false_alarm_rate"]
    return table[[*columns, "net_diff", "net_diff_ci_low", "net_diff_ci_high"]].round(3)


def study_volume(run: Path, volume: str, settings: Insertion, deliver: str) -> None:
    """Print the tables of one volume."""
    reference, lr = (read_image(run / f"{kind}/{volume}.safetensors") for kind in ("extracted", "degraded"))
    names = sorted(folder.name for folder in (run / "models").iterdir())
    networks = {name: load_generator(run / f"models/{name}/generator.safetensors").eval() for name in names}
    tuned = read_tuning(run / "tuning/nlm_bspline3.json")
    methods: Mapping[str, Restore] = {
        **{name: one for name, one in classical_methods(tuned).items() if name in CLASSICAL},
        **network_methods(networks, lr, Infer()),
        **variants(run / "models", Infer(), deliver),
    }
    groups: dict[tuple[str, float], list[Restored]] = {}
    for shown in restorations(excerpt(reference, lr, settings.slices), methods, settings, SEED):
        groups.setdefault((shown.method, shown.contrast), []).append(shown)
    seen: dict[str, list[Seen]] = {"study": [], "adapted": []}
    for shown in groups.values():
        for name, one in looked_at_twice(shown, settings):
            seen[name].append(one)
    print_table(f"{volume}: found by the study's observer", rates_of(reference, seen["study"], deliver, detailed=True))
    print_table(f"{volume}: contrast left and spread", transfers(seen["study"], settings.contrasts[0]).round(2))
    print_table(
        f"{volume}: found by the adapted observer", rates_of(reference, seen["adapted"], deliver, detailed=False)
    )


def main() -> None:
    """Print the tables of every volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run, such as results/demo")
    parser.add_argument("--volumes", nargs="+", required=True, help="volumes of the run")
    parser.add_argument("--draws", type=int, default=4, help="times that structures are inserted")
    parser.add_argument("--threads", type=int, default=2, help="of the computation")
    parser.add_argument("--deliver", default="brainsr", help="method that the others are compared with")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    pd.set_option("display.width", 200)
    for volume in arguments.volumes:
        study_volume(arguments.run, volume, Insertion(draws=arguments.draws), arguments.deliver)


if __name__ == "__main__":
    main()
