"""Determine the slice profile of an image: as given, else as the file states, else as estimated, else assumed."""

from __future__ import annotations

import logging
from dataclasses import replace

from pipeline.errors import UserError
from pipeline.image.foreground import foreground_mask
from pipeline.image.image import Image
from pipeline.image.lengths import lengths_in_words
from pipeline.image.missing_values import filled, missing_voxels
from pipeline.image.plane import is_section_stack, thick_axis
from pipeline.image.slice_profile import MAX_THICKNESS_MM, Shape, SliceProfile
from pipeline.physics.slice_thickness import estimate_thickness

logger = logging.getLogger(__name__)

DIFFERENCE = 0.03
"""Minimum relative difference of a given thickness from that of the file that is logged as a warning."""


def slice_axis_of(image: Image) -> int:
    """Return the axis along which slices were acquired.

    It is that of the known profile, else the axis with much larger voxels than the others, else that of the chosen
    slicing, else that with the largest voxels.
    """
    if image.slice_profile is not None:
        return image.slice_profile.axis_of(image.spacing)
    thick = thick_axis(image.spacing)
    if thick is not None:
        return thick
    if image.slicing is not None:
        return image.slicing.axis
    return max(range(len(image.spacing)), key=lambda axis: image.spacing[axis])


def with_thickness(image: Image, thickness_mm: float | None, name: str) -> Image:
    """Return an image with a given slice thickness, which replaces that of the file.

    Args:
        image: the image.
        thickness_mm: full width at half maximum of the slice profile, in mm; None returns the image unchanged.
        name: name of the image, for messages.

    Raises:
        UserError: the thickness is not plausible, or the voxel size of the image is unknown.
    """
    if thickness_mm is None:
        return image
    if not 0 < thickness_mm <= MAX_THICKNESS_MM:
        raise UserError(
            f"{name}: a slice thickness of {thickness_mm:g} mm is impossible; it must be above 0 and at most "
            f"{MAX_THICKNESS_MM:g} mm (--thickness-mm, in a configuration thickness_mm)."
        )
    if image.spacing_mm is None:
        raise UserError(
            f"{name}: has no voxel size in millimetres, so a slice thickness has no meaning (--thickness-mm, in a "
            "configuration thickness_mm). Leave it out, or give the voxel size with voxel_um."
        )
    known = image.slice_profile
    if known is not None and abs(known.thickness_mm - thickness_mm) > DIFFERENCE * known.thickness_mm:
        logger.warning(
            "%s: the given slice thickness of %s is used, but the file states %s (%s)",
            *(name, lengths_in_words([thickness_mm]), lengths_in_words([known.thickness_mm]), known.source),
        )
    given = SliceProfile(thickness_mm, _shape(image), "given", slice_axis_of(image))
    return replace(image, slice_profile=given)


def log_profile(image: Image, name: str) -> None:
    """Log the slice profile of an image, if it is known."""
    profile, sizes = image.slice_profile, image.spacing_mm
    if profile is not None and sizes is not None:
        logger.info("%s: %s", name, profile.describe(sizes[profile.axis_of(sizes)]))


def resolved_profile(image: Image, given_mm: float | None = None, name: str = "the image") -> SliceProfile:
    """Return the slice profile of an image, and log where it is known from.

    In order of precedence: as given, as stated by the file, estimated from the image where that is reliable, and as
    wide as the slice spacing. It is a Gaussian, or for sections of electron microscopy rectangular.

    Args:
        image: canonical image with a voxel size; for the estimate, its mask "foreground" is used, or found if missing.
        given_mm: thickness given by the user, in mm.
        name: name of the image, for messages.

    Raises:
        UserError: the thickness is not plausible, the voxel size is unknown, or the image is constant.
    """
    known = with_thickness(image, given_mm, name)
    sizes = _known_spacing(image, name)
    profile = known.slice_profile or _estimated(image, sizes, slice_axis_of(image), name)
    return _checked(profile, sizes, name)


def stated_profile(image: Image, given_mm: float | None = None, name: str = "the image") -> SliceProfile:
    """Return the slice profile of an image without looking at its pixels, and log where it is known from.

    It is as given, as stated by the file, or as wide as the slice spacing; Gaussian, or for sections of electron
    microscopy rectangular.

    Args:
        image: canonical image with a voxel size.
        given_mm: thickness given by the user, in mm.
        name: name of the image, for messages.

    Raises:
        UserError: as `resolved_profile`.
    """
    known = with_thickness(image, given_mm, name)
    sizes = _known_spacing(image, name)
    return _checked(known.slice_profile or _assumed(image, sizes, slice_axis_of(image)), sizes, name)


def _checked(profile: SliceProfile, sizes: tuple[float, ...], name: str) -> SliceProfile:
    """Check that a profile is plausible, and log it."""
    if profile.thickness_mm > MAX_THICKNESS_MM:
        raise UserError(
            f"{name}: its slices are {profile.thickness_mm:.4g} mm thick; at most {MAX_THICKNESS_MM:g} mm are "
            "plausible. Correct the thickness, or the voxel size or the unit of length in its header."
        )
    logger.info("%s: %s", name, profile.describe(sizes[profile.axis_of(sizes)]))
    return profile


def _known_spacing(image: Image, name: str) -> tuple[float, ...]:
    if image.spacing_mm is None:
        raise UserError(
            f"{name}: has no voxel size in millimetres, so the slice profile is unknown; give it with --voxel-um."
        )
    return image.spacing_mm


def _assumed(image: Image, sizes: tuple[float, ...], axis: int) -> SliceProfile:
    return SliceProfile(sizes[axis], _shape(image), "assumed", axis)


def _shape(image: Image) -> Shape:
    """Return the shape of the profile: electron microscopy shows sections in their whole thickness."""
    return "rect" if is_section_stack(image) else "gaussian"


def _estimated(image: Image, sizes: tuple[float, ...], axis: int, name: str) -> SliceProfile:
    """Return the profile estimated from an image, or the assumed one if the estimate is not reliable."""
    data = filled(image.data, missing_voxels(image.data))
    foreground = image.masks.get("foreground")
    found = estimate_thickness(data, foreground_mask(data) if foreground is None else foreground, sizes, axis)
    if not found.is_reliable:
        logger.info("%s: the slice thickness cannot be estimated: %s", name, found.problem)
        return _assumed(image, sizes, axis)
    interval = lengths_in_words([found.low_mm, found.high_mm], " to ")
    logger.info("%s: estimated slice thickness, 95 %% interval: %s", name, interval)
    return SliceProfile(found.fwhm_mm, "gaussian", "estimated", axis)
