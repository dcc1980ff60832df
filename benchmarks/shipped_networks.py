"""Gains of a network that ships, over persons who were not in its training data, by contrast, factor and noise level.

    python -m benchmarks.shipped_networks mri-x4 --gains gains.csv
    python -m benchmarks.shipped_networks mri-thick --factors 3 4 5.5 --sigmas 0.02 --gains gains.csv

Runs examples/persons.yaml, or for networks that restore thick slices examples/persons-thick.yaml, once for each factor
and noise level, in results/persons-NAME-FACTOR-PERCENT, without its reports; finished runs are only read. Structures
are inserted, and tissues measured, at the factor and noise level of these files. Baselines are tuned for each run, and
each image is compared with the best of them for this image, region and metric, which favours the baselines. The tables
are printed in Markdown, with 95 % intervals over persons (Student's t) where there are at least five; --gains writes
the gains over the foreground as a table for `python -m pipeline.models.zoo`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from benchmarks.several_scans import half_width, interval, table
from pipeline import plugins
from pipeline.config.recipe import PRETRAINED
from pipeline.config.sections import Evaluate
from pipeline.config.shipped import shipped_networks
from pipeline.statistics.detection import rate_table
from pipeline.tables.inserted_places import INSERTED_PLACES
from pipeline.tables.inserted_structures import DETECTION_COUNTS
from pipeline.tables.network_gains import NETWORK_GAINS, NetworkGain
from pipeline.tables.tissue_agreement import TISSUE_AGREEMENT
from pipeline.tables.volumes import VOLUMES

CONFIGS = {"in_plane": Path("examples/persons.yaml"), "through_plane": Path("examples/persons-thick.yaml")}
"""Configuration by the axes that a network enlarges."""
GROUPS = {
    "T1, without skull": ("oasis-", "mne-seeg"),
    "T1, whole head": ("s1-t1",),
    "T1, clinical": ("ms-12-1-t1", "ms-12-2-t1"),
    "T2, clinical": ("ms-12-1-t2", "ms-12-2-t2"),
    "FLAIR, clinical": ("ms-12-1-flair", "ms-12-2-flair"),
}
"""Test volumes by contrast: beginnings of their names."""
VOXELS_MM = {"T1, without skull": 1.0, "T1, whole head": 1.0}
"""Voxel size of the references; the clinical scans have about `CLINICAL_MM`."""
CLINICAL_MM = (0.5, 0.9)
SUFFIXES = {"T1": "T1w", "T2": "T2w", "FLAIR": "FLAIR"}
SEED = 2026
STUDY_FACTOR, STUDY_SIGMA = 4.0, 0.02
"""Factor, of networks for any, and noise level at which structures are inserted and tissues are measured."""
MIN_PERSONS = 5
"""Fewer persons get no interval."""


class Setting(NamedTuple):
    """Factor of the degradation, and noise level as a fraction of the intensity range."""

    factor: float
    sigma: float


Measured = Mapping[Setting, Mapping[str, pd.DataFrame]]
"""Rows of metrics/volumes.csv by setting and contrast."""


@dataclass(frozen=True)
class Gain:
    """Differences of the network to the best baseline of each image, averaged over the images of each person."""

    baseline: str
    """the baseline that is the best for most images"""
    differences: tuple[float, ...]
    """one value per person"""

    @property
    def mean(self) -> float:
        """Mean over the persons."""
        return float(np.mean(self.differences))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval over the persons; NaN for fewer than `MIN_PERSONS`."""
        if len(self.differences) < MIN_PERSONS:
            return np.nan, np.nan
        half = half_width(self.differences)
        return self.mean - half, self.mean + half

    def text(self, decimals: int) -> str:
        """Write the mean, with its interval if there is one."""
        low, high = self.interval
        mean = f"{self.mean:+.{decimals}f}"
        if np.isnan(low):
            return mean
        return f"{mean} [{low:+.{decimals}f}, {high:+.{decimals}f}]"


def run_folder(name: str, setting: Setting, study: Setting, cores: int, passes: int | None = None) -> Path:
    """Run the workflow for a setting, unless it has been run, and return the folder of its results.

    Args:
        name: of the network.
        setting: of the run.
        study: the setting at which structures are inserted and tissues are measured.
        cores: number of cores.
        passes: forward passes per slice; None for those of the network.

    Raises:
        SystemExit: the run failed.
    """
    run = f"persons-{name}-{setting.factor:g}-{setting.sigma * 100:g}{f'-{passes}' if passes else ''}"
    folder = Path("results") / run
    changes: dict[str, object] = {
        "run": run,
        "train": {"initial_weights": name},
        "degrade": {"factor": setting.factor, "noise_sigma": setting.sigma},
    }
    if passes:
        changes["infer"] = {"passes": passes}
    if setting != study:
        changes["insertion"] = {"kinds": []}
    direction = shipped_networks()[name].direction
    names = ["volumes", *(["tissue_agreement"] if setting == study else [])]
    names += ["detection_rates"] if setting == study and direction == "in_plane" else []
    targets = [str(folder / "metrics" / f"{one}.csv") for one in names]
    run_workflow(changes, ["--configfile", str(CONFIGS[direction])], ["--cores", str(cores), "--keep-going", *targets])
    return folder


def run_workflow(configuration: Mapping[str, Any], before: Sequence[str], options: Sequence[str]) -> None:
    """Run the workflow.

    Args:
        configuration: the configuration; its file in the current folder is deleted after the run.
        before: options before it, such as a configuration that it changes.
        options: further options and targets.

    Raises:
        SystemExit: the run failed.
    """
    path = Path(f"{configuration['run']}.yaml")
    path.write_text(yaml.safe_dump(dict(configuration), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "pipeline", "run", *before, "--configfile", str(path), *options]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SystemExit(code)
    path.unlink()


def gain(
    values: pd.DataFrame, region: str, metric: str, *, method: str = PRETRAINED, lower_is_better: bool = False
) -> Gain:
    """Compare the network with the best baseline of each volume.

    Args:
        values: rows of metrics/volumes.csv.
        region: region.
        metric: metric.
        method: the network.
        lower_is_better: whether low values are good.
    """
    rows: Any = values[(values["region"] == region) & (values["metric"] == metric)]
    columns = rows.pivot(index=["subject", "volume"], columns="method", values="value")
    baselines = columns[[one for one in columns.columns if one in plugins.names("pipeline.baselines")]]
    sign = -1 if lower_is_better else 1
    best = (sign * baselines).max(axis=1)
    difference = (sign * columns[method] - best).groupby("subject").mean()
    chosen = (sign * baselines).idxmax(axis=1).mode()[0]
    return Gain(str(chosen), tuple(difference))


def groups(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the rows of metrics/volumes.csv for each contrast of the test volumes, if there are any."""
    values: Any = VOLUMES.read(folder / "metrics" / "volumes.csv")
    values = values[values["split"] == "test"]
    found = {name: values[values["volume"].str.startswith(beginnings)] for name, beginnings in GROUPS.items()}
    return {name: rows for name, rows in found.items() if len(rows)}


def gains_tables(measured: Measured, study: Setting) -> str:
    """Return the table of gains by contrast, factor, noise level, region and metric."""
    header = ["contrast", "persons", "factor", "noise", "best baseline", "PSNR, foreground", "SSIM"]
    header += ["PSNR, interior", "SSIM"]
    lines = []
    for name in measured[study]:
        for (factor, sigma), by_contrast in measured.items():
            values = by_contrast[name]
            found = {(r, m): gain(values, r, m) for r in ("foreground", "interior") for m in ("psnr", "ssim")}
            psnr = found["foreground", "psnr"]
            cells = [one.text(2 if metric == "psnr" else 3) for (_, metric), one in found.items()]
            lines.append([name, len(psnr.differences), f"{factor:g}", f"{100 * sigma:.0f} %", psnr.baseline, *cells])
    unseen = ["contrast", "GMSD", "HaarPSI"]
    rows = [
        [name, gain(v, "interior", "gmsd", lower_is_better=True).text(4), gain(v, "interior", "haarpsi").text(3)]
        for name, v in measured[study].items()
    ]
    lost = min(min(gain(v, "foreground", "psnr").differences) for v in measured[study].values())
    where = f"factor {study.factor:g}, {100 * study.sigma:.0f} % noise"
    return "\n\n".join(
        [
            "Network minus best baseline of each image (dB; SSIM), mean [95 % interval over persons]:",
            table(header, lines),
            f"Lowest difference of PSNR of a person at {where}: {lost:+.2f} dB.",
            f"Metrics that no loss contains, interior, {where}; positive is better:",
            table(unseen, rows),
        ]
    )


def means_table(measured: Measured, study: Setting) -> str:
    """Return the PSNR of all methods over the persons of the first contrast."""
    name, rows = next(iter(measured[study].items()))
    chosen: Any = rows[(rows["region"] == "foreground") & (rows["metric"] == "psnr")]
    persons = chosen.pivot_table(index="subject", columns="method", values="value")
    lines = [[method, interval(list(persons[method].items()))] for method in persons]
    title = f"PSNR over the foreground in dB, {name}, factor {study.factor:g}, {100 * study.sigma:.0f} % noise:"
    return f"{title}\n\n" + table(["method", "PSNR"], lines)


def structures_table(folder: Path) -> str:
    """Return the detection rates of inserted structures; empty where none were inserted."""
    places = sorted((folder / "inserted").glob("*.places.csv"))
    if not places:
        return ""
    volumes = [
        (DETECTION_COUNTS.read(one.with_name(one.name.replace(".places", ""))), INSERTED_PLACES.read(one))
        for one in places
    ]
    settings = Evaluate()
    # The tables of the run compare the delivered method, which is no network.
    rates = rate_table(volumes, PRETRAINED, settings.bootstrap_samples, settings.confidence, SEED)
    pooled: Any = rates[(rates["split"] == "test") & rates["kind"].isna()]
    if pooled.empty:
        return ""
    lines = [
        [
            row["method"],
            row["subjects"],
            row["inserted"],
            f"{100 * row['rate']:.1f} %",
            f"{100 * row['false_alarm_rate']:.1f} %",
            "" if np.isnan(row["diff"]) else _points(row, "diff"),
            "" if np.isnan(row["net_diff"]) else _points(row, "net_diff"),
        ]
        for row in pooled.to_dict("records")
    ]
    header = [
        "method",
        "persons",
        "inserted",
        "detected",
        "false alarms",
        "network minus method",
        "net of false alarms",
    ]
    return "Inserted structures, percentage points [95 % interval]:\n\n" + table(header, lines)


def _points(row: dict[str, Any], name: str) -> str:
    value, low, high = (100 * row[key] for key in (name, f"{name}_ci_low", f"{name}_ci_high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def tissue_table(folder: Path) -> str:
    """Return the bias of tissue volumes."""
    rows: Any = TISSUE_AGREEMENT.read(folder / "metrics" / "tissue_agreement.csv")
    rows = rows[(rows["split"] == "test") & (rows["n"] >= MIN_PERSONS)]
    wide = rows.pivot(index="method", columns="tissue", values="bias_ml")
    lines = [[row.name, *(f"{value:+.1f}" for value in row)] for _, row in wide.iterrows()]
    return f"Bias of tissue volumes in ml, {rows['n'].max()} persons:\n\n" + table(["method", *wide.columns], lines)


def network_gains(name: str, measured: Measured) -> Iterator[NetworkGain]:
    """Yield the rows of the gains that ship with the network: by contrast, factor, voxel size and noise level.

    Factors and noise levels between two measured ones belong to the nearer; see `_ranges`.
    """
    any_factor = shipped_networks()[name].factor is None
    factors = _ranges({factor for factor, _ in measured}, 0.8)
    for (factor, sigma), by_contrast in measured.items():
        levels = _ranges({one.sigma for one in measured if one.factor == factor}, 0.5)
        low, high = factors[factor] if any_factor else (factor, factor)
        for group, values in by_contrast.items():
            smallest, largest = (VOXELS_MM[group],) * 2 if group in VOXELS_MM else CLINICAL_MM
            psnr, ssim = (gain(values, "foreground", metric) for metric in ("psnr", "ssim"))
            ci_low, ci_high = psnr.interval
            yield NetworkGain(
                contrast=SUFFIXES[group.split(",", maxsplit=1)[0]],
                factor_min=low,
                factor_max=high,
                voxel_min=smallest * low,
                voxel_max=largest * high,
                sigma_min=levels[sigma][0],
                sigma_max=levels[sigma][1],
                subjects=len(psnr.differences),
                baseline=psnr.baseline,
                psnr_gain=psnr.mean,
                ci_low=ci_low,
                ci_high=ci_high,
                ssim_gain=ssim.mean,
            )


def _ranges(measured: set[float], lowest: float) -> dict[float, tuple[float, float]]:
    """Return the range of values that belong to each measured value, the nearest one.

    The lowest range begins at the fraction `lowest` of the lowest value, and the last ends at 1.2 times the highest.
    """
    values = sorted(measured)
    edges = [lowest * values[0], *((low + high) / 2 for low, high in pairwise(values)), 1.2 * values[-1]]
    return dict(zip(values, pairwise(edges), strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the workflow for each setting and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="name of a network that ships")
    parser.add_argument("--sigmas", type=float, nargs="+", default=[0.01, STUDY_SIGMA, 0.05], help="noise levels")
    parser.add_argument("--factors", type=float, nargs="+", default=[STUDY_FACTOR], help="of networks for any factor")
    parser.add_argument("--gains", type=Path, help="CSV file of gains to write")
    parser.add_argument("--passes", type=int, choices=(1, 2, 4, 8), help="forward passes per slice")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args(arguments)
    factor = shipped_networks()[options.network].factor
    study = Setting(STUDY_FACTOR if factor is None else float(factor), STUDY_SIGMA)
    factors = options.factors if factor is None else [study.factor]
    # The setting of the studies first, since the others only add to it.
    order = sorted({study, *map(Setting._make, product(factors, options.sigmas))}, key=lambda one: (one != study, one))
    folders = {setting: run_folder(options.network, setting, study, options.cores, options.passes) for setting in order}
    measured = {setting: groups(folder) for setting, folder in sorted(folders.items())}
    tables = [gains_tables(measured, study), means_table(measured, study)]
    tables += [structures_table(folders[study]), tissue_table(folders[study])]
    sys.stdout.write("\n\n".join(filter(None, tables)) + "\n")
    if options.gains:
        NETWORK_GAINS.write(options.gains, network_gains(options.network, measured))


if __name__ == "__main__":
    main()
