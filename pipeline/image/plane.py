"""Choose the plane of the slices of a volume, and says why."""

from __future__ import annotations

import logging
from typing import NamedTuple

from pipeline.config.sections import PlaneChoice
from pipeline.image.image import PLANE_AXIS, Image
from pipeline.image.stack import PLANE, SLICE_AXIS

logger = logging.getLogger(__name__)

THICK = 1.5
"""Minimum ratio of the distance of slices to the voxel size within them for which a volume counts as thick slices."""
ROUNDING = 1e-3
"""Relative deviation of this ratio that headers with 32-bit floats and decimal strings may have."""
NAMES = {axis: name for name, axis in PLANE_AXIS.items()}


class Slicing(NamedTuple):
    """How the slices of an image lie.

    Attributes:
        plane: axial, coronal or sagittal; "picture" for micrographs and pictures.
        axis: along which the slices follow each other.
        reason: why, as the end of a sentence.
    """

    plane: str
    axis: int
    reason: str


def slicing_of(image: Image, choice: PlaneChoice = "auto") -> Slicing:
    """Return how the slices of an image lie, and logs it.

    A slicing that is recorded in the facts of the image holds whatever the choice, so that a low-resolution volume is
    cut as its reference was. Micrographs and pictures have no anatomical plane: their slices are those of the file.

    With the choice "auto", slices lie across

    1. the only axis with a single voxel,
    2. the axis whose voxels are at least 1.5 times longer than along both others,
    3. of DICOM series, the axis along which the images are stacked,
    4. the axis from feet to head (axial).

    Args:
        image: in canonical orientation.
        choice: a plane, or "auto".
    """
    if "plane_reason" in image.facts:
        return Slicing(image.facts["plane"], image.facts["slice_axis"], image.facts["plane_reason"])
    found = _recorded(image, choice) or _chosen(image, choice)
    if found.plane in PLANE_AXIS:
        sizes = " x ".join(f"{length:.3g}" for length in image.spacing)
        logger.info("slices: %s, since %s (voxels of %s %s)", found.plane, found.reason, sizes, image.unit)
    return found


def _recorded(image: Image, choice: PlaneChoice) -> Slicing | None:
    if "slice_axis" not in image.facts or "plane" not in image.facts:
        return None
    found = Slicing(image.facts["plane"], image.facts["slice_axis"], "the volume was made so by a run")
    if choice not in ("auto", found.plane):
        logger.warning("slices are %s, not %s: the volume was made so by a run", found.plane, choice)
    return found


def _chosen(image: Image, choice: PlaneChoice) -> Slicing:
    if not image.is_anatomical:
        if choice != "auto":
            logger.warning("the plane %s is ignored: micrographs and pictures have no anatomical planes", choice)
        return Slicing(PLANE, SLICE_AXIS, "micrographs and pictures have the slices of their file")
    if choice != "auto":
        return Slicing(choice, PLANE_AXIS[choice], "this plane was asked for")
    single = [axis for axis, size in enumerate(image.data.shape) if size == 1]
    if len(single) == 1:
        return Slicing(NAMES[single[0]], single[0], "the image has one slice alone")
    ratios = [
        length / max(other for place, other in enumerate(image.spacing) if place != axis)
        for axis, length in enumerate(image.spacing)
    ]
    thick = ratios.index(max(ratios))
    if ratios[thick] >= THICK * (1 - ROUNDING):
        return Slicing(NAMES[thick], thick, f"voxels are at least {THICK:g} times longer across these slices")
    if image.origin.get("format") == "dicom":
        stacked = int(image.origin["orientation"]["axes"][2])
        return Slicing(NAMES[stacked], stacked, "the DICOM images are stacked so")
    return Slicing("axial", PLANE_AXIS["axial"], "no axis is much coarser than the others")
