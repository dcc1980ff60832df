"""Restoration of an image by a baseline, without a network.

Thick slices are restored to the voxel size within them. With a factor, images are enlarged within their slices.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.baselines.tuning.apply import default_settings, upsample
from pipeline.code_version import code_version
from pipeline.config.sections import Extract, Infer
from pipeline.errors import about
from pipeline.formats import Part, format_of
from pipeline.formats.io.predictions import check_output, log_written, write_prediction
from pipeline.formats.tiled import TiledImage, chosen, is_large, open_tiled
from pipeline.image.channels import interleave_channels, split_channels
from pipeline.image.image import Image
from pipeline.image.missing_values import MASK as MISSING
from pipeline.image.normalisation import normalise
from pipeline.inference.block_methods import StackMethod, thick_section_method
from pipeline.inference.restoration import noise_model
from pipeline.inference.restore_file import check_target, restore_in_tiles
from pipeline.inference.restored_file import RestoredFile
from pipeline.inference.result_check import Agreement, agreement_with_measurement, check_agreement
from pipeline.inference.thick_slices import as_thick_slices, without_stripes
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import covered_shape
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.operators import binning, kspace_truncation

logger = logging.getLogger(__name__)

MIN_SIGMA = 0.025
"""Lower bound of the noise level, as a fraction of the intensity range, for which settings are chosen: slices of real
scans differ by more than their noise, which would be restored as stripes."""
SMOOTHING = 0.03
"""Smoothing of total variation; larger values leave the noise of the slices, which has the shape of stripes, too."""


def restore_by_baseline(
    method: str,
    source: Path,
    output: Path,
    part: Part,
    extraction: Extract,
    settings: Infer,
    factor: int | None = None,
    thickness_mm: float | None = None,
) -> RestoredFile:
    """Restore an image by a baseline with default settings.

    Without a factor, thick slices are restored to the finest voxel size within them. With a factor, the image is
    enlarged within its slices; baselines that know the physics then assume that k-space was truncated, or for
    micrographs that pixels average over their area.

    Args:
        method: name of a module of pipeline.baselines.
        source: file or folder of the image.
        output: file of the result; its suffix must be one of the source's format.
        part: frame, channel and series of the image.
        extraction: plane and foreground.
        settings: noise level, and whether a result that disagrees with the image is written.
        factor: enlargement within the slices; None restores thick slices.
        thickness_mm: slice thickness given by the user, in mm.

    Raises:
        UserError: the output would replace the input, the file cannot be read, its slices are not thick and there is
            no factor, or the result contradicts it.
    """
    check_target(source, output)
    if is_large(source, part.series):
        with open_tiled(source, part.series) as opened:
            wanted = chosen(opened, part)
            block_method = baseline_in_blocks(method, wanted, factor, thickness_mm)
            restore_in_tiles(block_method, wanted, settings, output)
        return RestoredFile(method, block_method.factors[::-1])
    original = format_of(source).read(source, part)
    check_output(output, original)
    with about(str(source)):
        whole = normalise(original, extraction)
        if factor is None:
            images = [as_thick_slices(whole, settings.noise_sigma, thickness_mm, source.name)]
        else:
            channels = split_channels(whole.data, whole.stack.channel_count)
            images = [as_coarse_slices(whole.with_data(one), settings.noise_sigma, factor) for one in channels]
    results, agreements = [], []
    for image in images:
        logger.info("%s: restoring with %s, %s", source.name, method, image.forward_model.describe())
        restored = restored_by(method, image, source.name)
        agreement = agreement_with_measurement(restored, image.data, image.forward_model)
        check_agreement(source.name, agreement, force=settings.force)
        results.append(restored)
        agreements.append(agreement)
    restored = interleave_channels(results)
    low = images[0] if factor is None else as_coarse_slices(whole, 0.0, factor)
    clipped = write_prediction(output, low, restored)
    log_written(source, output, low, clipped)
    models = [image.forward_model for image in images]
    return RestoredFile(
        method,
        models[0].factors,
        noise_sigma=max(model.noise_sigma for model in models),
        beyond_noise=sum(agreements, Agreement()).beyond_noise,
    )


def restored_by(method: str, image: LowResolutionImage, name: str) -> NDArray[np.float32]:
    """Return an image restored by a baseline; even and odd thick slices are matched before.

    Args:
        method: name of a module of pipeline.baselines.
        image: normalised image with its forward model.
        name: name of the image, for messages.
    """
    matched = without_stripes(image, name) if _has_thick_slices(image) else image
    # Ringing around a dark background would be clipped by files of unsigned integers, which would seem a loss.
    return np.maximum(_upsampled(method, matched), image.data.min())


def _has_thick_slices(image: LowResolutionImage) -> bool:
    return image.forward_model.factors[image.forward_model.slice_axis] != 1


def _upsampled(method: str, image: LowResolutionImage) -> NDArray[np.float32]:
    """Restore an image, or a block of it, by a baseline with default settings."""
    if not _has_thick_slices(image):
        return upsample(image, method)
    settings = default_settings(method, max(image.forward_model.noise_sigma, MIN_SIGMA))
    if "smoothing" in settings:
        settings["smoothing"] = SMOOTHING
    return upsample(image, method, {method: settings})


def baseline_in_blocks(method: str, image: TiledImage, factor: int | None, thickness_mm: float | None) -> StackMethod:
    """Return the method by which a baseline restores an image that does not fit into memory.

    Raises:
        UserError: there is no factor, and the voxel size is unknown or the sections are not thick.
    """
    restore = partial(_upsampled, method)
    key, made_by = (method, code_version(__name__)), {"baseline": method}
    if factor is None:
        return thick_section_method(image, thickness_mm, restore, key, made_by)
    return StackMethod(
        image.outline(),
        lambda block, sigma: as_coarse_slices(block, sigma, factor),
        restore,
        (1, factor, factor),
        (*key, factor),
        {**made_by, "factor": factor},
    )


def as_coarse_slices(image: Image, noise_sigma: float | None, factor: int) -> LowResolutionImage:
    """Return a normalised image with a forward model that coarsens its slices.

    Args:
        image: normalised image of one channel.
        noise_sigma: noise level as a fraction of the intensity range; None estimates it.
        factor: enlargement along rows and columns.
    """
    axis, noise = image.slice_axis, noise_model(image)
    factors = tuple(1 if other == axis else factor for other in range(3))
    sigma = estimate_sigma(image.data, axis, noise).sigma if noise_sigma is None else noise_sigma
    model = ForwardModel(
        factors,
        covered_shape(image.data.shape, factors),
        noise,
        sigma,
        operators=(kspace_truncation.Parameters() if image.is_anatomical else binning.Parameters(),),
        slice_axis=axis,
    )
    masks = {name: mask for name, mask in image.masks.items() if mask.shape == image.data.shape and name == MISSING}
    return LowResolutionImage.of(image.with_data(image.data, masks=masks), model)
