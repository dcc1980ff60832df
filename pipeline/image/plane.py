"""Choose the plane of the slices of a volume, and state why."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pipeline.config.planes import PlaneChoice
from pipeline.image.image import PLANE_AXIS, Image, Slicing
from pipeline.image.stack import PLANE, SLICE_AXIS

logger = logging.getLogger(__name__)

THICK = 1.5
"""Minimum ratio of the distance of slices to the voxel size within them for which a volume counts as thick slices."""
ROUNDING = 1e-3
"""Relative deviation of this ratio that headers with 32-bit floats and decimal strings may have."""
MAX_EM_UM = 0.1
"""Maximum voxel side of electron micrographs, in µm. Sections are 30 to 100 nm thick; planes of light microscopes are
farther apart, since they do not resolve such distances."""
NAMES = {axis: name for name, axis in PLANE_AXIS.items()}


def slicing_of(image: Image, choice: PlaneChoice = "auto") -> Slicing:
    """Choose the plane of the slices of an image, and log it.

    A recorded slicing overrides the choice, so that a low-resolution volume is cut as its reference was. Micrographs
    and pictures have no anatomical plane: their slices are those of the file.

    With the choice "auto", slices lie across

    1. the only axis with a single voxel,
    2. the axis whose voxels are at least 1.5 times longer than along both others,
    3. of DICOM series, the axis along which the images are stacked,
    4. the axis from feet to head (axial).

    Args:
        image: in canonical orientation.
        choice: a plane, or "auto".
    """
    if image.slicing is not None:
        return image.slicing
    found = _chosen(image, choice)
    if found.plane in PLANE_AXIS:
        sizes = " x ".join(f"{length:.3g}" for length in image.spacing)
        logger.info("slices: %s, since %s (voxels of %s %s)", found.plane, found.reason, sizes, image.unit)
    return found


def _chosen(image: Image, choice: PlaneChoice) -> Slicing:
    if not image.is_anatomical:
        if choice != "auto":
            logger.warning("the plane %s is ignored: micrographs and pictures have no anatomical planes", choice)
        return Slicing(PLANE, SLICE_AXIS, "micrographs and pictures have the slices of their file")
    if choice != "auto":
        return Slicing(choice, PLANE_AXIS[choice], "this plane was chosen")
    single = [axis for axis, size in enumerate(image.data.shape) if size == 1]
    if len(single) == 1:
        return Slicing(NAMES[single[0]], single[0], "the image has a single slice")
    thick = thick_axis(image.spacing)
    if thick is not None:
        return Slicing(NAMES[thick], thick, f"voxels are at least {THICK:g} times longer across these slices")
    if image.header.format == "dicom" and image.header.orientation is not None:
        stacked = image.header.orientation.axes[2]
        return Slicing(NAMES[stacked], stacked, "the DICOM images are stacked along this axis")
    return Slicing("axial", PLANE_AXIS["axial"], "no axis is much coarser than the others")


def thick_axis(spacing: Sequence[float]) -> int | None:
    """Return the axis whose voxels are at least 1.5 times longer than along both others; None if there is none."""
    ratios = [
        length / max(other for place, other in enumerate(spacing) if place != axis)
        for axis, length in enumerate(spacing)
    ]
    thick = ratios.index(max(ratios))
    return thick if ratios[thick] >= THICK * (1 - ROUNDING) else None


def is_section_stack(image: Image) -> bool:
    """Return whether an image is a stack of sections of electron microscopy, by its voxel size alone.

    Its voxels are at most 100 nm long, and 1.5 times longer across the sections than within them. An image without a
    voxel size is none.

    Args:
        image: canonical image.
    """
    sizes = image.spacing_mm
    if image.is_anatomical or sizes is None or not image.stack.are_neighbours:
        return False
    axis = thick_axis(sizes)
    return axis is not None and image.data.shape[axis] > 1 and max(sizes) <= 1e-3 * MAX_EM_UM * (1 + ROUNDING)
