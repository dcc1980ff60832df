"""Slice thickness in the BIDS sidecar of an image: the keys SliceThickness and SpacingBetweenSlices, in millimetres.

Only a JSON file with the name of the image is read; dcm2niix and BIDS converters write one beside each NIfTI file.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.config.bids.sidecars import read_sidecars
from pipeline.errors import UserError
from pipeline.image.image import Image
from pipeline.image.lengths import lengths_in_words
from pipeline.image.plane import thick_axis
from pipeline.image.slice_profile import MAX_THICKNESS_MM, SliceProfile

logger = logging.getLogger(__name__)

THICKNESS, SPACING = "SliceThickness", "SpacingBetweenSlices"
SPACING_TOLERANCE = 0.05
"""Maximum relative difference between SpacingBetweenSlices and the header of the image."""
PLAUSIBLE_RATIO = (0.4, 2.1)
"""Plausible range of thickness divided by spacing: from wide gaps to slices interpolated by a factor of 2."""
FILE_AXIS = 2
"""Axis of the file along which converters stack the slices."""


def sidecar_beside(path: Path) -> Path:
    """Return the path of the sidecar of a NIfTI file, which need not exist: scan.nii.gz has scan.json."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return path.with_name(name).with_suffix(".json")


def with_sidecar(image: Image, sidecar: Path) -> Image:
    """Return an image with the slice profile of a sidecar; unchanged if the sidecar does not state the thickness.

    Raises:
        UserError: the sidecar cannot be read, or a length in it is no plausible number.
    """
    values = read_sidecars([str(sidecar)])
    thickness = _length(sidecar, values, THICKNESS)
    spacing = _length(sidecar, values, SPACING)
    sizes, orientation = image.spacing_mm, image.header.orientation
    if thickness is None or sizes is None or orientation is None:
        return image
    thick = thick_axis(image.spacing)
    axis = orientation.axes[FILE_AXIS] if thick is None else thick
    actual = sizes[axis]
    if spacing is not None and abs(spacing - actual) > SPACING_TOLERANCE * actual:
        logger.warning(
            "%s: %s is %s, but the slices of the image lie %s apart, which is used. Was the image resampled?",
            *(sidecar, SPACING, lengths_in_words([spacing]), lengths_in_words([actual])),
        )
    elif not PLAUSIBLE_RATIO[0] <= thickness / actual <= PLAUSIBLE_RATIO[1]:
        logger.warning(
            "%s: %s is %s, but the slices of the image lie %s apart. Was the image resampled?",
            *(sidecar, THICKNESS, lengths_in_words([thickness]), lengths_in_words([actual])),
        )
    return replace(image, slice_profile=SliceProfile(thickness, "gaussian", "sidecar", axis))


def _length(sidecar: Path, values: dict[str, Any], key: str) -> float | None:
    """Return a length in mm; None if the key is missing or null."""
    value = values.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 < value <= MAX_THICKNESS_MM:
        raise UserError(
            f"{sidecar}: {key} is {json.dumps(value)}; it must be a number of millimetres above 0 and at most "
            f"{MAX_THICKNESS_MM:g}. Correct it, or remove the key."
        )
    return float(value)
