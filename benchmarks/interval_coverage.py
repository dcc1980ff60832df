"""Compare prediction intervals of errors with scaled TTA standard deviations, over the persons of a run.

Both are calibrated on the validation persons, or on those of --calibrate-on, and evaluated on all others, each person
counting once. Columns: mean coverage of 90 % intervals and its range over persons; mean lowest and highest coverage
among ten bins of half-width; mean rank correlation of half-width and absolute error; mean half-width as a fraction of
the normalised range.

    python -m benchmarks.interval_coverage --run results/heads --method rrdb_l1 [--calibrate-on SUBJECT ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.fidelity.error_intervals import ErrorSample, fit_intervals
from pipeline.fidelity.uncertainty import (
    MAX_SAMPLE,
    RestoredFiles,
    rank_correlation,
    read_restored,
    reliability_bins,
    sample_errors,
)
from pipeline.inference.error_map import unscaled_half_width
from pipeline.models.error_intervals import MAP_LEVEL

HEADER = (
    "| half-width | persons: calibration, test | coverage | by half-width | rank correlation | mean half-width |",
    "| --- | --- | --- | --- | --- | --- |",
)
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Row:
    """Coverage of a volume: overall, in the worst and the best bin of half-width; rank correlation; mean half-width."""

    coverage: float
    lowest: float
    highest: float
    correlation: float
    half_width: float


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run")
    parser.add_argument("--method", required=True, help="its delivered method")
    parser.add_argument("--calibrate-on", nargs="+", default=[], help="subjects; by default the validation split")
    options = parser.parse_args()
    calibrated, tested = read(options.run, options.method, options.calibrate_on)
    intervals = fit_intervals(calibrated)
    scale = intervals.scale(MAP_LEVEL)
    new = [scale * unscaled_half_width(intervals, one.features.items()) for one in tested]
    ratios = np.concatenate([one.errors / tta_std(one) for one in calibrated])
    factor = float(np.quantile(ratios, MAP_LEVEL))
    old = [factor * tta_std(one) for one in tested]
    persons = f"{len({one.subject for one in calibrated})}, {len({one.subject for one in tested})}"
    rows = [*HEADER]
    for title, widths in (("TTA standard deviation times a factor", old), ("prediction interval", new)):
        rows.append(f"| {title} | {persons} | {described(tested, widths)} |")
    sys.stdout.write("\n".join(rows) + "\n")


def read(run: Path, method: str, subjects: Sequence[str]) -> tuple[list[ErrorSample], list[ErrorSample]]:
    """Draw voxels of all restored volumes of a run: those for the calibration, and the others."""
    calibrated, tested = [], []
    for path in sorted((run / "uncertainty/tta_std" / method).glob("*/*.safetensors")):
        name = path.stem
        restored = next((run / "restored" / path.parent.name / method).glob(f"{name}.*"))
        files = RestoredFiles(
            run / f"extracted/{name}.safetensors", run / f"degraded/{name}.safetensors", restored, path
        )
        volume = read_restored(files)
        identity = volume.reference.identity
        chosen = identity.subject in subjects if subjects else identity.split == "val"
        if not volume.reference.block.synthetic:
            (calibrated if chosen else tested).append(sample_errors(volume, MAX_SAMPLE))
    return calibrated, tested


def tta_std(sample: ErrorSample) -> Floats:
    """Return the TTA standard deviation of the drawn voxels."""
    return np.exp(sample.features["tta_std"])


def described(samples: Sequence[ErrorSample], widths: Sequence[Floats]) -> str:
    """Return the cells of a row, averaged over the volumes of every person, then over persons."""
    by_person: dict[str, list[Row]] = {}
    for sample, width in zip(samples, widths, strict=True):
        bins = [one.coverage for one in reliability_bins(width, sample.errors)]
        coverage = float(np.mean(sample.errors <= width))
        row = Row(coverage, min(bins), max(bins), rank_correlation(width, sample.errors), float(np.mean(width)))
        by_person.setdefault(sample.subject, []).append(row)

    def over_persons(name: str) -> Floats:
        return np.array([np.mean([getattr(row, name) for row in rows]) for rows in by_person.values()])

    coverage = 100 * over_persons("coverage")
    means = {name: over_persons(name).mean() for name in ("lowest", "highest", "correlation", "half_width")}
    return (
        f"{coverage.mean():.1f} % [{coverage.min():.1f}, {coverage.max():.1f}] | "
        f"{100 * means['lowest']:.0f} to {100 * means['highest']:.0f} % | {means['correlation']:.2f} | "
        f"{means['half_width']:.3f}"
    )


if __name__ == "__main__":
    main()
