"""Slice thickness in the BIDS sidecars of an image: the keys SliceThickness and SpacingBetweenSlices, in millimetres.

dcm2niix and BIDS converters write a JSON file with the name of the image beside it; BIDS data sets may state values of
several images in one file.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace

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


def with_sidecars(image: Image, sidecars: Sequence[str]) -> Image:
    """Return an image with the slice profile of its sidecars; unchanged if these do not state the thickness.

    Args:
        image: canonical image.
        sidecars: files, the farthest first; values of later ones take precedence.

    Raises:
        UserError: a sidecar cannot be read, or a length in it is no plausible number.
    """
    by_thickness, thickness = _length(sidecars, THICKNESS)
    by_spacing, spacing = _length(sidecars, SPACING)
    sizes, orientation = image.spacing_mm, image.header.orientation
    if thickness is None or sizes is None or orientation is None:
        return image
    thick = thick_axis(image.spacing)
    axis = orientation.axes[FILE_AXIS] if thick is None else thick
    actual = sizes[axis]
    if spacing is not None and abs(spacing - actual) > SPACING_TOLERANCE * actual:
        logger.warning(
            "%s: %s is %s, but the slices of the image lie %s apart, which is used. Was the image resampled?",
            *(by_spacing, SPACING, lengths_in_words([spacing]), lengths_in_words([actual])),
        )
    elif not PLAUSIBLE_RATIO[0] <= thickness / actual <= PLAUSIBLE_RATIO[1]:
        logger.warning(
            "%s: %s is %s, but the slices of the image lie %s apart. Was the image resampled?",
            *(by_thickness, THICKNESS, lengths_in_words([thickness]), lengths_in_words([actual])),
        )
    return replace(image, slice_profile=SliceProfile(thickness, "gaussian", "sidecar", axis))


def _length(sidecars: Sequence[str], key: str) -> tuple[str, float | None]:
    """Return the sidecar that states a length, and the length in mm; None if the key is missing or null."""
    sidecar = next((one for one in reversed(sidecars) if key in read_sidecars([one])), "")
    value = read_sidecars(sidecars).get(key)
    if value is None:
        return sidecar, None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 < value <= MAX_THICKNESS_MM:
        raise UserError(
            f"{sidecar}: {key} is {json.dumps(value)}; it must be a number of millimetres above 0 and at most "
            f"{MAX_THICKNESS_MM:g}. Correct it, or remove the key."
        )
    return sidecar, float(value)
