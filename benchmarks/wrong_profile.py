"""What a wrong slice thickness costs: reconstructions that assume another slice profile than that of the scans.

A central block of each head is scanned in one axial stack, and in three orthogonal ones, without motion
(`benchmarks.simulated_scans`), and reconstructed by total variation with several assumed thicknesses. Prints the PSNR
in the head with the true thickness, and the difference of the PSNR for each assumed one, as means over persons.

  python -m benchmarks.wrong_profile --heads ../shared/data/heads-oasis --persons 1000 1006 1010
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.simulated_scans import AXES, THREE, Head, Setting, read_head, seed_of, stack
from pipeline.image.image import Image, Slicing
from pipeline.image.rigid import IDENTITY
from pipeline.image.slice_profile import SliceProfile
from pipeline.inference.combine.combine import mean_of, solved
from pipeline.inference.combine.scan import Scan
from pipeline.metrics import psnr_3d
from pipeline.models.device import use_threads

BLOCK = 80
"""Sides of the block in voxels."""
SPACING_MM = 4.0
TRUE_MM = (3.0, 4.0, 5.0)
ASSUMED_MM = (2.4, 3.0, 3.5, 4.0, 5.0, 6.0)
PLANES = {"one stack": ("axial",), "three stacks": THREE}


def scans_of(head: Head, setting: Setting) -> list[Scan]:
    """Return the scans of a head, with Rician noise and their true thickness; the intensity range is 1."""
    generator = np.random.default_rng(seed_of(head))
    scans = []
    for plane in setting.planes:
        clean, affine = stack(head.data / head.top, head, setting, plane, IDENTITY)
        real, imaginary = setting.sigma * generator.normal(size=(2, *clean.shape))
        noisy = np.hypot(clean + real, imaginary).astype(np.float32)
        masks = {"foreground": noisy > 3 * setting.sigma}
        image = Image(noisy, affine, masks=masks, slicing=Slicing(plane, AXES[plane]))
        scans.append(Scan(plane, image, SliceProfile(setting.thickness_mm), setting.sigma))
    return scans


def score(head: Head, scans: Sequence[Scan], assumed_mm: float) -> float:
    """Return the PSNR in the head, in dB, of total variation with an assumed slice thickness."""
    assumed = [replace(scan, profile=SliceProfile(assumed_mm)) for scan in scans]
    volume = solved(assumed, head.seen, mean_of(assumed, head.seen), "total_variation")
    reference = head.data[head.block] / head.top
    return psnr_3d.per_volume(reference, volume, head.evaluated(), 1.0, head.grid.spacing)


def measured(paths: Sequence[Path]) -> dict[tuple[str, float, float], list[float]]:
    """Return the PSNR of every person by the name of the stacks, true and assumed thickness."""
    found: dict[tuple[str, float, float], list[float]] = {}
    with tqdm(total=len(paths) * len(PLANES) * len(TRUE_MM) * len(ASSUMED_MM), unit="volume") as bar:
        for path in paths:
            head = read_head(path, BLOCK)
            for name, planes in PLANES.items():
                for true_mm in TRUE_MM:
                    scans = scans_of(head, Setting(planes, true_mm, SPACING_MM))
                    for assumed_mm in ASSUMED_MM:
                        found.setdefault((name, true_mm, assumed_mm), []).append(score(head, scans, assumed_mm))
                        bar.update()
    return found


def lines(found: dict[tuple[str, float, float], list[float]]) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield f"| scans | true FWHM | PSNR (dB) | {' | '.join(f'assumed {one:g} mm' for one in ASSUMED_MM)} |"
    yield "| --- " * 2 + "| ---: " * (1 + len(ASSUMED_MM)) + "|"
    for name in PLANES:
        for true_mm in TRUE_MM:
            best = np.mean(found[name, true_mm, true_mm])
            costs = [np.mean(found[name, true_mm, assumed_mm]) - best for assumed_mm in ASSUMED_MM]
            cells = " | ".join("true" if abs(cost) == 0 else f"{cost:+.2f}" for cost in costs)
            yield f"| {name} | {true_mm:g} mm | {best:.2f} | {cells} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, required=True, metavar="FOLDER", help="folder of isotropic heads")
    parser.add_argument("--persons", nargs="+", required=True, metavar="NAME", help="starts of the names of the files")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    options = parser.parse_args(arguments)
    use_threads(options.threads)
    paths = [path for name in options.persons for path in sorted(options.heads.glob(f"{name}*"))]
    print("\n".join(lines(measured(paths))))  # noqa: T201


if __name__ == "__main__":
    main()
