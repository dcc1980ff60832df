"""Scans of a head in thick slices, simulated without the acquisition model of the project.

The head is moved by cubic splines, blurred along the slice axis by a Gaussian profile, sampled at the slice centres by
cubic splines, multiplied by a gain, and gets Rician noise; all by SciPy on the voxel grid of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_to_output
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.image.foreground import foreground_mask
from pipeline.image.rigid import IDENTITY, Rigid
from pipeline.inference.combine.grid import block_of
from pipeline.inference.combine.reading import Source
from pipeline.physics.scan_operator import Grid

MARGIN_MM = 10
"""Margin of the field of view around the head."""
STRIPPED = 0.6
"""Fraction of zeros above which a head is one without background, so that its mask is where it is not zero."""
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
GAINS = (1.0, 1.3, 0.8)
"""Factor of the intensities of each scan."""
AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
THREE = ("axial", "coronal", "sagittal")
EDGE = 8
"""Voxels at the edges of a block that are not evaluated."""
SAME_PERSON = {"1024": "1004", "1039": "1019"}
"""Second scans of persons."""


@dataclass(frozen=True)
class Setting:
    """How the scans are made, and what is known of them.

    Attributes:
        planes: plane of the slices of each scan.
        thickness_mm: full width at half maximum of the slice profile.
        spacing_mm: distance of the slices.
        sigma: noise level as a fraction of the 99.9th percentile of the head.
        degrees: angle of the rotation of each scan but the first is uniform up to this, in any direction.
        shift_mm: length of the translation, likewise.
        motion: "none": the positions in the files are trusted; "estimated"; or "given": the true ones are used.
    """

    planes: tuple[str, ...] = THREE
    thickness_mm: float = 4.0
    spacing_mm: float = 4.0
    sigma: float = 0.02
    degrees: float = 0.0
    shift_mm: float = 0.0
    motion: str = "none"


MOVING = {"degrees": 5.0, "shift_mm": 4.0}
SETTINGS = {
    "three-4mm": Setting(),
    "moved-estimated": Setting(**MOVING, motion="estimated"),
    "moved-given": Setting(**MOVING, motion="given"),
    "two-4mm": Setting(("axial", "sagittal")),
    "three-3mm": Setting(thickness_mm=3, spacing_mm=3),
    "three-6mm": Setting(thickness_mm=6, spacing_mm=6),
    "gap-10%": Setting(spacing_mm=4.4),
    "noise-1%": Setting(sigma=0.01),
    "noise-5%": Setting(sigma=0.05),
}
QUICK = ("three-4mm", "moved-estimated", "moved-given")
CHEAT_SETTINGS = {
    "moved-4mm": SETTINGS["moved-estimated"],
    "moved-5%": Setting(**MOVING, motion="estimated", sigma=0.05),
    "moved-3mm": Setting(**MOVING, motion="estimated", thickness_mm=3, spacing_mm=3),
    "moved-gap": Setting(**MOVING, motion="estimated", spacing_mm=4.4),
}


@dataclass(frozen=True)
class Head:
    """A head with isotropic voxels of about 1 mm.

    Attributes:
        name: name of the file.
        person: the same for two scans of one person.
        data: intensities, shape (x, y, z), with a margin around the head.
        mask: voxels of the head, same shape.
        grid: grid of `data`.
        block: part that is in the field of view of the scans.
    """

    name: str
    person: str
    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    grid: Grid
    block: tuple[slice, ...]

    @property
    def top(self) -> float:
        """Intensity range: the 99.9th percentile of the head."""
        return float(np.percentile(self.data[self.mask], 99.9))

    @property
    def seen(self) -> Grid:
        """Grid of the block."""
        return block_of(self.grid, self.block)

    @property
    def centre(self) -> NDArray[np.float64]:
        """Centre of the head in the block, in mm."""
        return (self.seen.affine @ [*ndimage.center_of_mass(self.mask[self.block]), 1])[:3]

    def evaluated(self) -> NDArray[np.bool_]:
        """Return the voxels of the block in the head, without those at the edges of a block within the head."""
        mask = self.mask[self.block].copy()
        for axis, (part, size) in enumerate(zip(self.block, self.data.shape, strict=True)):
            if (part.start, part.stop) != (0, size):
                for edge in (slice(0, EDGE), slice(mask.shape[axis] - EDGE, None)):
                    mask[tuple(edge if other == axis else slice(None) for other in range(3))] = False
        return mask


def read_head(path: Path, block: int | None = None) -> Head:
    """Read a head in canonical orientation, cut to the head and a margin.

    Args:
        path: file that nibabel reads.
        block: sides in voxels of the central block that the scans show; None for the whole head.
    """
    image = nib.as_closest_canonical(nib.load(path))
    if np.abs(np.array(image.header.get_zooms()[:3]) - 1).max() > 0.01:  # noqa: PLR2004
        image = nib.as_closest_canonical(resample_to_output(image, 1.0, order=3))
    data = np.maximum(image.get_fdata(dtype=np.float32), 0)
    mask = data > 0 if np.mean(data == 0) > STRIPPED else ndimage.binary_fill_holes(foreground_mask(data))
    places = np.argwhere(mask)
    low = np.maximum(places.min(axis=0) - MARGIN_MM, 0)
    high = np.minimum(places.max(axis=0) + 1 + MARGIN_MM, data.shape)
    kept = tuple(slice(int(one), int(other)) for one, other in zip(low, high, strict=True))
    grid = block_of(Grid(data.shape, image.affine), kept)
    data, mask = np.ascontiguousarray(data[kept]), np.ascontiguousarray(mask[kept])
    name = path.name.split(".")[0].removesuffix("_SS")
    return Head(name, SAME_PERSON.get(name, name), data, mask, grid, central(mask, block))


def central(mask: NDArray[np.bool_], side: int | None) -> tuple[slice, ...]:
    """Return the central block of the head, or all of it."""
    if side is None:
        return tuple(slice(0, size) for size in mask.shape)
    centre = ndimage.center_of_mass(mask)
    starts = [
        int(np.clip(round(middle) - side // 2, 0, max(0, size - side)))
        for middle, size in zip(centre, mask.shape, strict=True)
    ]
    return tuple(slice(start, min(size, start + side)) for start, size in zip(starts, mask.shape, strict=True))


def motions(head: Head, setting: Setting, seed: int) -> list[Rigid]:
    """Draw the position of the head in each scan, relative to the first: see `Setting`."""
    generator = np.random.default_rng(seed)
    found = [IDENTITY]
    for _ in setting.planes[1:]:
        directions = generator.normal(size=(2, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        sizes = generator.uniform(0, [setting.degrees, setting.shift_mm])
        found.append(Rigid.from_vector((directions * sizes[:, None]).ravel(), head.centre))
    return found


def stack(
    data: NDArray[np.float32], head: Head, setting: Setting, plane: str, motion: Rigid
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a scan without noise, and its affine.

    Args:
        data: the head, or something in it, on the grid of the head.
        head: grid and field of view.
        setting: thickness and distance of the slices.
        plane: plane of the slices.
        motion: position of the head in the scan.
    """
    axis = AXES[plane]
    moved = data
    if motion != IDENTITY:
        matrix = np.linalg.inv(head.grid.affine) @ np.linalg.inv(motion.matrix()) @ head.grid.affine
        moved = ndimage.affine_transform(data, matrix, order=3)
    width = setting.thickness_mm / FWHM_PER_SIGMA / head.grid.spacing[axis]
    moved = ndimage.gaussian_filter1d(moved, width, axis=axis)[head.block]
    step = setting.spacing_mm / head.grid.spacing[axis]
    scale, offset = np.ones(3), np.zeros(3)
    scale[axis], offset[axis] = step, (step - 1) / 2
    shape = tuple(int(size / step) if other == axis else size for other, size in enumerate(moved.shape))
    affine = head.seen.affine @ np.diag([*scale, 1.0])
    affine[:3, 3] = head.seen.affine[:3] @ [*offset, 1.0]
    return ndimage.affine_transform(moved, scale, offset, shape, order=3, mode="nearest"), affine


def simulate(head: Head, setting: Setting, folder: Path, seed: int) -> list[Source]:
    """Write the scans of a head as NIfTI files; the positions are those of `motions` with the same seed."""
    generator = np.random.default_rng([seed, 1])
    top, sources = head.top, []
    positions = motions(head, setting, seed)
    for index, (plane, motion) in enumerate(zip(setting.planes, positions, strict=True)):
        clean, affine = stack(head.data, head, setting, plane, motion)
        real, imaginary = (setting.sigma * top * generator.normal(size=clean.shape) for _ in range(2))
        path = folder / f"{head.name}-{index}-{plane}.nii.gz"
        noisy = (GAINS[index] * np.hypot(clean + real, imaginary)).astype(np.float32)
        nib.save(nib.Nifti1Image(noisy, affine), path)
        sources.append(Source(path, setting.thickness_mm))
    return sources


def seed_of(head: Head, extra: Sequence[int] = ()) -> int:
    """Return the seed of a head: settings of one head share their motions and noise."""
    return int(np.random.SeedSequence([*head.name.encode(), *extra]).generate_state(1)[0])
