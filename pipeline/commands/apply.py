"""Sharpen an image of your own with a trained network: the same format, orientation, dtype and units come out.

A network that was trained on volumes that are coarse along all three axes enlarges all three. All channels and colours
are restored, unless one is chosen: each with its own noise and in its own range, but red, green and blue in one range.

There is no reference to compare with, so nothing is measured. Trust the result no further than the report of the run
that trained the network allows, and only for volumes that were made alike.

TIFF and OME-Zarr images of more than 1024 rows or columns, or 8 million pixels, are restored part by part, in memory
that does not grow with their size: all time points too unless one is chosen, and the whole field, whatever --foreground
says. A run that was stopped goes on when it is started again.

Beside the result stands its error map, OUTPUT.uncertainty.SUFFIX: the disagreement over the flips and transposes of
each slice, in the units of the image. With --calibration, which names the uncertainty/calibration.json of the run that
trained the network, it is the absolute error to expect on images like those of that run. It is made of eight
restorations instead of the one to eight that the result needs (--no-uncertainty leaves it out). Of images that are
restored part by part it is made where --uncertainty asks for it, in a second pass over them.
"""

from __future__ import annotations

import logging
import math
from argparse import ArgumentTypeError, BooleanOptionalAction
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import plugins
from pipeline.config.load import read_section
from pipeline.config.sections import PLANE_CHOICES, Extract, Infer
from pipeline.errors import UserError
from pipeline.files import sha256_of
from pipeline.formats import ROOM, Part, format_of, written_suffixes
from pipeline.formats.io.predictions import check_output, restored_image, write_prediction, write_quantity
from pipeline.formats.tiled import chosen, is_large, open_tiled
from pipeline.image.channels import apart, channel_count, together
from pipeline.image.image import Image
from pipeline.image.intensity_limits import limited
from pipeline.image.missing_values import MASK as MISSING
from pipeline.inference.domain import enlarged_voxels, outside_domain
from pipeline.inference.large_images import restore_large, uncertainty_large
from pipeline.inference.memory import use_memory
from pipeline.inference.restoration import Restored, restore_uncorrected
from pipeline.inference.result_check import Agreement, agreement_of, cell_means, check_agreement, without_outliers
from pipeline.models.device import choose_device, use_threads
from pipeline.models.generator import Generator
from pipeline.models.weights import load_generator
from pipeline.physics.noise_level import estimate_sigma
from pipeline.physics.parameters import Direction, axes_along, is_outside
from pipeline.steps._cli import ArgumentParser, Namespace, add_memory, add_path, add_settings
from pipeline.steps.calibrate import read_factor
from pipeline.steps.extract import normalise

logger = logging.getLogger(__name__)

UNLIKE, NEGLIGIBLE = 2.0, 0.01
"""A noise level that was given is unlike the estimated one if it differs by more than this factor, and this fraction of
the intensity range."""
MAGNITUDE_NOISE, MICROSCOPE_NOISE = "rician", "gaussian"
"""Kinds of noise that are looked for, modules of pipeline/physics/noise."""


def direction_of(network: Generator) -> Direction:
    """Return along which axes of a volume a network enlarges: as it was trained to, where its file says so.

    A network that enlarges columns alone makes thick slices thin: its columns run across them.
    """
    rows, columns = network.factors
    return network.record.direction or ("in_plane" if rows == columns else "through_plane")


def as_measured(image: Image, factor: int, direction: Direction) -> Image:
    """Take a normalised volume as the low-resolution one of a network that enlarges by a factor along some axes.

    Raises:
        UserError: all axes are to be enlarged, but there is one slice alone.
    """
    axis = image.facts["slice_axis"]
    if direction == "isotropic" and image.data.shape[axis] == channel_count(image.facts):
        raise UserError(
            "--model: this network enlarges a volume along all three axes, but the image has one slice alone; choose "
            "a network that was trained with degrade.direction: in_plane."
        )
    enlarged = axes_along(direction, axis)
    factors = [factor if other in enlarged else 1 for other in range(3)]
    shape = [int(size) * scale for size, scale in zip(image.data.shape, factors, strict=True)]
    masks = {name: mask for name, mask in image.masks.items() if name == MISSING}
    return image.with_data(
        image.data, masks=masks, facts={**image.facts, "forward_model": {"factors": factors, "hr_shape": shape}}
    )


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


class Doubt(NamedTuple):
    """Whether an error map is made.

    Attributes:
        wanted: None makes one of what is restored at once, and none of what is restored part by part.
        factor: by which the disagreement over views is multiplied.
    """

    wanted: bool | None = None
    factor: float = 1.0


NO_WISH = Doubt()


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
    """Return where the error map of a result goes: sharp.nii.gz has sharp.uncertainty.nii.gz."""
    known = [suffix for name in plugins.names(ROOM) for suffix in written_suffixes(name)]
    length = max((len(suffix) for suffix in known if output.name.lower().endswith(suffix)), default=len(output.suffix))
    stem, suffix = output.name[: len(output.name) - length], output.name[len(output.name) - length :]
    return output.with_name(f"{stem}.uncertainty{suffix}")


def apply(
    model: Path,
    source: Path,
    part: Part,
    extraction: Extract,
    settings: Infer,
    device: str,
    output: Path,
    doubt: Doubt = NO_WISH,
) -> None:
    """Restore the image in `source` and write it to `output`, and its error map beside it.

    Args:
        model: generator.safetensors of a trained method.
        source: file or folder.
        part: which image of several is meant.
        extraction: the section `extract`: plane and foreground.
        settings: the section `infer`.
        device: auto, cpu or cuda.
        output: the result; its suffix must be of the source's format.
        doubt: about the error map.

    Raises:
        UserError: the output would replace the input, a file cannot be read or has no foreground, the network does
            not fit the image, the device cannot be used, or the result disagrees with its input.
    """
    check_apart(source, output)
    use_threads(settings.threads)
    network = load_generator(model).to(choose_device(device)).eval()
    if is_large(source, part.series):
        _apply_by_parts(network, sha256_of(model), source, part, settings, output, doubt)
        return
    read = read_source(source, part, extraction, output)
    measured = as_measured(read.normalised, network.shape.factor, direction_of(network))
    images = [measured.with_data(channel) for channel in apart(measured.data, channel_count(measured.facts))]
    try:
        channels = [
            _restored(network, source, image, settings, with_tta_std=doubt.wanted is not False) for image in images
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
    spreads = [channel.tta_std for channel in channels if channel.tta_std is not None]
    path = uncertainty_path(output)
    if not spreads:
        _warn_of_old_map(path)
    else:
        write_quantity(path, restored_image(measured, doubt.factor * together(spreads)))
        logger.info(
            "%s: error map written: standard deviation over flips and transposes, times %.3g", path, doubt.factor
        )


def _warn_of_old_map(path: Path) -> None:
    if path.exists():
        logger.warning("%s: is the error map of an earlier result and was not written anew", path)


def _restored(network: Generator, source: Path, measured: Image, settings: Infer, *, with_tta_std: bool) -> Restored:
    """Restore one channel within the limits of intensity that networks know."""
    factors = measured.facts["forward_model"]["factors"]
    within = limited(measured.data)
    within.log(source)
    image = measured.with_data(within.values)
    found = restore_uncorrected([network], image, _noise_of(measured), settings, with_tta_std=with_tta_std)
    if network.record.domain is None:
        logger.info("the network does not state what it was trained on, so that the image was not compared with that")
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
        estimated = estimate_sigma(limited(image.data).values, image.facts["slice_axis"], _noise_of(image)).sigma
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
    physical: NDArray[np.floating], measured: Image, restored: NDArray[np.float32], sigmas: Sequence[float]
) -> Agreement:
    """Compare the result, brought back to the grid of the input and to its units, with the input."""
    again = measured.intensity.to_physical(cell_means(restored, measured.facts["forward_model"]["factors"]))
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


def _apply_by_parts(
    network: Generator,
    digest: str,
    source: Path,
    part: Part,
    settings: Infer,
    output: Path,
    doubt: Doubt,
) -> None:
    """Restore an image that does not fit into memory, and make its error map where that is asked for."""
    if direction_of(network) == "isotropic":
        raise UserError(
            f"{source}: is so large that it is restored slice by slice, but this network enlarges a volume along "
            "all three axes; cut the volume into smaller files, or choose a network that was trained with "
            "degrade.direction: in_plane."
        )
    with open_tiled(source, part.series) as image:
        wanted = chosen(image, part)
        saturated = restore_large(network, wanted, settings, output, digest)
        logger.info("%s: restored part by part, %d pixels clipped", source, saturated)
        path = uncertainty_path(output)
        if not doubt.wanted:
            _warn_of_old_map(path)
        else:
            uncertainty_large(network, wanted, settings, path, digest, doubt.factor)
            logger.info(
                "%s: error map written: standard deviation over flips and transposes, times %.3g", path, doubt.factor
            )


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--model", "generator.safetensors of a trained method")
    add_path(parser, "--input", "the image to sharpen: a file, or a folder or zip of DICOM files or of pictures")
    suffixes = ".nii.gz, .mgz, .nrrd, .mha, .dicom.zip, .ome.tiff, .ome.zarr, .png"
    add_path(parser, "--output", f"the sharpened image, of the same format: {suffixes}")
    parser.add_argument(
        "--plane", default="auto", choices=PLANE_CHOICES, help="plane of the slices (default: auto, see the log)"
    )
    parser.add_argument("--frame", type=int, metavar="N", help="of a 4-D image or time series: which one, from 0")
    parser.add_argument("--channel", type=_channel, metavar="N|NAME", help="of several channels: which one alone")
    parser.add_argument("--series", metavar="NAME", help="of several images in one file or folder: which one")
    parser.add_argument(
        "--voxel-um",
        type=_length,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="size of a voxel, where the file does not say",
    )
    parser.add_argument(
        "--foreground", default="head", choices=("head", "all"), help="head: find the head; all: use the whole image"
    )
    text = "noise level as a fraction of the intensity range, instead of the one estimated from the image"
    parser.add_argument("--noise-sigma", type=float, metavar="S", help=text)
    text = "write the result even if it differs too much from its input"
    parser.add_argument("--force", action="store_true", help=text)
    text = "write the error map beside the output (default: of all but images that are restored part by part)"
    parser.add_argument("--uncertainty", action=BooleanOptionalAction, default=None, help=text)
    text = "uncertainty/calibration.json of the network's run: what its disagreement is worth as an error"
    parser.add_argument("--calibration", type=Path, metavar="PATH", help=text)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")
    add_memory(parser)
    add_settings(parser, Infer)


def _length(text: str) -> float:
    length = float(text)
    if not (math.isfinite(length) and length > 0):
        raise ArgumentTypeError(f"{text} is no size of a voxel: it must be greater than 0")
    return length


def _channel(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = read_section(Infer, arguments.settings)
    options = {"noise_sigma": arguments.noise_sigma, "force": arguments.force or None}
    given = {name: value for name, value in options.items() if value is not None}
    settings = read_section(Infer, settings.model_copy(update=given).model_dump_json())
    use_memory(arguments.memory_mb)
    voxel_um = tuple(arguments.voxel_um) if arguments.voxel_um else None
    part = Part(arguments.frame, arguments.channel, arguments.series, voxel_um)
    extraction = Extract(plane=arguments.plane, foreground=arguments.foreground)
    factor = read_factor(arguments.calibration) if arguments.calibration else 1.0
    doubt = Doubt(arguments.uncertainty, factor)
    apply(arguments.model, arguments.input, part, extraction, settings, arguments.device, arguments.output, doubt)
