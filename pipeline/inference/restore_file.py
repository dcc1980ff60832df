"""Restoration of a single image file by a network, without a forward model or a reference."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.parameters import Direction
from pipeline.config.sections import Extract, Infer
from pipeline.errors import UserError, about
from pipeline.files import sha256_of
from pipeline.formats import ROOM, Part, format_by_name, format_of, read_suffixes, written_suffixes
from pipeline.formats.io.predictions import check_output, log_written, restored_image, write_prediction, write_quantity
from pipeline.formats.tiled import TiledImage, chosen, is_large, open_tiled
from pipeline.image.channels import interleave_channels, split_channels
from pipeline.image.contrast import Quantiles, foreground_quantiles
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.image.missing_values import MASK as MISSING
from pipeline.image.normalisation import normalise
from pipeline.inference.block_methods import BlockMethod, PlaneNetwork, enlarged_shape, stack_network
from pipeline.inference.choice import Weights, log_measured_gain
from pipeline.inference.domain import describe_domain, enlarged_voxels, outside_domain
from pipeline.inference.error_map import UncertaintyKind
from pipeline.inference.large_images import restore_large
from pipeline.inference.restoration import (
    MAGNITUDE_NOISE,
    Restored,
    noise_model,
    noise_sigma,
    restore_measured,
    restore_uncorrected,
)
from pipeline.inference.restored_file import RestoredFile
from pipeline.inference.result_check import (
    Agreement,
    agreement_of,
    agreement_with_measurement,
    cell_means,
    check_agreement,
    without_outliers,
)
from pipeline.inference.thick_slices import as_thick_slices, without_stripes
from pipeline.inference.tta import MAX_AUGMENTATIONS
from pipeline.models.calibration import intervals_for
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.parameters import axes_along, is_out_of_range
from pipeline.physics.resolved_profile import log_profile, with_thickness

logger = logging.getLogger(__name__)

NOISE_RATIO, NOISE_MARGIN = 2.0, 0.01
"""A given noise level contradicts the image if it differs from the estimate by more than this factor and by more than
this fraction of the intensity range."""
MAP_WRITTEN = "%s: uncertainty map written: %s"
BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+_(.+_)?[A-Za-z0-9]+$")


def restore_file(
    model: Path | Weights,
    source: Path,
    output: Path,
    part: Part,
    extraction: Extract,
    settings: Infer,
    device: str,
    uncertainty: bool | None = None,
    calibration: Path | None = None,
    thickness_mm: float | None = None,
    original: Image | None = None,
) -> RestoredFile:
    """Restore an image file and write the result, with its uncertainty map beside it.

    Args:
        model: generator.safetensors of a trained method, or a network that ships.
        source: file or folder of the image.
        output: file of the result; its suffix must be one of the source's format.
        part: frame, channel and series of the image, and its voxel size.
        extraction: plane and foreground.
        settings: settings of the inference.
        device: auto, cpu or cuda.
        uncertainty: whether the uncertainty map is written. By default it is, except for fast networks, for a given
            number of passes, and for images that are restored tile by tile.
        calibration: uncertainty/calibration.json of the network's run; by default, the map is that of the intervals
            stored with the network, or else the TTA standard deviation.
        thickness_mm: slice thickness given by the user, in mm.
        original: the image as read from the source, if it was read already.

    Raises:
        UserError: the output would replace the input, a file cannot be read, the image has no foreground, the network
            does not fit the image, the calibration is that of another network, the device is not available, or the
            result contradicts its input.
    """
    check_target(source, output)
    use_threads(settings.threads)
    weights = model if isinstance(model, Weights) else Weights(model, str(model))
    network = load_generator(weights.path).to(choose_device(device)).eval()
    digest = sha256_of(weights.path)
    intervals = intervals_for(calibration, weights.path, digest) if calibration else network.record.error_intervals
    kind = UncertaintyKind(intervals)
    if is_large(source, part.series):
        with open_tiled(source, part.series) as opened:
            wanted = chosen(opened, part)
            factors = _restore_in_tiles(
                partial(_block_method, network, digest, wanted, settings, thickness_mm),
                *(wanted, settings, output, kind if uncertainty else None),
            )
        return RestoredFile(weights.name, factors, digest)
    original = with_thickness(original or format_of(source).read(source, part), thickness_mm, str(source))
    check_output(output, original)
    log_profile(original, str(source))
    with about(str(source)):
        normalised = normalise(original, extraction)
    any_ratio = network.shape.slice_maps
    with about(str(source)):
        if any_ratio:
            image = _thick_slices(normalised, settings, source.name)
        else:
            image = as_low_resolution(normalised, network.shape.factor, direction_of(network))
    with_map = _writes_map(network, settings.passes, True if calibration and uncertainty is None else uncertainty)
    count = image.stack.channel_count
    channels = [image.with_data(channel) for channel in split_channels(image.data, count)]
    restore = _restore_thick if any_ratio else _restore_channel
    masks = split_channels(normalised.masks["foreground"], count)
    results: list[Restored] = []
    for one, mask in zip(channels, masks, strict=True):
        # Warnings come before the restoration, which may take an hour.
        sigma = _compared_noise_level(network, weights, source, one, mask, settings)
        given = settings.model_copy(update={"noise_sigma": sigma})
        with about(str(source)):
            results.append(restore(network, source, one, given, tta=with_map))
    restored = interleave_channels([result.restored for result in results])
    sigmas = [_noise_level(source, *pair, settings) for pair in zip(channels, results, strict=True)]
    if any_ratio:
        agreement = agreement_with_measurement(restored, image.data, image.forward_model)
    else:
        agreement = _agreement(original.data, image, restored, sigmas)
    check_agreement(source, agreement, force=settings.force)
    clipped = write_prediction(output, image, restored)
    log_written(source, output, image, clipped)
    found = RestoredFile(
        weights.name,
        channels[0].forward_model.factors,
        digest,
        max(result.sigma for result in results),
        agreement.beyond_noise,
    )
    path = uncertainty_path(output)
    if not with_map:
        _warn_of_earlier_map(path)
        return found
    maps = [_uncertainty(kind, *pair) for pair in zip(channels, results, strict=True)]
    write_quantity(path, restored_image(image, interleave_channels(maps)))
    logger.info(MAP_WRITTEN, path, kind.description)
    return found


def _writes_map(network: Generator, passes: int | None, uncertainty: bool | None) -> bool:
    """Return whether the uncertainty map is written.

    By default it is, except for fast networks and if the number of passes was given.
    """
    if uncertainty is not None:
        return uncertainty
    if network.is_fast or passes:
        return False
    logger.info(
        "forward passes per slice: %d with an uncertainty map, %d with --no-uncertainty, 1 with --passes 1",
        *(MAX_AUGMENTATIONS, network.record.self_ensemble),
    )
    return True


def check_target(source: Path, output: Path) -> None:
    """Check that a result can be written, and that neither it nor its map replaces the input or a part of it.

    Raises:
        UserError: naming the result.
    """
    if output.is_dir() and format_by_name(output.name) != "ome_zarr":
        raise UserError(
            f"--output: {output} is a folder; give the name of a file, such as {output / default_output(source).name}."
        )
    folder = next(one for one in output.absolute().parents if one.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"--output: cannot write into {folder}; choose a folder that you may write to.")
    read = source.resolve()
    for written in (output.resolve(), uncertainty_path(output).resolve()):
        if written == read or written in read.parents or (read.is_dir() and read in written.parents):
            raise UserError(
                f"--output: {written} would overwrite the input {source}, or lie inside it; name another file."
            )


def direction_of(network: Generator) -> Direction:
    """Return the axes along which a network enlarges volumes, as recorded in its file or else deduced from its factors.

    A network that enlarges columns alone is applied across thick slices.
    """
    rows, columns = network.factors
    alike = rows == columns and network.shape.along == "both"
    return network.record.direction or ("in_plane" if alike else "through_plane")


def as_low_resolution(image: Image, factor: int, direction: Direction) -> LowResolutionImage:
    """Return a normalised image as the low-resolution input of a network.

    Args:
        image: normalised intensities.
        factor: enlargement of the network.
        direction: axes along which it enlarges.

    Raises:
        UserError: all axes are to be enlarged, but the image has a single slice.
    """
    axis = image.slice_axis
    if direction == "isotropic" and image.data.shape[axis] == image.stack.channel_count:
        raise UserError(
            "--model: this network enlarges all three axes, but the image has a single slice; choose a network that "
            "was trained with degrade.direction: in_plane."
        )
    enlarged = axes_along(direction, axis)
    factors = tuple(factor if other in enlarged else 1 for other in range(3))
    shape = tuple(int(size) * scale for size, scale in zip(image.data.shape, factors, strict=True))
    masks = {name: mask for name, mask in image.masks.items() if name == MISSING}
    model = ForwardModel(factors, shape, slice_axis=axis)
    return LowResolutionImage.of(image.with_data(image.data, masks=masks), model)


def uncertainty_path(output: Path) -> Path:
    """Return the path of the uncertainty map of a result: sharp.nii.gz has sharp.uncertainty.nii.gz."""
    stem, suffix = split_suffix(output)
    return output.with_name(f"{stem}.uncertainty{suffix}")


def default_output(source: Path) -> Path:
    """Return the default path of a result, beside its input.

    scan.nii.gz becomes scan_sr.nii.gz. In names of BIDS, the entity desc-sr precedes the suffix:
    sub-01_desc-sr_T1w.nii.gz (Brain Imaging Data Structure 1.10, derivatives). A folder or archive of DICOM files
    becomes an archive in the format of its results.

    Raises:
        UserError: the format of the input is unknown.
    """
    written = written_suffixes(format_of(source).__name__.rpartition(".")[-1])
    stem, suffix = split_suffix(source)
    kept = suffix if suffix.lower() in written else written[0]
    if BIDS_NAME.match(stem):
        entities, _, last = stem.rpartition("_")
        return source.with_name(f"{entities}_desc-sr_{last}{kept}")
    return source.with_name(f"{stem}_sr{kept}")


def split_suffix(path: Path) -> tuple[str, str]:
    """Split a file's name into stem and suffix, where a suffix such as .nii.gz is taken as a whole."""
    names = plugins.names(ROOM)
    known = {suffix for name in names for suffix in (*written_suffixes(name), *read_suffixes(name))}
    fitting = [suffix for suffix in known if path.name.lower().endswith(suffix)]
    length = max(map(len, fitting), default=0 if path.is_dir() else len(path.suffix))
    cut = len(path.name) - length
    return path.name[:cut], path.name[cut:]


def _warn_of_earlier_map(path: Path) -> None:
    if path.exists():
        logger.warning("%s: belongs to an earlier result and was not updated", path)


def _restore_channel(
    network: Generator, source: Path, image: LowResolutionImage, settings: Infer, *, tta: bool
) -> Restored:
    """Restore one channel within the intensity limits of networks."""
    within = limited(image.data)
    within.log(source)
    inside = image.with_data(within.values)
    result = restore_uncorrected([network], inside, noise_model(image), settings, with_tta_std=tta)
    return result._replace(restored=within.added_to(result.restored, image.forward_model.whole_factors))


def _thick_slices(image: Image, settings: Infer, name: str) -> LowResolutionImage:
    """Return a scan with thick slices as the input of a network of any ratio.

    Raises:
        UserError: it has several channels, or its slices are not thick.
    """
    if image.stack.channel_count > 1:
        raise UserError("has several channels, but this network restores grey scans; select one with --channel.")
    return without_stripes(as_thick_slices(image, settings.noise_sigma, None, name), name)


def _restore_thick(
    network: Generator, source: Path, image: LowResolutionImage, settings: Infer, *, tta: bool
) -> Restored:
    """Restore a scan with thick slices by a network of any ratio; the result agrees with the slices."""
    limited(image.data).log(source)
    result = restore_measured([network], image, settings, with_tta_std=tta)
    # Ringing around a dark background would be clipped by files of unsigned integers, which would seem a loss.
    return result._replace(restored=np.maximum(result.restored, image.data.min()))


def _uncertainty(kind: UncertaintyKind, image: LowResolutionImage, result: Restored) -> NDArray[np.float32]:
    """Return the uncertainty map of one channel."""
    assert result.tta_std is not None
    factors = image.forward_model.factors
    return kind.of(result.restored, image.data, result.tta_std, factors)


def _compared_noise_level(
    network: Generator,
    weights: Weights,
    source: Path,
    image: LowResolutionImage,
    mask: NDArray[np.bool_],
    settings: Infer,
) -> float:
    """Return the noise level given to the network, and log how the image differs from what the network knows.

    Args:
        network: that restores the image.
        weights: of the network.
        source: file of the image.
        image: one channel of it.
        mask: foreground.
        settings: settings of the inference.
    """
    with about(str(source)):
        sigma = noise_sigma(image.with_data(limited(image.data).values), noise_model(image), settings)
    _compare_with_training(network, source, image, foreground_quantiles(image.data, mask), sigma)
    factor = max(image.forward_model.factors)
    log_measured_gain(weights, source.name, contrast_of(source), factor, sigma, enlarged_voxels(image))
    return sigma


def _compare_with_training(
    network: Generator, source: Path, image: LowResolutionImage, quantiles: Quantiles, sigma: float
) -> None:
    """Log how an image differs from the training data of a network, or that it does not."""
    domain = network.record.domain
    if domain is None:
        logger.info("the network does not record its training data: the image was not compared with them")
        return
    voxel_mm = enlarged_voxels(image)
    sentences = outside_domain(domain, sigma, voxel_mm, quantiles)
    for sentence in sentences:
        logger.warning("%s: %s. The result may be worse than interpolation.", source, sentence)
    if not sentences:
        known = describe_domain(domain, voxel_mm)
        logger.info("%s: within the range of the training data of the network: %s", source, known)


def contrast_of(source: Path) -> str:
    """Return the suffix of a file name of BIDS, such as T1w or FLAIR; empty for other names."""
    stem, _ = split_suffix(source)
    return stem.rpartition("_")[2] if BIDS_NAME.match(stem) else ""


def _noise_level(source: Path, image: LowResolutionImage, result: Restored, settings: Infer) -> float:
    """Return the noise level with which a channel is compared with its result.

    This is the estimate from the image even if another level was given to the network, which is logged as a warning.
    """
    if settings.noise_sigma is None:
        return result.sigma
    try:
        estimated = estimate_sigma(limited(image.data).values, image.slice_axis, noise_model(image)).sigma
    except UserError:  # the slices are too small for an estimate
        return result.sigma
    if is_out_of_range(
        [result.sigma], (estimated / NOISE_RATIO - NOISE_MARGIN, NOISE_RATIO * estimated + NOISE_MARGIN)
    ):
        logger.warning(
            "%s: the given noise level is %.3g of the intensity range, but the estimate from the image is %.3g",
            *(source, result.sigma, estimated),
        )
    return estimated


def _agreement(
    physical: NDArray[np.floating], image: LowResolutionImage, restored: NDArray[np.float32], sigmas: Sequence[float]
) -> Agreement:
    """Compare the result, averaged on the grid of the input and in its units, with the input."""
    again = image.intensity.to_physical(cell_means(restored, image.forward_model.factors))
    kept = without_outliers(physical, image.data)
    magnitude = noise_model(image) == MAGNITUDE_NOISE
    scales = np.resize(image.intensity.scale, kept.shape[-1])
    count = len(sigmas)
    channels = zip(split_channels(again, count), split_channels(kept, count), sigmas, strict=True)
    found = [
        agreement_of(mean, original, scales[channel::count], sigma, magnitude=magnitude)
        for channel, (mean, original, sigma) in enumerate(channels)
    ]
    return sum(found, Agreement())


def _block_method(
    network: Generator,
    digest: str,
    image: TiledImage,
    settings: Infer,
    thickness_mm: float | None,
    uncertainty: UncertaintyKind | None,
) -> BlockMethod:
    """Return the method by which a network restores an image that does not fit into memory.

    Raises:
        UserError: the network works across slices by a fixed factor, or does not fit the image.
    """
    if network.shape.slice_maps:
        return stack_network(network, digest, image, settings, thickness_mm, uncertainty)
    if direction_of(network) == "isotropic":
        raise UserError(
            f"{image.path}: an image of this size is restored within its slices or across thick ones, but this network "
            "enlarges all three axes; cut the volume into smaller files, or choose a network that was trained with "
            "degrade.direction: in_plane."
        )
    if thickness_mm is not None:
        raise UserError(f"{image.path}: --thickness-mm does not apply to networks that enlarge within the slices.")
    return PlaneNetwork(network, digest, uncertainty)


def _restore_in_tiles(
    method_for: Callable[[UncertaintyKind | None], BlockMethod],
    image: TiledImage,
    settings: Infer,
    output: Path,
    uncertainty: UncertaintyKind | None,
) -> tuple[float, ...]:
    """Restore an image that does not fit into memory, write an uncertainty map if its kind is given.

    Returns:
        Enlargement along x, y and z.
    """
    method = method_for(None)
    restore_in_tiles(method, image, settings, output)
    path = uncertainty_path(output)
    if uncertainty is None:
        _warn_of_earlier_map(path)
    else:
        restore_large(method_for(uncertainty), image, settings, path)
        logger.info(MAP_WRITTEN, path, uncertainty.description)
    return method.factors[::-1]


def restore_in_tiles(method: BlockMethod, image: TiledImage, settings: Infer, output: Path) -> None:
    """Restore an image that does not fit into memory, and log where the result is; errors as `restore_large`."""
    clipped = restore_large(method, image, settings, output)
    before, after = (" x ".join(map(str, shape)) for shape in (image.shape, enlarged_shape(image, method.factors)))
    words = "%s: restored tile by tile, %s -> %s pixels, %d clipped; written: %s"
    logger.info(words, image.path, before, after, clipped, output)
