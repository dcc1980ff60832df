"""All speed benchmarks, and docs/performance.md with its figures, which is generated from them.

    python -m benchmarks.performance [--results results/benchmarks] [--rounds 5] [--threads 2] [--only-write]

Each part runs in its own process and stores its results in the folder; --only-write only renders the page again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, StrictUndefined

from benchmarks import cost_curves, inference, preprocessing, training_step

mpl.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("performance.md.j2")
PARTS = ("inference", "cost_curves", "training_step", "preprocessing")
OURS, THEIRS = "#0b7285", "#9aa3ad"
HEADROOM = 1.25
"""Of an axis, for the legend."""
CLOSE = 0.4
"""Ratios within this distance below the target have their label behind the target mark."""


def run_part(name: str, folder: Path, options: Sequence[str]) -> None:
    """Run a benchmark in a separate process; its output is shown."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(folder / f"{name}.json"), *options]
    subprocess.run(command, check=True)


def read_parts(folder: Path) -> dict[str, Any]:
    """Return the results of all parts by name."""
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in PARTS}


def bars(parts: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return name, ratio and target ratio of each comparison."""
    one = parts["inference"]
    found = [(row["case"], row["ratio"], 1.4) for row in one["rows"] if "ratio" in row and "float16" not in row["case"]]
    found += [(row["case"].replace(": ", ",\n"), row["ratio"], 2.5) for row in one["heads"]]
    found += [(row["case"], row["ratio"], 1.2) for row in parts["training_step"]["rows"]]
    prepared = [row for row in parts["preprocessing"]["rows"] if row["case"] != "ours"]
    return found + [(f"extract and degrade, {row['case']}", row["ratio"], 2.0) for row in prepared]


def draw_ratios(parts: Mapping[str, Any], path: Path) -> None:
    """Plot the speed of each part relative to its peer."""
    rows = bars(parts)
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(rows) + 1.2), layout="constrained")
    places = np.arange(len(rows))[::-1]
    reached = [OURS if ratio >= target else THEIRS for _, ratio, target in rows]
    axes.barh(places, [ratio for _, ratio, _ in rows], color=reached, height=0.62)
    for place, (_, ratio, target) in zip(places, rows, strict=True):
        axes.plot([target, target], [place - 0.4, place + 0.4], color="#c92a2a", linewidth=2)
        end = target if 0 < target - ratio < CLOSE else ratio
        axes.annotate(f"{ratio:.2f}", (end, place), (4, 0), textcoords="offset points", va="center")
    axes.axvline(1, color="#495057", linewidth=0.8)
    axes.set_yticks(places, [name for name, _, _ in rows])
    axes.set_xlabel("times as fast as the peer; red: what was aimed at; grey: not reached")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_curves(costs: Mapping[str, Any], path: Path) -> None:
    """Plot time and memory against slice size, number of volumes and number of tiles."""
    kinds = {
        "low-resolution voxels of a slice": ([row["side"] ** 2 for row in costs["slices"]], costs["slices"]),
        "volumes": ([row["count"] for row in costs["volumes"]], costs["volumes"]),
        "tiles": ([row["count"] for row in costs["tiles"]], costs["tiles"]),
    }
    figure, all_axes = plt.subplots(2, len(kinds), figsize=(11, 6), layout="constrained", sharex="col")
    for (name, (numbers, rows)), (above, below) in zip(kinds.items(), all_axes.T, strict=True):
        places = np.array(numbers)
        for who, colour in (("peer", THEIRS), ("ours", OURS)):
            if who in rows[0]:
                above.plot(places, [row[who]["seconds"] for row in rows], "o-", color=colour, label=who)
                below.plot(places, [row[who]["peak_mib"] for row in rows], "o-", color=colour, label=who)
        line = np.polynomial.Polynomial.fit(places, [row["ours"]["seconds"] for row in rows], 1)
        above.plot(places, line(places), ":", color="#495057", label="straight line through ours")
        above.set(ylabel="seconds")
        below.set(ylabel="peak memory, MiB", xlabel=name)
        for axes in (above, below):
            axes.set_ylim(0, HEADROOM * axes.get_ylim()[1])
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def text(parts: Mapping[str, Any]) -> str:
    """Return docs/performance.md."""
    restoring, costs, training, prepared = (parts[name] for name in PARTS)
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(TEMPLATE.read_text())
    return template.render(
        machine=", ".join(f"{name} {value}" for name, value in restoring["machine"].items()),
        restoring=restoring,
        restoring_table=inference.table(restoring),
        costs=costs,
        about_costs=_told(cost_curves),
        costs_table=cost_curves.table(costs),
        margin=restoring["heads"][0]["margin"],
        training=training,
        about_training=_told(training_step),
        training_table=training_step.table_of(training["rows"]),
        preprocessing=prepared,
        about_preprocessing=_told(preprocessing),
        preprocessing_table=preprocessing.table(prepared["rows"]),
    )


def _told(module: ModuleType) -> str:
    """Return the description of a benchmark from its docstring, without title and command."""
    return (module.__doc__ or "").split("\n\n", 2)[2].strip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inference.add_options(parser)
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks"), help="folder of the results")
    parser.add_argument("--rounds", type=int, default=5, help="number of measured rounds")
    parser.add_argument("--only-write", action="store_true", help="only render the page from existing results")
    parsed = parser.parse_args(arguments)
    parsed.results.mkdir(parents=True, exist_ok=True)
    if not parsed.only_write:
        threads, rounds = ["--threads", str(parsed.threads)], ["--rounds", str(parsed.rounds)]
        model = ["--model", str(parsed.model)]
        own = {
            "inference": [*model, "--head", str(parsed.head), *threads, *rounds],
            "cost_curves": [*model, *threads],
            "training_step": [*threads, *rounds],
            "preprocessing": ["--input", str(parsed.head), *rounds],
        }
        for name in PARTS:
            run_part(name, parsed.results, own[name])
    parts = read_parts(parsed.results)
    draw_ratios(parts, DOCS / "performance.png")
    draw_curves(parts["cost_curves"], DOCS / "performance-curves.png")
    (DOCS / "performance.md").write_text(text(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
