"""Predictions: super-resolved images as files, in the format, orientation, dtype and units of the source, and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.errors import UserError
from pipeline.formats import ROOM, Part, written_suffixes
from pipeline.image.alignment import check_same_grid
from pipeline.image.image import Image
from pipeline.image.missing_values import MASK as MISSING
from pipeline.image.missing_values import filled, fine_missing, missing_voxels
from pipeline.physics.grid import crop_to, fine_affine
from pipeline.physics.low_resolution import LowResolutionImage

logger = logging.getLogger(__name__)

CLIPPED_SHARE = 0.01
"""Share of clipped voxels above which a warning is logged."""


def prediction_path(folder: Path, method: str, volume: str, suffix: str = ".nii.gz") -> Path:
    """Return the path of a method's prediction below results/<run>/predictions."""
    return folder / method / f"{volume}{suffix}"


def method_of(prediction: Path) -> str:
    """Return the method of a prediction: the name of its folder."""
    return prediction.resolve().parent.name


def by_method(predictions: Sequence[Path]) -> list[Path]:
    """Return predictions sorted by the names of their methods.

    Raises:
        UserError: two belong to the same method.
    """
    ordered = sorted(predictions, key=method_of)
    for one, other in pairwise(ordered):
        if method_of(one) == method_of(other):
            raise UserError(f"{one} and {other} belong to the same method; give one file per method.")
    return ordered


def suffix_of(image: Image) -> str:
    """Return the suffix of an image's predictions, such as ".nii.gz": the format of the source."""
    return written_suffixes(image.header.format)[0]


def check_output(path: Path, image: Image) -> None:
    """Check that an image can be written under a name.

    Raises:
        UserError: the name belongs to another format than that of the image's source.
    """
    name = image.header.format
    known = written_suffixes(name)
    if not path.name.lower().endswith(known):
        if image.header.title:
            raise UserError(f"{path}: {image.header.title} is written as {', '.join(known)}; choose such a name.")
        raise UserError(f"{path}: the image came as {name} and is written as such; name the file {' or '.join(known)}.")


def restored_image(lr_image: LowResolutionImage, sr: NDArray[np.floating]) -> Image:
    """Return a super-resolved array as an image on the grid of the high-resolution volume.

    Args:
        lr_image: the low-resolution volume that was restored.
        sr: normalised intensities, of shape lr_image.forward_model.padded_shape.

    Returns:
        The image, cropped to the recorded shape; its mask "missing" is that of the low-resolution volume, if any.

    Raises:
        ValueError: `sr` has another shape.
    """
    model = lr_image.forward_model
    if sr.shape != model.padded_shape:
        raise ValueError(f"the super-resolved array has shape {sr.shape}, expected was {model.padded_shape}")
    missing = lr_image.masks.get(MISSING)
    masks = {} if missing is None else {MISSING: fine_missing(missing, model.factors, model.hr_shape)}
    affine = fine_affine(lr_image.affine, model.factors)
    profile = lr_image.profile_after(model.factors)
    return lr_image.plain(data=crop_to(sr, model.hr_shape), affine=affine, masks=masks, slice_profile=profile)


def write_prediction(path: Path, lr_image: LowResolutionImage, sr: NDArray[np.floating]) -> int:
    """Write a super-resolved array in the orientation, dtype and units of the source, whole or not at all.

    Args:
        path: the file; its suffix names the format.
        lr_image: as in `restored_image`.
        sr: as in `restored_image`.

    Returns:
        Number of voxels that were clipped to the range of the dtype.

    Raises:
        UserError: the file's name belongs to another format, or it cannot be written.
    """
    check_output(path, lr_image)
    image = restored_image(lr_image, sr)
    saturated = plugins.load(ROOM, lr_image.header.format).write(path, _with_missing(image))
    warn_of_clipping(path, saturated, image.data.size, image.intensity.dtype)
    return saturated


def log_written(source: Path, output: Path, lr_image: LowResolutionImage, clipped: int) -> None:
    """Log the file of a result, with its shape."""
    shapes = (lr_image.data.shape, lr_image.forward_model.hr_shape)
    before, after = (" x ".join(map(str, shape)) for shape in shapes)
    logger.info("%s: %s -> %s voxels, %d clipped; written: %s", source, before, after, clipped, output)


def warn_of_clipping(path: Path, clipped: int, count: int, dtype: str) -> None:
    """Warn if many of the `count` voxels of a result were clipped to the range of its dtype."""
    if clipped > CLIPPED_SHARE * count:
        logger.warning(
            "%s: %.1f %% of the voxels were clipped to the range that the file can store (%s)",
            *(path, 100 * clipped / count, dtype),
        )


def _with_missing(image: Image) -> Image:
    """Set voxels without a value to NaN again, if the file can store that."""
    missing = image.masks.get(MISSING)
    if missing is None or (np.dtype(image.intensity.dtype).kind != "f" and image.header.missing_value is None):
        return image
    return image.with_data(np.where(missing, np.float32(np.nan), image.data))


def write_quantity(path: Path, image: Image) -> int:
    """Write values that are not intensities, such as uncertainty maps, on the grid and in the units of an image.

    They are written as 32-bit floats if the format supports them, else as converted by its `as_quantity`.

    Args:
        path: the file; its suffix names the format.
        image: non-negative values, normalised like intensities.

    Returns:
        Number of voxels that were clipped.

    Raises:
        UserError: the file's name belongs to another format, or it cannot be written.
    """
    check_output(path, image)
    module = plugins.load(ROOM, image.header.format)
    differences = replace(image, intensity=image.intensity.of_differences())
    quantity = getattr(module, "as_quantity", _as_floats)(differences)
    return module.write(path, _with_missing(replace(quantity, header=replace(quantity.header, missing_value=None))))


def _as_floats(image: Image) -> Image:
    return replace(image, intensity=replace(image.intensity, slope=1.0, intercept=0.0, dtype="float32"))


def read_prediction(path: Path, reference: Image) -> NDArray[np.float32]:
    """Read a prediction for comparison with the reference.

    Returns:
        Intensities of shape reference.data.shape, normalised as the reference is; background that is NaN has the lowest
        value.

    Raises:
        UserError: the file cannot be read, or does not lie on the grid of the reference.
    """
    # A method may make the faint colours of a picture so grey that its file would pass for a grey one.
    part = Part(coloured=reference.header.coloured or None)
    image = plugins.load(ROOM, reference.header.format).read(path, part)
    check_same_grid(path, image, reference, reference.id or "the reference", "prediction")
    return reference.intensity.normalise(filled(image.data, missing_voxels(image.data)))
