"""Restoration of a single image file by a network, without a forward model or a reference."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.sections import Extract, Infer
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats import ROOM, Part, format_of, read_suffixes, written_suffixes
from pipeline.formats.io.predictions import check_output, restored_image, write_prediction, write_quantity
from pipeline.formats.tiled import chosen, is_large, open_tiled
from pipeline.image.channels import apart, together
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.image.missing_values import MASK as MISSING
from pipeline.inference.domain import enlarged_voxels, outside_domain
from pipeline.inference.large_images import restore_large, uncertainty_large
from pipeline.inference.restoration import Restored, restore_uncorrected
from pipeline.inference.result_check import Agreement, agreement_of, cell_means, check_agreement, without_outliers
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.parameters import Direction, axes_along, is_outside
from pipeline.steps.extract import normalise

logger = logging.getLogger(__name__)

UNLIKE, NEGLIGIBLE = 2.0, 0.01
"""A noise level that was given is unlike the estimated one if it differs by more than this factor, and this fraction of
the intensity range."""
MAP_WRITTEN = "%s: uncertainty map written, the TTA standard deviation times %.3g"
BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+_(.+_)?[A-Za-z0-9]+$")
MAGNITUDE_NOISE, MICROSCOPE_NOISE = "rician", "gaussian"
"""Kinds of noise that are looked for, modules of pipeline/physics/noise."""


def direction_of(network: Generator) -> Direction:
    """Return along which axes of a volume a network enlarges: as it was trained to, where its file says so.

    A network that enlarges columns alone makes thick slices thin: its columns run across them.
    """
    rows, columns = network.factors
    return network.record.direction or ("in_plane" if rows == columns else "through_plane")


def as_measured(image: Image, factor: int, direction: Direction) -> LowResolutionImage:
    """Take a normalised volume as the low-resolution one of a network that enlarges by a factor along some axes.

    Raises:
        UserError: all axes are to be enlarged, but there is one slice alone.
    """
    axis = image.slice_axis
    if direction == "isotropic" and image.data.shape[axis] == image.stack.channel_count:
        raise UserError(
            "--model: this network enlarges a volume along all three axes, but the image has one slice alone; choose "
            "a network that was trained with degrade.direction: in_plane."
        )
    enlarged = axes_along(direction, axis)
    factors = tuple(factor if other in enlarged else 1 for other in range(3))
    shape = tuple(int(size) * scale for size, scale in zip(image.data.shape, factors, strict=True))
    masks = {name: mask for name, mask in image.masks.items() if name == MISSING}
    model = ForwardModel(factors, shape, slice_axis=axis)
    return LowResolutionImage.of(image.with_data(image.data, masks=masks), model)


class Source(NamedTuple):
    """The image to be sharpened.

    Attributes:
        physical: as it was read, physical intensities.
        normalised: the same, normalised.
    """

    physical: NDArray[np.floating]
    normalised: Image


def read_source(path: Path, part: Part, settings: Extract, output: Path) -> Source:
    """Read and normalise the image that is to be sharpened.

    Args:
        path: file or folder.
        part: which image of several is meant.
        settings: the section `extract`.
        output: where the result is to go; a name that its format cannot have is refused before any work is done.

    Raises:
        UserError: the image cannot be read or has no foreground, or the result cannot be called `output`.
    """
    image = format_of(path).read(path, part)
    check_output(output, image)
    try:
        return Source(image.data, normalise(image, settings))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check_apart(source: Path, output: Path) -> None:
    """Refuse to write over the image that is read, into it, or over a folder that contains it.

    Raises:
        UserError: naming both.
    """
    read = source.resolve()
    for written in (output.resolve(), uncertainty_path(output).resolve()):
        if written == read or written in read.parents or (read.is_dir() and read in written.parents):
            raise UserError(
                f"--output: {written} would overwrite the input {source}, or lie inside it; name another file."
            )


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


def restore_file(
    model: Path,
    source: Path,
    output: Path,
    part: Part,
    extraction: Extract,
    settings: Infer,
    device: str,
    uncertainty: bool | None = None,
    calibration: float = 1.0,
) -> None:
    """Restore an image file and write the result, with its uncertainty map beside it.

    Args:
        model: generator.safetensors of a trained method.
        source: file or folder of the image.
        output: file of the result; its suffix must be one of the source's format.
        part: frame, channel and series of the image, and its voxel size.
        extraction: plane and foreground.
        settings: settings of the inference.
        device: auto, cpu or cuda.
        uncertainty: whether the uncertainty map is written. By default it is, except for images that are restored tile
            by tile.
        calibration: factor by which the TTA standard deviation is multiplied.

    Raises:
        UserError: the output would replace the input, a file cannot be read, the image has no foreground, the network
            does not fit the image, the device is not available, or the result contradicts its input.
    """
    check_apart(source, output)
    use_threads(settings.threads)
    network = load_generator(model).to(choose_device(device)).eval()
    if is_large(source, part.series):
        _restore_in_tiles(
            network, sha256_of(model), source, part, settings, output, calibration if uncertainty else None
        )
        return
    read = read_source(source, part, extraction, output)
    measured = as_measured(read.normalised, network.shape.factor, direction_of(network))
    images = [measured.with_data(channel) for channel in apart(measured.data, measured.stack.channel_count)]
    try:
        channels = [
            _restored(network, source, image, settings, with_tta_std=uncertainty is not False) for image in images
        ]
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    restored = together([channel.restored for channel in channels])
    sigmas = [
        _noise_of_channel(source, image, channel.sigma, settings)
        for image, channel in zip(images, channels, strict=True)
    ]
    found = _agreement(read.physical, measured, restored, sigmas)
    check_agreement(source, found, force=settings.force)
    saturated = write_prediction(output, measured, restored)
    logger.info("%s: %s -> %s, %d voxels clipped", source, measured.data.shape, restored.shape, saturated)
    tta_stds = [channel.tta_std for channel in channels if channel.tta_std is not None]
    path = uncertainty_path(output)
    if not tta_stds:
        _warn_of_old_map(path)
    else:
        write_quantity(path, restored_image(measured, calibration * together(tta_stds)))
        logger.info(MAP_WRITTEN, path, calibration)


def _warn_of_old_map(path: Path) -> None:
    if path.exists():
        logger.warning("%s: is the uncertainty map of an earlier result and was not updated", path)


def _restored(
    network: Generator, source: Path, measured: LowResolutionImage, settings: Infer, *, with_tta_std: bool
) -> Restored:
    """Restore one channel within the limits of intensity that networks know."""
    factors = measured.forward_model.factors
    within = limited(measured.data)
    within.log(source)
    image = measured.with_data(within.values)
    found = restore_uncorrected([network], image, _noise_of(measured), settings, with_tta_std=with_tta_std)
    if network.record.domain is None:
        logger.info("the range of the training data is unknown, so that the image was not compared with it")
    for sentence in outside_domain(network.record.domain, found.sigma, enlarged_voxels(measured)):
        logger.warning("%s: %s. The result may be worse than interpolation.", source, sentence)
    return found._replace(restored=within.added_to(found.restored, factors))


def _noise_of_channel(source: Path, image: Image, used: float, settings: Infer) -> float:
    """Return the noise level that explains differences between a channel and its result.

    It is the one estimated from the image, also where another one was given to the network; that is warned of.
    """
    if settings.noise_sigma is None:
        return used
    try:
        estimated = estimate_sigma(limited(image.data).values, image.slice_axis, _noise_of(image)).sigma
    except UserError:  # the slices are too small for an estimate
        return used
    if is_outside([used], (estimated / UNLIKE - NEGLIGIBLE, UNLIKE * estimated + NEGLIGIBLE)):
        logger.warning(
            "%s: the noise level that was given is %.3g of the intensity range; the image shows %.3g",
            source,
            used,
            estimated,
        )
    return estimated


def _noise_of(image: Image) -> str:
    """The kind of noise that is looked for. It does not depend on where the zero of the image lies."""
    return MAGNITUDE_NOISE if image.is_anatomical else MICROSCOPE_NOISE


def _agreement(
    physical: NDArray[np.floating], measured: LowResolutionImage, restored: NDArray[np.float32], sigmas: Sequence[float]
) -> Agreement:
    """Compare the result, brought back to the grid of the input and to its units, with the input."""
    again = measured.intensity.to_physical(cell_means(restored, measured.forward_model.factors))
    kept = without_outliers(physical, measured.data)
    magnitude = _noise_of(measured) == MAGNITUDE_NOISE
    scales = np.resize(measured.intensity.scale, kept.shape[-1])
    count = len(sigmas)
    parts = zip(apart(again, count), apart(kept, count), sigmas, strict=True)
    found = [
        agreement_of(one, image, scales[channel::count], sigma, magnitude=magnitude)
        for channel, (one, image, sigma) in enumerate(parts)
    ]
    return sum(found, Agreement())


def _restore_in_tiles(
    network: Generator,
    digest: str,
    source: Path,
    part: Part,
    settings: Infer,
    output: Path,
    calibration: float | None,
) -> None:
    """Restore an image that does not fit into memory, and write its uncertainty map if it has a calibration."""
    if direction_of(network) == "isotropic":
        raise UserError(
            f"{source}: is so large that it is restored slice by slice, but this network enlarges a volume along "
            "all three axes; cut the volume into smaller files, or choose a network that was trained with "
            "degrade.direction: in_plane."
        )
    with open_tiled(source, part.series) as image:
        wanted = chosen(image, part)
        saturated = restore_large(network, wanted, settings, output, digest)
        logger.info("%s: restored in tiles, %d pixels clipped", source, saturated)
        path = uncertainty_path(output)
        if calibration is None:
            _warn_of_old_map(path)
        else:
            uncertainty_large(network, wanted, settings, path, digest, calibration)
            logger.info(MAP_WRITTEN, path, calibration)
