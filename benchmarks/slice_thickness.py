"""Slice thickness estimated from simulated stacks whose thickness is known.

Isotropic heads are cut into slices along all three axes with the project's forward model: a slice profile, sampling at
the slice spacing, and Rician noise. Prints the estimate divided by the true full width at half maximum, with 95 %
bootstrap intervals over persons, by spacing, thickness and noise, and by axis. For profiles that are not Gaussian, the
estimate is the width of a Gaussian with a similar effect, and the ratio is not 1.

The simulated slices are a little thicker than the profile, by the grid of the head: weights are integrals over voxels,
and with an even number of voxels per slice, the centre of a slice lies between two voxels, whose mean is taken. The
true width includes both.

  python -m benchmarks.slice_thickness --heads ../shared/data/heads-oasis --same 1004_SS,1024_SS 1019_SS,1039_SS
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from pipeline.config.sections import Extract
from pipeline.formats import format_of
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.physics.forward import ForwardModel
from pipeline.physics.operators import decimation, slice_profile
from pipeline.physics.slice_thickness import FWHM_PER_SIGMA, estimate_thickness

MARGIN = 8
"""Voxels of background that are kept around the head."""
RESAMPLES = 2000
TOLERANCE = 0.15
AXES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Stack:
    """Settings of a simulated stack.

    Attributes:
        axis: axis across the slices.
        spacing_mm: wanted slice spacing, rounded to voxels.
        share: slice thickness divided by the spacing.
        noise: standard deviation of the noise as a fraction of the intensity range.
        profile: shape of the slice profile.
    """

    axis: int
    spacing_mm: float
    share: float
    noise: float
    profile: str


def cropped(image: Image) -> Image:
    """Return the part of an image around its foreground."""
    box = ndimage.find_objects(image.masks["foreground"].astype(np.uint8))[0]
    wide = tuple(slice(max(0, one.start - MARGIN), one.stop + MARGIN) for one in box)
    return image.with_data(image.data[wide], masks={})


def width_in_effect(thickness: float, size: float, factor: int) -> float:
    """Return the full width at half maximum of a Gaussian with the variance of the sampled profile, in mm.

    Args:
        thickness: full width at half maximum of the profile, in mm.
        size: voxel size of the head across the slices, in mm.
        factor: voxels per slice.
    """
    variance = size**2 * (1 / 12 + (0 if factor % 2 else 1 / 4))
    return math.sqrt(thickness**2 + FWHM_PER_SIGMA**2 * variance)


def ratio(image: Image, stack: Stack) -> tuple[float, bool]:
    """Return the estimated thickness divided by the true one, and whether the estimate is reliable."""
    sizes = image.spacing
    factors = tuple(round(stack.spacing_mm / size) if axis == stack.axis else 1 for axis, size in enumerate(sizes))
    coarse = tuple(size * factor for size, factor in zip(sizes, factors, strict=True))
    thickness = stack.share * coarse[stack.axis]
    operators = (
        slice_profile.Parameters.model_validate({"profile": stack.profile, "thickness_mm": thickness}),
        decimation.Parameters(),
    )
    model = ForwardModel(
        factors,
        image.data.shape,
        noise="rician",
        noise_sigma=stack.noise,
        seed=1,
        operators=operators,
        slice_axis=stack.axis,
        spacing_mm=sizes,
    )
    low = model.simulate(image.data)
    found = estimate_thickness(low, foreground_mask(low), coarse, stack.axis)
    true = width_in_effect(thickness, sizes[stack.axis], factors[stack.axis])
    return found.fwhm_mm / true, found.is_reliable


def measured(paths: Sequence[Path], persons: dict[str, str], stacks: Sequence[Stack]) -> pd.DataFrame:
    """Return a table with a row for every simulated stack."""
    rows = []
    with tqdm(total=len(paths) * len(stacks), unit="stack") as progress:
        for path in paths:
            name = path.name.partition(".")[0]
            image = cropped(normalise(format_of(path).read(path), Extract()))
            for stack in stacks:
                found, reliable = ratio(image, stack)
                rows.append({**vars(stack), "person": persons.get(name, name), "ratio": found, "reliable": reliable})
                progress.update()
    return pd.DataFrame(rows)


def interval(table: pd.DataFrame) -> tuple[float, float]:
    """Return the bootstrap interval of the mean ratio over persons."""
    means = np.array([part["ratio"].mean() for _, part in table.groupby("person")])
    draws = np.random.default_rng(0).choice(means, (RESAMPLES, len(means))).mean(axis=1)
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return float(low), float(high)


def lines(table: pd.DataFrame, keys: list[str]) -> Iterator[str]:
    """Yield the lines of a table in Markdown, one row for every combination of the keys."""
    yield f"| {' | '.join(keys)} | mean ratio | 95 % interval over persons | SD | within 15 % | reliable |"
    yield f"|{' ---: |' * (len(keys) + 5)}"
    for group, part in table.groupby(keys):
        values = cast(tuple[float, ...], group)
        low, high = interval(part)
        near = (np.abs(part["ratio"] - 1) <= TOLERANCE).mean()
        cells = [
            AXES[int(value)] if key == "axis" else f"{value:g}" if isinstance(value, float) else str(value)
            for key, value in zip(keys, values, strict=True)
        ]
        yield (
            f"| {' | '.join(cells)} | {part['ratio'].mean():.3f} | {low:.3f} to {high:.3f} | {part['ratio'].std():.3f} "
            f"| {100 * near:.0f} % | {100 * part['reliable'].mean():.0f} % |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, required=True, metavar="FOLDER", help="folder of isotropic heads")
    parser.add_argument("--pattern", default="*", help="names of the files")
    parser.add_argument("--spacings", type=float, nargs="+", default=[3, 4, 5, 6], metavar="MM")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.9, 1, 1.2], help="thickness divided by spacing")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.02, 0.05], help="fraction of the range")
    parser.add_argument("--profile", default="gaussian", choices=["gaussian", "rect", "windowed_sinc"])
    parser.add_argument("--same", nargs="*", default=[], metavar="A,B", help="scans of one person, by file name")
    options = parser.parse_args(arguments)
    persons = {name: group for group in options.same for name in group.split(",")}
    combined = itertools.product(range(3), options.spacings, options.shares, options.noise)
    stacks = [Stack(axis, spacing, share, noise, options.profile) for axis, spacing, share, noise in combined]
    table = measured(sorted(options.heads.glob(options.pattern)), persons, stacks)
    for keys in (["spacing_mm", "share", "noise"], ["spacing_mm", "axis"], ["axis"], ["noise"], ["share"], ["person"]):
        print("\n".join(lines(table, keys)), end="\n\n")  # noqa: T201
    print("\n".join(lines(table, ["profile"])))  # noqa: T201


if __name__ == "__main__":
    main()
