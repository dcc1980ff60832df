"""Time and memory of planning: `snakemake --dry-run` for increasing numbers of volumes.

    python -m benchmarks.planning --work /tmp/planning --figure docs/planning.png

Each project is a table of volumes of different subjects, 90 % for testing, 5 % for validation and 5 % for training,
without any existing results. The files are empty, as planning only uses names and modification times. Snakemake runs in
its own process, whose processor time and peak resident memory are reported by the operating system. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import yaml

from benchmarks.timing import CHECKOUT, Cost, run_apart

SPLITS = {"train": 0.05, "val": 0.05, "test": 0.9}
MAX_MINUTES, MAX_GIB = 5, 4
"""The bound for 10,000 volumes on two cores."""


class Plan(NamedTuple):
    """A dry run.

    Attributes:
        volumes: how many were planned.
        jobs: how many jobs that makes.
        cost: what it took.
    """

    volumes: int
    jobs: int
    cost: Cost


def make_project(folder: Path, volumes: int) -> Path:
    """Write a table of volumes, empty files and the configuration; return the latter."""
    folder.mkdir(parents=True)
    names = [f"scan-{number:05}" for number in range(volumes)]
    for name in names:
        (folder / f"{name}.nii.gz").touch()
    rows = [f"{name}\tsub-{name[5:]}\t{name}.nii.gz" for name in names]
    (folder / "volumes.tsv").write_text("\n".join(["id\tsubject\tpath", *rows]) + "\n")
    dataset = {"kind": "table", "file": "volumes.tsv", "splits": SPLITS}
    path = folder / "planning.yaml"
    path.write_text(yaml.safe_dump({"run": "planning", "volumes": [], "datasets": [dataset]}))
    return path


def plan(config: Path, volumes: int) -> Plan:
    """Plan a run without existing results.

    Raises:
        RuntimeError: it failed; the text is what Snakemake wrote.
    """
    command = ["snakemake", "--snakefile", CHECKOUT / "Snakefile", "--directory", config.parent]
    command += ["--configfile", config, "--cores", "2", "--dry-run", "--quiet", "all"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = config.with_suffix(".log")
    cost = run_apart(command, log, {"PATH": path})
    jobs = next(int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("total "))
    return Plan(volumes, jobs, cost)


def draw(plans: Sequence[Plan], path: Path) -> None:
    """Plot processor time and memory against the number of volumes, on logarithmic axes, with the bounds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    volumes = [plan.volumes for plan in plans]
    time_axis = [plan.cost.processor_seconds / 60 for plan in plans]
    memory_axis = [plan.cost.peak_bytes / 2**30 for plan in plans]
    for axes, values, bound, name in (
        (left, time_axis, MAX_MINUTES, "Processor time / minutes"),
        (right, memory_axis, MAX_GIB, "Peak memory / GiB"),
    ):
        axes.loglog(volumes, values, "o-", color="#1b6ca8", label="snakemake --dry-run")
        axes.axhline(bound, color="#b3541e", linestyle="--", label=f"bound for 10,000: {bound}")
        axes.set_xlabel("Volumes")
        axes.set_ylabel(name)
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and plot the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, nargs="+", default=[100, 1000, 10000], metavar="NUMBER")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="folder of the projects; created")
    parser.add_argument("--figure", type=Path, metavar="PATH", help="figure (.png)")
    parsed = parser.parse_args(arguments)
    plans = []
    print("| volumes | jobs | time / s | processor time / s | peak memory / MiB |")  # noqa: T201
    print("| ---: | ---: | ---: | ---: | ---: |")  # noqa: T201
    for number in parsed.volumes:
        plans.append(plan(make_project(parsed.work / str(number), number), number))
        _, jobs, cost = plans[-1]
        row = (f"{number:,}", f"{jobs:,}", f"{cost.seconds:.0f}", f"{cost.processor_seconds:.0f}")
        print(f"| {' | '.join(row)} | {cost.peak_bytes / 2**20:,.0f} |", flush=True)  # noqa: T201
    if parsed.figure:
        draw(plans, parsed.figure)


if __name__ == "__main__":
    main()
