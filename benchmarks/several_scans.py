"""Accuracy, cost, motion and gates of the combination of several scans, on heads with a known 1 mm image.

    python -m benchmarks.several_scans --heads ../shared/data/heads-oasis --output FOLDER [--quick]
    python -m benchmarks.several_scans --heads ../shared/data/heads --persons stroke-T1 mne-T1 --output TRAINING
    python -m benchmarks.several_scans --heads ../shared/data/heads-oasis --output FOLDER --calibrate-on TRAINING
    python -m benchmarks.several_scans --heads ../shared/data/heads-oasis --output FOLDER --cheats

Scans are simulated without the acquisition model of the project (`benchmarks.simulated_scans`) and combined as by
`brainsr combine`. The peer is the super-resolution step of NiftyMIC, written from its description
(`benchmarks.tikhonov`). It reconstructs a central block, so all methods are compared there too. Every person and
setting is measured in a process of its own and stored as a JSON file in the output folder; files that exist are not
computed again. The tables are printed in Markdown, with 95 % intervals over persons (Student's t).
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, stats
from tqdm import tqdm

from benchmarks import scan_cheats, tikhonov
from benchmarks.simulated_scans import (
    CHEAT_SETTINGS,
    EDGE,
    QUICK,
    SETTINGS,
    Head,
    Setting,
    central,
    motions,
    read_head,
    seed_of,
    simulate,
)
from pipeline.errors import UserError
from pipeline.fidelity.gate.scans import check_scans
from pipeline.files import read_json, replacing, write_json
from pipeline.image.rigid import Rigid
from pipeline.inference.combine.combine import Combined, combine, mean_of, solved
from pipeline.inference.combine.grid import block_of
from pipeline.inference.combine.reading import read_scans
from pipeline.inference.combine.scan import Scan, common_sigma, measurements
from pipeline.metrics import psnr_3d, ssim_3d
from pipeline.models.device import use_threads
from pipeline.physics.reconstruction import Effort, Penalty, reconstruct

PLAIN_WEIGHT, PLAIN_STEPS = 0.03, 25
"""Plain least squares: weight of the squared differences, and steps of conjugate gradients; without slice weights."""
BLOCK = 80
"""Sides in voxels of the block that the peer reconstructs."""
SAMPLES = 20_000
"""Voxels per person and setting that are stored for the calibration."""
NAMES = {
    "best_bspline": "cubic B-spline, best scan",
    "mean": "mean of B-splines",
    "plain_ls": "plain least squares",
    "least_squares": "least squares",
    "total_variation": "total variation",
    "tikhonov": "Tikhonov as in NiftyMIC",
    "huber": "Huber as in NiftyMIC",
}
WHOLE = tuple(NAMES)[:5]
DIFFERENCES = [
    ("total_variation", "plain_ls"),
    ("total_variation", "least_squares"),
    ("total_variation", "mean"),
    ("least_squares", "mean"),
    ("total_variation", "best_bspline"),
    ("total_variation", "tikhonov"),
    ("total_variation", "huber"),
]
BASELINE = {"moved-estimated": "moved-given"}
"""Settings that are compared with others: what the unknown motion costs."""
LEVELS = (0.5, 0.9)
TUNED = {
    "tikhonov": [(c,) for c in (0.4, 0.8, 1.5, 3, 6)],
    "huber": [(c, gamma) for c in (0.07, 0.15, 0.3) for gamma in (0.02, 0.05, 0.1)],
}

Row = dict[str, Any]
Array = NDArray[np.float32]
logger = logging.getLogger(__name__)


def measure(
    path: Path, name: str, setting: Setting, samples: Path, side: int | None, threads: int, *, peer: bool = True
) -> Row:
    """Simulate, combine and evaluate the scans of one head.

    Args:
        path: file of the head.
        name: name of the setting.
        setting: how the scans are made.
        samples: file for values of the calibration.
        side: see `read_head`.
        threads: threads of PyTorch.
        peer: compute the peer's methods too.
    """
    use_threads(threads)
    head = read_head(path, side)
    true = motions(head, setting, seed_of(head))
    row: Row = {"head": head.name, "person": head.person, "setting": name}
    try:
        found, cost = combined(head, setting, true)
    except UserError as error:
        return {**row, "refused": str(error)}
    errors = [motion_error(head, scan.motion, motion) for scan, motion in zip(found.scans, true, strict=True)]
    gates = scan_cheats.gates_of(check_scans(found))
    left_out = {Path(scan.name).name: np.flatnonzero(scan.slice_weights == 0).tolist() for scan in found.scans}
    write_samples(samples, head, found)
    scores: dict[str, dict[str, dict[str, float]]] = {"head": {}, "block": {}}
    masks = evaluated_regions(head, found)
    for method, volume in estimates(found):
        for region, mask in masks.items():
            scores[region][method] = score(head, found, volume, mask)
    for method, volume in peers(head, found) if peer else ():
        scores["block"][method] = score(head, found, volume, masks["block"])
    for methods in scores.values():
        singles = [methods.pop(one) for one in list(methods) if one.startswith("bspline")]
        methods["best_bspline"] = max(singles, key=lambda one: one["psnr"])
    return {**row, "scores": scores, "motion": errors[1:], "gates": gates, "left_out": left_out, **cost}


def combined(head: Head, setting: Setting, true: Sequence[Rigid]) -> tuple[Combined, dict[str, float]]:
    """Combine the simulated scans of a head, and return also seconds and the peak memory of the process."""
    move = setting.motion == "estimated"
    with tempfile.TemporaryDirectory() as folder:
        sources = simulate(head, setting, Path(folder), seed_of(head))
        before = time.perf_counter()
        scans = read_scans(sources, move=setting.motion != "none")
    read = time.perf_counter()
    if setting.motion == "given":
        scans = tuple(scan.moved(motion) for scan, motion in zip(scans, true, strict=True))
    found = combine(scans, head.seen, move=move)
    after = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found, {"read_s": read - before, "combine_s": after - read, "peak_gib": peak}


def motion_error(head: Head, found: Rigid, true: Rigid) -> dict[str, float]:
    """Return the error of a motion: angle, displacement of the head's centre, and the largest one in the head."""
    error = (found @ true.inverse()).about(true.apply(head.centre))
    places = np.argwhere(head.mask[head.block])[::97] @ head.seen.affine[:3, :3].T + head.seen.affine[:3, 3]
    moved = np.linalg.norm(found.apply(places) - true.apply(places), axis=1)
    return {"degrees": error.angle_degrees, "centre_mm": error.shift_mm, "largest_mm": float(moved.max())}


def evaluated_regions(head: Head, found: Combined) -> dict[str, NDArray[np.bool_]]:
    """Return the masks in which methods are compared: the head, and the part of it in the block of the peer."""
    whole = head.evaluated() & found.scans[0].covers(head.seen)
    block = np.zeros_like(whole)
    inner = tuple(slice(one.start + EDGE, one.stop - EDGE) for one in central(head.mask[head.block], BLOCK))
    block[inner] = whole[inner]
    return {"head": whole, "block": block}


def estimates(found: Combined) -> Iterator[tuple[str, Array]]:
    """Yield the volumes of all methods of the whole head, in units of the first scan."""
    for index, scan in enumerate(found.scans):
        yield f"bspline{index}", scan.interpolated(found.grid)
    yield "mean", found.mean
    yield "plain_ls", plain_least_squares(found)
    yield "least_squares", solved(found.scans, found.grid, found.mean, "least_squares")
    yield "total_variation", found.volume


def plain_least_squares(found: Combined) -> Array:
    """Return least squares with a fixed weight, and equal weights of all slices."""
    scans = [replace(scan, slice_weights=np.ones_like(scan.slice_weights)) for scan in found.scans]
    penalty = Penalty("quadratic", PLAIN_WEIGHT, (1.0, 1.0, 1.0))
    start = torch.from_numpy(found.mean)
    return reconstruct(measurements(scans, found.grid), penalty, start, Effort(1, PLAIN_STEPS)).numpy()


def peers(head: Head, found: Combined) -> Iterator[tuple[str, Array]]:
    """Yield the volumes of the peer's methods in the central block; the mean of the scans elsewhere."""
    part, equations, start = peer_system(head, found.scans)
    sigma = common_sigma(found.scans)
    results: dict[str, Callable[[], Array]] = {
        "tikhonov": lambda: tikhonov.tikhonov(equations, tikhonov.TIKHONOV_WEIGHT * sigma, start),
        "huber": lambda: tikhonov.huber(equations, tikhonov.HUBER_WEIGHT * sigma, tikhonov.HUBER_GAMMA, start),
    }
    for name, compute in results.items():
        volume = found.mean.copy()
        volume[part] = compute()
        yield name, volume


def peer_system(head: Head, scans: Sequence[Scan]) -> tuple[tuple[slice, ...], tikhonov.System, Array]:
    """Return the block of the peer, its equations, and the mean of the scans in it."""
    part = central(head.mask[head.block], BLOCK)
    grid = block_of(head.seen, part)
    return part, tikhonov.system(scans, grid), mean_of(scans, grid)


def score(head: Head, found: Combined, volume: Array, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Return PSNR and SSIM of a volume within a mask."""
    places = np.argwhere(mask)
    kept = tuple(
        slice(max(0, int(low) - EDGE), int(high) + EDGE + 1)
        for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True)
    )
    estimate = np.asarray(found.scans[0].image.intensity.to_physical(volume[kept]), dtype=np.float32)
    given = (head.data[head.block][kept], estimate, mask[kept], head.top, head.grid.spacing)
    return {"psnr": psnr_3d.per_volume(*given), "ssim": ssim_3d.per_volume(*given)}


def write_samples(path: Path, head: Head, found: Combined) -> None:
    """Store noise level, spread and absolute error of some voxels of the head, in units of the intensity range."""
    mask = evaluated_regions(head, found)["head"]
    truth = np.asarray(found.scans[0].image.intensity.normalise(head.data[head.block]))
    places = np.flatnonzero(mask)
    chosen = np.random.default_rng(0).choice(places, min(SAMPLES, places.size), replace=False)
    error = np.abs(found.volume - truth).ravel()[chosen]
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, sigma=common_sigma(found.scans), spread=found.spread.ravel()[chosen], error=error)


def tuned(path: Path, name: str, setting: Setting, side: int | None, threads: int) -> Row:
    """Return the PSNR of the peer's methods in the block for every weight of `TUNED`; transforms are given."""
    use_threads(threads)
    head = read_head(path, side)
    found, _ = combined(head, setting, motions(head, setting, seed_of(head)))
    part, equations, start = peer_system(head, found.scans)
    mask, sigma = evaluated_regions(head, found)["block"], common_sigma(found.scans)
    scores: dict[str, float] = {}
    for method, choices in TUNED.items():
        for weight, *others in choices:
            volume = found.mean.copy()
            volume[part] = getattr(tikhonov, method)(equations, weight * sigma, *others, start)
            scores[f"{method} {' '.join(f'{one:g}' for one in (weight, *others))}"] = score(head, found, volume, mask)[
                "psnr"
            ]
    return {"head": head.name, "person": head.person, "setting": name, "scores": scores}


def interval(values: Mapping[str, float] | Sequence[tuple[str, float]], decimals: int = 2) -> str:
    """Return the mean over persons and its 95 % interval; several heads of one person are averaged first.

    Args:
        values: pairs of person and value.
        decimals: digits.
    """
    by_person: dict[str, list[float]] = {}
    for person, value in values.items() if isinstance(values, Mapping) else values:
        by_person.setdefault(person, []).append(value)
    means = [float(np.mean(one)) for one in by_person.values()]
    if not means:
        return ""
    text = f"{np.mean(means):.{decimals}f}"
    if len(means) < 2:  # noqa: PLR2004
        return text
    half = half_width(means)
    return f"{text} [{np.mean(means) - half:.{decimals}f}, {np.mean(means) + half:.{decimals}f}]"


def half_width(values: Sequence[float]) -> float:
    """Return half of the width of the 95 % interval of a mean (Student's t), of at least two values."""
    return float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(map(str, one)) + " |" for one in (header, ["---"] * len(header), *lines))


def accuracy_tables(rows: Sequence[Row]) -> str:
    """Return the tables of accuracy, differences, motion, cost and gates."""
    done = [row for row in rows if "scores" in row]
    names = [name for name in SETTINGS if any(row["setting"] == name for row in done)]
    parts = [f"{len({row['person'] for row in done})} persons, mean [95 % interval over persons]"]
    for region, methods in (("head", WHOLE), ("block", tuple(NAMES))):
        for metric, decimals in (("psnr", 2), ("ssim", 3)):
            lines = [
                [name, *(interval(_scores(done, name, region, one, metric), decimals) for one in methods)]
                for name in names
            ]
            title = {"psnr": "PSNR (dB)", "ssim": "SSIM"}[metric]
            where = "in the head" if region == "head" else f"in the central block of {BLOCK - 2 * EDGE} voxels"
            parts += [f"\n## {title} {where}\n", table(["setting", *(NAMES[one] for one in methods)], lines)]
    lines = []
    for first, second in DIFFERENCES:
        region = "head" if second in WHOLE else "block"
        cells = [interval(_differences(done, name, region, first, second)) for name in names]
        lines.append([f"{NAMES[first]} - {NAMES[second]} ({region})", *cells])
    parts += ["\n## Differences of PSNR (dB), paired\n", table(["difference", *names], lines)]
    lines = [
        [f"{name} - {other}", method, interval(_between(done, name, other, method))]
        for name, other in BASELINE.items()
        for method in WHOLE
    ]
    parts += ["\n## Cost of unknown motion (dB)\n", table(["settings", "method", "difference of PSNR"], lines)]
    parts += ["\n## Errors of the estimated motion\n", _motion_table(done)]
    lines = [
        [name, *(interval([(row["person"], row[key]) for row in done if row["setting"] == name]) for key in COSTS)]
        for name in names
    ]
    parts += ["\n## Cost\n", table(["setting", *COSTS.values()], lines)]
    lines = [
        [row["head"], row["setting"], ", ".join(_failed(row.get("gates", {}))), _left_out(row), row.get("refused", "")]
        for row in rows
        if "refused" in row or _failed(row["gates"]) or _left_out(row)
    ]
    title = f"\n## False alarms ({len(lines)} of {len(rows)})\n"
    return "\n".join([*parts, title, table(["head", "setting", "gates failed", "slices left out", "refused"], lines)])


COSTS = {"read_s": "reading and registration (s)", "combine_s": "combination (s)", "peak_gib": "peak memory (GiB)"}


def _scores(rows: Sequence[Row], name: str, region: str, method: str, metric: str) -> list[tuple[str, float]]:
    chosen = [row for row in rows if row["setting"] == name and method in row["scores"][region]]
    return [(row["person"], row["scores"][region][method][metric]) for row in chosen]


def _differences(rows: Sequence[Row], name: str, region: str, first: str, second: str) -> list[tuple[str, float]]:
    chosen = [(row["person"], row["scores"][region]) for row in rows if row["setting"] == name]
    both = [(person, scores) for person, scores in chosen if {first, second} <= set(scores)]
    return [(person, scores[first]["psnr"] - scores[second]["psnr"]) for person, scores in both]


def _between(rows: Sequence[Row], name: str, other: str, method: str) -> list[tuple[str, float]]:
    psnr = {(row["head"], row["setting"]): row["scores"]["head"][method]["psnr"] for row in rows}
    chosen = [row for row in rows if row["setting"] == name and (row["head"], other) in psnr]
    return [(row["person"], psnr[row["head"], name] - psnr[row["head"], other]) for row in chosen]


def _motion_table(rows: Sequence[Row]) -> str:
    lines = []
    for name, setting in SETTINGS.items():
        found = [(row["person"], one) for row in rows if row["setting"] == name for one in row["motion"]]
        if setting.motion == "estimated" and found:
            keys = ("degrees", "centre_mm", "largest_mm")
            means = [interval([(person, one[key]) for person, one in found], 3) for key in keys]
            lines.append([name, *means, f"{max(one['largest_mm'] for _, one in found):.3f}"])
    header = ["setting", "rotation (degrees)", "at the centre (mm)", "largest in the head (mm)", "worst scan (mm)"]
    return table(header, lines)


def _failed(gates: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    return [f"{scan} {gate}" for scan, one in gates.items() for gate, (value, limit) in one.items() if value > limit]


def _left_out(row: Row) -> str:
    return ", ".join(f"{scan}: {indices}" for scan, indices in row.get("left_out", {}).items() if indices)


def calibration_table(training: Path, test: Path) -> str:
    """Fit the error to noise level and spread on one folder of samples, and evaluate its intervals on another."""
    known = [np.load(path) for path in sorted(training.glob("*.npz"))]
    sigma, spread, error = (
        np.concatenate([_column(one, key) for one in known]) for key in ("sigma", "spread", "error")
    )
    found = fit(sigma, spread, error)
    ratios = error / predicted_error(found, sigma, spread)
    factors = {level: float(np.quantile(ratios, level)) for level in LEVELS}
    lines = []
    for path in sorted(test.glob("*.npz")):
        one = np.load(path)
        sigma, spread, error = (_column(one, key) for key in ("sigma", "spread", "error"))
        expected = predicted_error(found, sigma, spread)
        shares = [f"{100 * np.mean(error <= factors[level] * expected):.1f} %" for level in LEVELS]
        correlation = float(stats.spearmanr(expected, error)[0])
        lines.append([path.stem, f"{error.mean():.4f}", f"{expected.mean():.4f}", *shares, f"{correlation:.2f}"])
    a, b = found
    words = (
        f"expected |error| = sqrt(({a:.3f} sigma)^2 + ({b:.3f} spread)^2) from {len(known)} training files; "
        + ", ".join(
            f"{100 * level:.0f} % of the errors are below {factor:.2f} times that" for level, factor in factors.items()
        )
    )
    header = [
        "head and setting",
        "mean |error|",
        "expected",
        *(f"within {100 * one:.0f} %" for one in LEVELS),
        "rank correlation",
    ]
    return f"## Calibration of the uncertainty map\n\n{words}\n\n{table(header, lines)}"


def fit(sigma: Array, spread: Array, error: Array) -> tuple[float, float]:
    """Return factors of noise level and spread, by least squares on the mean error in bins of both."""
    edges = np.quantile(spread, np.linspace(0, 1, 21)[1:-1])
    codes = np.digitize(spread, edges) + 100 * np.unique(sigma, return_inverse=True)[1]
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    means = [np.bincount(inverse, one) / counts for one in (sigma**2, spread**2, error)]
    factors = np.array([1.0, 1.0])
    target = means[2]

    def residual(values: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = values
        return np.sqrt(counts) * (np.sqrt(a**2 * means[0] + b**2 * means[1]) - target)

    found = optimize.least_squares(residual, factors, bounds=(0, np.inf)).x
    return float(found[0]), float(found[1])


def predicted_error(factors: tuple[float, float], sigma: Array, spread: Array) -> Array:
    """Return the expected absolute error."""
    return np.sqrt((factors[0] * sigma) ** 2 + (factors[1] * spread) ** 2)


def _column(samples: Mapping[str, Array], key: str) -> Array:
    return np.broadcast_to(samples[key], samples["error"].shape).astype(np.float64)


def tuning_table(rows: Sequence[Row]) -> str:
    """Return the PSNR of the peer's methods for every weight."""
    names = list(dict.fromkeys(row["setting"] for row in rows))
    choices = list(rows[0]["scores"])
    lines = [
        [one, *(interval([(r["person"], r["scores"][one]) for r in rows if r["setting"] == name]) for name in names)]
        for one in choices
    ]
    return "## Weights of the peer, PSNR (dB) in the block\n\n" + table(
        ["method, weight / sigma, gamma", *names], lines
    )


def heads_in(folder: Path, persons: Sequence[str] | None) -> list[Path]:
    """Return the files of the heads, of the given names only if there are any.

    Raises:
        UserError: there is no head, or not that of a given name.
    """
    found = {path.name.split(".")[0].removesuffix("_SS"): path for path in sorted(folder.iterdir())}
    missing = [one for one in persons or () if one not in found]
    if missing or not found:
        raise UserError(f"{folder}: no head {', '.join(missing)}; there are {', '.join(found) or 'none'}.")
    return [found[one] for one in persons] if persons else list(found.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, required=True, help="folder of heads")
    parser.add_argument("--persons", nargs="+", help="names of the heads; all by default")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--settings", nargs="+", choices=[*SETTINGS, *CHEAT_SETTINGS], help="all by default")
    parser.add_argument("--quick", action="store_true", help="only three stacks of 4 mm, with and without motion")
    parser.add_argument("--cheats", action="store_true", help="manipulate results and scans")
    parser.add_argument("--tune", action="store_true", help="try weights of the peer")
    parser.add_argument("--without-peer", action="store_true", help="do not compute the methods of the peer")
    parser.add_argument("--calibrate-on", type=Path, help="folder of results of training persons")
    parser.add_argument("--block", type=int, help="only this many central voxels of each axis are scanned")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    kind = "cheats" if options.cheats else "tuning" if options.tune else "rows"
    choices = CHEAT_SETTINGS if options.cheats else SETTINGS
    names = options.settings or (QUICK if options.quick else tuple(choices))
    folder = options.output / kind
    folder.mkdir(parents=True, exist_ok=True)
    heads = heads_in(options.heads, options.persons)
    tasks = [
        (path, name, folder / f"{path.name.split('.')[0].removesuffix('_SS')}-{name}.json")
        for path in heads
        for name in names
    ]
    bar = tqdm(tasks, disable=None)
    # One process per task, so that its peak memory is its own.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for path, name, target in bar:
            bar.set_description(target.stem)
            if target.is_file():
                continue
            given = (path, name, choices[name])
            last = (options.block, options.threads)
            if options.cheats:
                other = heads[(heads.index(path) + 1) % len(heads)]
                row = pool.submit(scan_cheats.measure, *given, other, *last).result()
            elif options.tune:
                row = pool.submit(tuned, *given, *last).result()
            else:
                row = pool.submit(
                    measure, *given, target.with_suffix(".npz"), *last, peer=not options.without_peer
                ).result()
            write_json(target, row)
    rows = [read_json(target) for *_, target in tasks]
    tables = {"rows": accuracy_tables, "cheats": scan_cheats.tables, "tuning": tuning_table}
    text = tables[kind](rows)
    if options.calibrate_on:
        text += "\n\n" + calibration_table(options.calibrate_on / "rows", folder)
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
