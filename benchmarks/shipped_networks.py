"""Gains of a network that ships, over persons on whom it was not trained, by contrast and noise level.

    python -m benchmarks.shipped_networks mri-x4 --gains gains.csv

Runs examples/persons.yaml once for each noise level, in results/persons-NAME-PERCENT, without its reports; finished
runs are only read. Structures are inserted, and tissues measured, at the noise level of persons.yaml. Baselines are
tuned for each noise level, and each image is compared with the best of them for this image, region and metric, which
favours the baselines. The tables are printed in Markdown, with 95 % intervals over persons (Student's t) where there
are at least five; --gains writes the gains over the foreground as a table for `python -m pipeline.models.zoo`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

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

CONFIG = Path("examples/persons.yaml")
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
STUDY = 0.02
"""Noise level at which structures are inserted and tissues are measured."""
MIN_PERSONS = 5
"""Fewer persons get no interval."""

Measured = Mapping[float, Mapping[str, pd.DataFrame]]
"""Rows of metrics/volumes.csv by noise level and contrast."""


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


def run_folder(name: str, sigma: float, cores: int) -> Path:
    """Run the workflow for a noise level, unless it has been run, and return the folder of its results.

    Raises:
        SystemExit: the run failed.
    """
    run = f"persons-{name}-{sigma * 100:g}"
    folder = Path("results") / run
    changes: dict[str, object] = {
        "run": run,
        "train": {"initial_weights": name},
        "degrade": {"factor": shipped_networks()[name].factor, "noise_sigma": sigma},
    }
    if sigma != STUDY:
        changes["insertion"] = {"kinds": []}
    names = ["volumes", "detection_rates", "tissue_agreement"] if sigma == STUDY else ["volumes"]
    targets = [str(folder / "metrics" / f"{one}.csv") for one in names]
    run_workflow(changes, ["--configfile", str(CONFIG)], ["--cores", str(cores), "--keep-going", *targets])
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
    """Return the rows of metrics/volumes.csv for each contrast of the test volumes."""
    values: Any = VOLUMES.read(folder / "metrics" / "volumes.csv")
    values = values[values["split"] == "test"]
    return {name: values[values["volume"].str.startswith(beginnings)] for name, beginnings in GROUPS.items()}


def gains_tables(measured: Measured) -> str:
    """Return the table of gains by contrast, noise level, region and metric."""
    header = ["contrast", "persons", "noise", "best baseline", "PSNR, foreground", "SSIM", "PSNR, interior", "SSIM"]
    lines = []
    for name in GROUPS:
        for sigma, by_contrast in measured.items():
            values = by_contrast[name]
            found = {(r, m): gain(values, r, m) for r in ("foreground", "interior") for m in ("psnr", "ssim")}
            psnr = found["foreground", "psnr"]
            cells = [one.text(2 if metric == "psnr" else 3) for (_, metric), one in found.items()]
            lines.append([name, len(psnr.differences), f"{sigma:.0%}", psnr.baseline, *cells])
    unseen = ["contrast", "GMSD", "HaarPSI"]
    rows = [
        [name, gain(v, "interior", "gmsd", lower_is_better=True).text(4), gain(v, "interior", "haarpsi").text(3)]
        for name, v in measured[STUDY].items()
    ]
    lost = min(min(gain(v, "foreground", "psnr").differences) for v in measured[STUDY].values())
    return "\n\n".join(
        [
            "Network minus best baseline of each image (dB; SSIM), mean [95 % interval over persons]:",
            table(header, lines),
            f"Lowest difference of PSNR of a person at {STUDY:.0%} noise: {lost:+.2f} dB.",
            f"Metrics that no loss contains, interior, {STUDY:.0%} noise; positive is better:",
            table(unseen, rows),
        ]
    )


def means_table(measured: Measured) -> str:
    """Return the PSNR of all methods over the persons of the first contrast."""
    name, rows = next(iter(measured[STUDY].items()))
    chosen: Any = rows[(rows["region"] == "foreground") & (rows["metric"] == "psnr")]
    persons = chosen.pivot_table(index="subject", columns="method", values="value")
    lines = [[method, interval(list(persons[method].items()))] for method in persons]
    return f"PSNR over the foreground in dB, {name}, {STUDY:.0%} noise:\n\n" + table(["method", "PSNR"], lines)


def structures_table(folder: Path) -> str:
    """Return the detection rates of inserted structures."""
    places = sorted((folder / "inserted").glob("*.places.csv"))
    volumes = [
        (DETECTION_COUNTS.read(one.with_name(one.name.replace(".places", ""))), INSERTED_PLACES.read(one))
        for one in places
    ]
    settings = Evaluate()
    # The tables of the run compare the delivered method, which is no network.
    rates = rate_table(volumes, PRETRAINED, settings.bootstrap_samples, settings.confidence, SEED)
    pooled: Any = rates[(rates["split"] == "test") & rates["kind"].isna()]
    lines = [
        [
            row["method"],
            row["subjects"],
            row["inserted"],
            f"{row['rate']:.1%}",
            f"{row['false_alarm_rate']:.1%}",
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
    """Yield the rows of the gains that ship with the network: by contrast, voxel size and noise level.

    Noise levels between two measured ones belong to the nearer. The rows begin at half of the lowest level and end at
    1.2 times the highest.
    """
    factor = float(shipped_networks()[name].factor or 1)
    levels = sorted(measured)
    edges = [levels[0] / 2, *((low + high) / 2 for low, high in pairwise(levels)), 1.2 * levels[-1]]
    for group in GROUPS:
        smallest, largest = (VOXELS_MM[group],) * 2 if group in VOXELS_MM else CLINICAL_MM
        for low, high, sigma in zip(edges, edges[1:], levels, strict=False):
            values = measured[sigma][group]
            psnr, ssim = (gain(values, "foreground", metric) for metric in ("psnr", "ssim"))
            ci_low, ci_high = psnr.interval
            yield NetworkGain(
                contrast=SUFFIXES[group.split(",", maxsplit=1)[0]],
                factor_min=factor,
                factor_max=factor,
                voxel_min=smallest * factor,
                voxel_max=largest * factor,
                sigma_min=low,
                sigma_max=high,
                persons=len(psnr.differences),
                baseline=psnr.baseline,
                psnr_gain=psnr.mean,
                ci_low=ci_low,
                ci_high=ci_high,
                ssim_gain=ssim.mean,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the workflow for each noise level and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="name of a network that ships")
    parser.add_argument("--sigmas", type=float, nargs="+", default=[0.01, STUDY, 0.05], help="noise levels")
    parser.add_argument("--gains", type=Path, help="CSV file of gains to write")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args(arguments)
    # The level of the studies first, since the others only add to it.
    order = sorted({*options.sigmas, STUDY}, key=lambda sigma: sigma != STUDY)
    folders = {sigma: run_folder(options.network, sigma, options.cores) for sigma in order}
    measured = {sigma: groups(folder) for sigma, folder in sorted(folders.items())}
    study = folders[STUDY]
    parts = [gains_tables(measured), means_table(measured), structures_table(study), tissue_table(study)]
    sys.stdout.write("\n\n".join(parts) + "\n")
    if options.gains:
        NETWORK_GAINS.write(options.gains, network_gains(options.network, measured))


if __name__ == "__main__":
    main()
