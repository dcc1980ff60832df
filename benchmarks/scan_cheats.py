"""Manipulated results and scans, which the gates, the slice weights or the registration must detect.

In the result: lesions added, lesions of the scans removed, shifts of half a voxel, gammas. In a scan: a slice replaced
by another one of the same scan or of another head, and a whole scan of another head. See `benchmarks.several_scans`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.inserted_cheats import ball, shifted
from benchmarks.simulated_scans import Head, Setting, motions, read_head, seed_of, simulate, stack
from pipeline.errors import UserError
from pipeline.fidelity.gate.scans import CombinedGates, check_scans
from pipeline.inference.combine.combine import Combined, combine, refined
from pipeline.inference.combine.grid import block_of, working_block
from pipeline.inference.combine.reading import Source, read_scans
from pipeline.inference.combine.scan import Scan
from pipeline.models.device import use_threads

CONTRASTS, DIAMETERS_MM = (0.2, 0.4), (4.0, 6.0)
GAMMAS = (0.8, 1.25)
DISTANCE_SLICES = (3, 7)
"""Distance of the slice that replaces another one of the same scan."""

Row = dict[str, Any]
Gates = dict[str, dict[str, tuple[float, float]]]


def measure(path: Path, name: str, setting: Setting, other: Path, side: int | None, threads: int) -> Row:
    """Combine the scans of a head, and count which manipulations are detected.

    Args:
        path: file of the head.
        name: name of the setting.
        setting: how the scans are made.
        other: file of another head.
        side: see `read_head`.
        threads: threads of PyTorch.
    """
    use_threads(threads)
    head, stranger = read_head(path, side), read_head(other, side)
    generator = np.random.default_rng(seed_of(head, [7]))
    row: Row = {"head": head.name, "person": head.person, "setting": name}
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        sources = simulate(head, setting, Path(first), seed_of(head))
        strange = simulate(stranger, setting, Path(second), seed_of(stranger))
        scans = read_scans(sources)
        found = combine(scans, head.seen)
        honest = {"gates": gates_of(check_scans(found)), "slices": _slices(found.scans)}
        cases = [*_results(head, setting, found, generator)]
        cases += _replaced_slices(head, scans, read_scans(strange[:2]), generator)
        cases += [_whole_scan(head, sources, strange)]
    return {**row, "honest": honest, "cases": cases}


def gates_of(found: CombinedGates) -> Gates:
    """Return value and limit of every gate by scan."""
    return {
        Path(one.scan).name: {check.gate: (float(check.value), float(check.limit)) for check in one.checks}
        for one in found.all
    }


def furthest(gates: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[float, str]:
    """Return the largest value relative to its limit over scans and gates, and the name of the gate."""
    return max((value / limit, gate) for one in gates.values() for gate, (value, limit) in one.items())


def _results(head: Head, setting: Setting, found: Combined, generator: np.random.Generator) -> Iterator[Row]:
    """Yield what the gates find in manipulated results."""
    volume = found.volume
    for kind in ("lesion added", "lesion removed"):
        lesion, words = _lesion(head, volume, generator)
        if kind == "lesion added":
            gates = check_scans(found, volume + lesion)
        else:
            gates = check_scans(_with_lesion(head, setting, found, lesion))
        yield _case(kind, words, gates)
    for axis in range(3):
        yield _case("shift", f"half a voxel, axis {axis}", check_scans(found, np.asarray(shifted(volume, axis))))
    for gamma in GAMMAS:
        yield _case("gamma", f"{gamma}", check_scans(found, np.maximum(volume, 0) ** gamma))


def _case(kind: str, amount: str, gates: CombinedGates) -> Row:
    values = gates_of(gates)
    return {"kind": kind, "amount": amount, "detected": any(one.failed for one in gates.all), "gates": values}


def _lesion(head: Head, volume: NDArray[np.float32], generator: np.random.Generator) -> tuple[NDArray[np.float32], str]:
    """Return a lesion on the grid of the volume, in units of its range, and its size as text."""
    contrast, diameter = generator.uniform(*CONTRASTS), generator.uniform(*DIAMETERS_MM)
    radii = diameter / 2 / np.array(head.grid.spacing)
    inside = ndimage.binary_erosion(head.evaluated(), iterations=int(np.ceil(radii.max())) + 1)
    centre = generator.choice(np.argwhere(inside))
    sign = 1 if volume[tuple(centre)] < 2 * contrast else generator.choice([-1, 1])
    return sign * contrast * ball(volume.shape, centre, radii), f"{sign * contrast:+.2f}, {diameter:.1f} mm"


def _with_lesion(head: Head, setting: Setting, found: Combined, lesion: NDArray[np.float32]) -> Combined:
    """Return scans that contain a lesion, with a volume that does not."""
    whole = np.zeros(head.data.shape, np.float32)
    whole[head.block] = lesion
    scans = []
    true = motions(head, setting, seed_of(head))
    for scan, plane, motion in zip(found.scans, setting.planes, true, strict=True):
        seen, _ = stack(whole, head, setting, plane, motion)
        scans.append(replace(scan, image=scan.image.with_data(scan.image.data + scan.gain * seen)))
    return replace(found, scans=tuple(scans))


def _replaced_slices(
    head: Head, scans: Sequence[Scan], strange: Sequence[Scan], generator: np.random.Generator
) -> list[Row]:
    """Replace one slice of the first scan by another one of it, one of the second scan by one of another head."""
    first, own, step = _replaced(scans[0], scans[0], generator)
    second, foreign, _ = _replaced(scans[1], strange[1], generator)
    block = working_block(head.seen, scans)
    found = refined([first, second, *scans[2:]], block_of(head.seen, block), move=True)
    weights = (found[0].slice_weights, found[1].slice_weights)
    others = (
        sum(int(np.sum(scan.slice_weights == 0)) for scan in found)
        - (weights[0][own] == 0)
        - (weights[1][foreign] == 0)
    )
    cases = (
        ("slice of the same scan", f"{step} slices away", float(weights[0][own])),
        ("slice of another head", "", float(weights[1][foreign])),
    )
    return [
        {"kind": kind, "amount": amount, "detected": weight == 0, "weight": weight, "others": int(others)}
        for kind, amount, weight in cases
    ]


def _replaced(scan: Scan, source: Scan, generator: np.random.Generator) -> tuple[Scan, int, int]:
    """Replace a slice in the middle of the head; return the scan, the slice, and the distance of its replacement."""
    axis = scan.image.slice_axis
    data, inserted = (np.moveaxis(one.image.data, axis, 0) for one in (scan, source))
    filled = np.flatnonzero(scan.image.masks["foreground"].any(axis=tuple(one for one in range(3) if one != axis)))
    low, high = np.quantile(filled, [0.25, 0.75])
    index = int(generator.integers(round(low), round(high) + 1))
    step = int(generator.integers(*DISTANCE_SLICES)) * int(generator.choice([-1, 1]))
    chosen = index + step if source is scan else round(index * len(inserted) / len(data))
    result = data.copy()
    result[index] = _fitted(inserted[int(np.clip(chosen, 0, len(inserted) - 1))], result[index].shape)
    image = scan.image.with_data(np.ascontiguousarray(np.moveaxis(result, 0, axis)))
    return replace(scan, image=image), index, step


def _fitted(section: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a slice cut or padded around its centre to a shape."""
    for axis, size in enumerate(shape):
        missing = max(0, size - section.shape[axis])
        section = np.pad(
            section, [(missing // 2, missing - missing // 2) if one == axis else (0, 0) for one in range(2)]
        )
        start = (section.shape[axis] - size) // 2
        section = np.take(section, range(start, start + size), axis)
    return section


def _whole_scan(head: Head, sources: Sequence[Source], strange: Sequence[Source]) -> Row:
    """Replace the last scan by one of another head."""
    case: Row = {"kind": "scan of another head", "amount": ""}
    try:
        scans = read_scans([*sources[:-1], strange[-1]])
    except UserError as error:
        return {**case, "detected": True, "how": str(error).replace(f"{strange[-1].path.parent}/", "")}
    found = combine(scans, head.seen)
    gates = check_scans(found)
    left_out = float(np.mean(found.scans[-1].slice_weights == 0))
    return {**_case(case["kind"], "", gates), "left_out": left_out}


def _slices(scans: Sequence[Scan]) -> dict[str, list[int]]:
    return {Path(scan.name).name: np.flatnonzero(scan.slice_weights == 0).tolist() for scan in scans}


def tables(rows: Sequence[Row]) -> str:
    """Return the numbers of detected manipulations and of false alarms."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        for case in row["cases"]:
            kinds.setdefault(case["kind"], []).append(case)
    lines = []
    for kind, cases in kinds.items():
        values = [furthest(one["gates"])[0] if "gates" in one else 1 - one.get("weight", 0) for one in cases]
        missed = ", ".join(one["amount"] for one in cases if not one["detected"])
        lines.append(
            f"| {kind} | {sum(one['detected'] for one in cases)} of {len(cases)} | {min(values):.2f} | {missed} |"
        )
    alarms = [row for row in rows if furthest(row["honest"]["gates"])[0] > 1 or any(row["honest"]["slices"].values())]
    highest: dict[str, float] = {}
    for row in rows:
        for one in row["honest"]["gates"].values():
            for gate, (value, limit) in one.items():
                highest[gate] = max(highest.get(gate, 0.0), value / limit)
    parts = [
        "## Manipulations\n",
        "| kind | detected | least value / limit | missed |",
        "| --- | --- | --- | --- |",
        *lines,
    ]
    parts += [f"\n## False alarms: {len(alarms)} of {len(rows)} honest results\n"]
    parts += ["Highest value / limit: " + ", ".join(f"{gate} {value:.2f}" for gate, value in highest.items()) + "\n"]
    for row in alarms:
        failed = {
            f"{scan} {gate}": f"{value:.3g} > {limit:.3g}"
            for scan, one in row["honest"]["gates"].items()
            for gate, (value, limit) in one.items()
            if value > limit
        }
        parts.append(f"- {row['head']}, {row['setting']}: gates {failed or 'passed'}, slices {row['honest']['slices']}")
    return "\n".join(parts)
