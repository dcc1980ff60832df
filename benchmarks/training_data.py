"""Gain of a network over the best baseline against the data that it was trained on.

    python -m benchmarks.training_data --output docs/training-data.png

Trains the recipe of examples/zoo/mri-x4.yaml on growing sets of its training volumes, with equally many steps, and
restores the test volumes of examples/persons.yaml, of which 12 slices each are evaluated. Each run is stored in
results/data-SET; an interrupted one is resumed, and finished ones are only read. Prints a table and draws the figure:
differences of PSNR to the best baseline of each image, 95 % intervals over persons (Student's t).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import yaml

from benchmarks.several_scans import table
from benchmarks.shipped_networks import CONFIGS, Gain, gain, groups, run_workflow

TRAINING = Path("examples/zoo/mri-x4.yaml")
METHOD = "rrdb_l1"
SETS: Mapping[str, tuple[str, ...]] = {
    "one head": ("mne-ecog",),
    "three persons": ("mne-ecog", "stroke", "ms-01"),
    "all persons": ("mne-ecog", "stroke", "ms-"),
    "label maps alone": ("labels-",),
    "persons and label maps": ("",),
}
"""Beginnings of the training subjects of each set."""
SYNTHETIC = {"label maps alone": 1.0, "persons and label maps": 0.4}
"""Share of synthetic patches; 0 for the other sets."""
SLICES = 12
SHOWN = ("T1, without skull", "T1, clinical", "T2, clinical", "FLAIR, clinical")


def configuration(name: str, steps: int) -> dict[str, Any]:
    """Return the configuration of the run for a set of training data."""
    values = yaml.safe_load(TRAINING.read_text(encoding="utf-8"))
    tests = yaml.safe_load(CONFIGS["in_plane"].read_text(encoding="utf-8"))["volumes"]
    kept = [
        one
        for one in values["volumes"]
        if (one["split"] == "train" and one["subject"].startswith(SETS[name]))
        # Label maps have no image to compare baselines on.
        or (one["split"] == "val" and one.get("content") != "labels")
    ]
    recipe = {**values["recipes"][METHOD], "steps": steps, "synthetic_share": SYNTHETIC.get(name, 0.0)}
    return {
        **values,
        "run": f"data-{name.replace(' ', '-')}",
        "volumes": [*kept, *(_few_slices(one) for one in tests if one["split"] == "test")],
        "recipes": {METHOD: recipe},
        "evaluate": {"regions": ["foreground", "interior"], "metrics": ["psnr", "ssim"]},
        "insertion": {"kinds": []},
    }


def _few_slices(volume: Mapping[str, Any]) -> dict[str, Any]:
    first = volume["slices"][0] if "slices" in volume else SLICES
    kept = {key: value for key, value in volume.items() if key != "tissues"}
    return {**kept, "slices": [first, first + SLICES]}


def gains(name: str, steps: int, cores: int) -> dict[str, Gain]:
    """Run the workflow for a set of training data, unless it has been run, and return the gains by contrast.

    Raises:
        SystemExit: the run failed.
    """
    values = configuration(name, steps)
    run_workflow(values, [], ["--cores", str(cores)])
    measured = groups(Path("results") / values["run"])
    return {group: gain(rows, "interior", "psnr", method=METHOD) for group, rows in measured.items()}


def draw(found: Mapping[str, Mapping[str, Gain]], output: Path) -> None:
    """Write the figure."""
    figure, axes = plt.subplots(figsize=(7.2, 3.8), dpi=120, layout="constrained")
    for index, group in enumerate(SHOWN):
        means = [one[group].mean for one in found.values()]
        places = [place + 0.06 * (index - (len(SHOWN) - 1) / 2) for place in range(len(found))]
        lows = [one[group].mean - one[group].interval[0] for one in found.values()]
        persons = len(next(iter(found.values()))[group].differences)
        label = f"{group} ({persons} {'person' if persons == 1 else 'persons'})"
        axes.errorbar(places, means, yerr=lows, marker="o", linewidth=1, capsize=3, label=label)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(found)), [name.replace(" ", "\n", 1) for name in found])
    axes.set_xlabel("training data")
    axes.set_ylabel("gain over the best baseline (dB)")
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sets, print the table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args(arguments)
    found = {name: gains(name, options.steps, options.cores) for name in SETS}
    names = list(next(iter(found.values())))
    lines = [[name, *(by_contrast[one].text(2) for one in names)] for name, by_contrast in found.items()]
    sys.stdout.write(table(["training data", *names], lines) + "\n")
    if options.output:
        draw(found, options.output)


if __name__ == "__main__":
    main()
