"""Sensitivity and specificity of the consistency gate for manipulated results.

    python -m benchmarks.inserted_cheats --run results/demo --volumes mni152 s1-block
    python -m benchmarks.inserted_cheats --run results/demo --volumes s1-block --slices 8 --noise 0.01 0.05

The gate is applied to the predictions of the networks and of zero-filling, and to the reference. With --noise, slices
in the middle of each volume are degraded and restored again with these noise levels. In each of these valid outputs
lesions are added or removed, the image is shifted by half a voxel, or a gamma is applied. Prints how often the gate
failed for each manipulation, and the largest value relative to its limit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.baselines import zerofill
from pipeline.config.sections import Infer
from pipeline.fidelity.gate.consistency import Check, check_consistency
from pipeline.fidelity.gate.volumes import lesion_windows
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import prediction_path, read_prediction, suffix_of
from pipeline.image.image import Image
from pipeline.inference.restoration import restore
from pipeline.models.device import use_threads
from pipeline.models.weights import load_generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import crop_to
from pipeline.physics.low_resolution import LowResolutionImage

LESIONS = ((2.0, 0.2), (3.0, 0.15), (4.0, 0.1))
"""Diameters, in low-resolution voxels, and contrasts, as fractions of the range, that must be detected."""
SMALL_LESIONS = ((1.0, 0.2), (1.5, 0.2), (2.0, 0.1))
"""Smaller ones, near the detection limit of the gate."""
GAMMAS = (0.9, 1.1)
SHIFT = 0.5
"""Shift in high-resolution voxels, along every downsampled axis."""
REFERENCE, ZEROFILL = "reference", "zerofill"


class Case(NamedTuple):
    """Input of the gate.

    Attributes:
        kind: manipulation, or "valid" for none.
        amount: size of the manipulation, as text.
        restored: the restored image, normalised.
        measured: the low-resolution input.
    """

    kind: str
    amount: str
    restored: NDArray[np.floating]
    measured: NDArray[np.float32]


def ball(shape: tuple[int, ...], centre: NDArray[np.intp], radii: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return an ellipsoid of ones with a rim of one voxel: radii in voxels along each axis."""
    grids = np.ogrid[tuple(slice(size) for size in shape)]
    places = zip(grids, centre, radii, strict=True)
    distance = np.sqrt(sum(((grid - middle) / radius) ** 2 for grid, middle, radius in places))
    return np.clip((1 - distance) * radii.max() + 0.5, 0, 1).astype(np.float32)


def shifted(image: NDArray[np.floating], axis: int) -> NDArray[np.floating]:
    """Return the image shifted by half a voxel along an axis."""
    moves = [SHIFT if one == axis else 0.0 for one in range(image.ndim)]
    return np.asarray(ndimage.shift(image, moves, order=3, mode="nearest"), dtype=np.float32)


def cheats(
    valid: NDArray[np.floating],
    reference: Image,
    measured: NDArray[np.float32],
    model: ForwardModel,
    seed: int,
    lesions: Sequence[tuple[float, float]] = LESIONS,
) -> Iterator[Case]:
    """Manipulate a valid result.

    Args:
        valid: the restored image, of the shape of the reference.
        reference: the volume with its mask "foreground".
        measured: the low-resolution input of the result.
        model: the forward model.
        seed: seed of the positions and signs of the lesions.
        lesions: diameters and contrasts of the lesions.

    Yields:
        Lesions in the result but not in the input, lesions in the input but not in the result, shifts, gammas.
    """
    generator = np.random.default_rng(seed)
    coarse = max(factor * length for factor, length in zip(model.factors, reference.spacing, strict=True))
    for diameter, contrast in lesions:
        radii = diameter / 2 * coarse / np.array(reference.spacing)
        # In a volume of few slices, a lesion may extend beyond the first and last slice.
        inside = _eroded(reference.masks["foreground"], radii)
        for kind in ("invented lesion", "removed lesion"):
            centre = generator.choice(np.argwhere(inside))
            # Dark tissue cannot become much darker, since intensities are not negative.
            dark = reference.data[tuple(centre)] < 2 * contrast
            sign = 1 if dark else generator.choice([-1, 1])
            lesion = sign * contrast * ball(reference.data.shape, centre, radii)
            amount = f"{diameter:g} voxels, {100 * contrast:.0f} %"
            if kind == "invented lesion":
                yield Case(kind, amount, valid + lesion, measured)
            else:
                yield Case(kind, amount, valid, model.simulate(reference.data + lesion))
    for axis, factor in enumerate(model.factors):
        if factor > 1:
            yield Case("shift", f"{SHIFT} voxels", shifted(valid, axis), measured)
    for gamma in GAMMAS:
        yield Case("gamma", f"{gamma}", np.maximum(valid, 0) ** gamma, measured)


def _eroded(mask: NDArray[np.bool_], radii: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the possible centres of a lesion: foreground at least one radius from its edge, within the slices."""
    size = [
        1 if length <= 2 * radius else 2 * int(radius) + 1 for length, radius in zip(mask.shape, radii, strict=True)
    ]
    filled = np.asarray(ndimage.binary_fill_holes(mask), dtype=np.uint8)
    eroded = ndimage.minimum_filter(filled, size, mode="constant").astype(bool)
    return eroded if eroded.any() else mask


def block(image: Image, most: int) -> Image:
    """Return the central slices of a volume."""
    axis = image.slice_axis
    size = image.data.shape[axis]
    chosen = np.arange(max(0, (size - most) // 2), min(size, (size + most) // 2))
    data, mask = (np.take(array, chosen, axis) for array in (image.data, image.masks["foreground"]))
    return image.with_data(data, masks={"foreground": mask})


class ValidResults(NamedTuple):
    """A reference, its low-resolution input with the forward model, and valid results by method."""

    reference: Image
    lr: LowResolutionImage
    model: ForwardModel
    outputs: dict[str, NDArray[np.floating]]


def as_in_the_run(run: Path, volume: str, methods: list[str]) -> ValidResults:
    """Read a volume and its results from a run."""
    reference = read_image(run / f"extracted/{volume}.safetensors")
    lr = read_image(run / f"degraded/{volume}.safetensors", LowResolutionImage)
    paths = {method: prediction_path(run / "predictions", method, volume, suffix_of(lr)) for method in methods}
    outputs = {method: read_prediction(path, reference) for method, path in paths.items()}
    return ValidResults(reference, lr, lr.forward_model, {REFERENCE: reference.data, **outputs})


def anew(run: Path, volume: str, methods: list[str], sigma: float, most: int) -> ValidResults:
    """Degrade the central slices of a volume with another noise level, and restore them."""
    whole = as_in_the_run(run, volume, [])
    reference = block(whole.reference, most)
    model = replace(whole.model, hr_shape=tuple(reference.data.shape), noise_sigma=sigma)
    measured = model.simulate(reference.data)
    lr = whole.lr.with_data(measured, forward_model=model)
    outputs = {REFERENCE: reference.data}
    for method in methods:
        if method == ZEROFILL:
            restored = zerofill.upsample(measured, model, {})
        else:
            restored = restore(load_generator(run / f"models/{method}/generator.safetensors").eval(), lr, Infer())
        outputs[method] = crop_to(restored, reference.data.shape)
    return ValidResults(reference, lr, model, outputs)


def gate_rows(results: ValidResults, volume: str) -> Iterator[dict[str, object]]:
    """Apply the gate to the valid results of a volume and to manipulated ones."""
    reference, lr, model, valid = results
    for seed, (method, restored) in enumerate(valid.items()):
        inserted = cheats(restored, reference, lr.data, model, seed, (*LESIONS, *SMALL_LESIONS))
        for case in (Case("valid", "", restored, lr.data), *inserted):
            checks = check_consistency(case.restored, case.measured, model, lesion_windows(lr))
            yield row(volume, model.noise_sigma, method, case, checks)


def row(volume: str, sigma: float, method: str, case: Case, checks: list[Check]) -> dict[str, object]:
    """Return a row of the table: values of the gates relative to their limits."""
    shares = {check.gate: check.value / check.limit for check in checks}
    caught = any(not check.passed for check in checks)
    known = {"volume": volume, "noise": sigma, "method": method, "kind": case.kind, "amount": case.amount}
    return {**known, "caught": caught, **shares}


def main() -> None:
    """Print the number of detected manipulations, and of valid results that fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run, such as results/demo")
    parser.add_argument("--volumes", nargs="+", required=True, help="volumes of the run")
    methods = [ZEROFILL, "rrdb_l1", "brainsr"]
    parser.add_argument("--methods", nargs="*", default=methods, help="methods of the run")
    parser.add_argument(
        "--noise", type=float, nargs="*", default=[], help="noise levels; by default, the results of the run are used"
    )
    parser.add_argument("--slices", type=int, default=24, help="with --noise: maximum number of slices per volume")
    parser.add_argument("--output", type=Path, help="table of all cases (.csv)")
    arguments = parser.parse_args()
    use_threads(2)
    run, methods = arguments.run, arguments.methods
    rows = []
    for volume in arguments.volumes:
        sources = [anew(run, volume, methods, sigma, arguments.slices) for sigma in arguments.noise]
        for one in sources or [as_in_the_run(run, volume, methods)]:
            rows.extend(gate_rows(one, volume))
    table = pd.DataFrame(rows)
    if arguments.output:
        table.to_csv(arguments.output, index=False)
    gates = ["residual", "local", "shift", "intensity"]
    table["furthest"] = table[gates].max(axis=1)
    groups = table.groupby(["kind", "amount", "noise"])
    counted = groups.agg(
        cases=("caught", "size"), caught=("caught", "sum"), least=("furthest", "min"), most=("furthest", "max")
    )
    sys.stdout.write(f"{counted.round(2).to_string()}\n")


if __name__ == "__main__":
    main()
