"""Write the results of images from BIDS folders as a BIDS data set of derivatives.

Every image has a sidecar (JSON) with its source and the method. Follows BIDS 1.10 (Brain Imaging Data Structure),
common data types of derivatives.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from zipfile import BadZipFile, ZipFile

from tqdm import tqdm

from pipeline.config.base import Section
from pipeline.config.bids.sidecars import read_sidecars
from pipeline.config.finding.kinds.bids import DESCRIPTION_FILE
from pipeline.config.load import read_entry
from pipeline.config.sources import LocalSource
from pipeline.errors import UserError, about
from pipeline.files import folder_beside, publish_folder, read_json, replacing, write_json
from pipeline.provenance.bids import data_set_description, place_of, size_of
from pipeline.sources.chunks import read_pieces, write_pieces
from pipeline.steps._framework import entry

logger = logging.getLogger(__name__)

RESULT = (
    "Super-resolved by BrainSR ({method}) from a low-resolution image simulated from the source with the ForwardModel"
)
MAP = (
    "Half-width of the 90 % prediction interval of each voxel of the image of the same name with desc-brainsr, "
    "super-resolved by BrainSR ({method}): calibrated on the validation volumes, in the units of the image"
)
MICROSCOPY = "micr"
"""Folder of the data type microscopy."""
KEPT_KEYS = ("SkullStripped", "SliceThickness", "SpacingBetweenSlices")
"""Keys that are copied from the sidecars of the source image, if present; a result lies on the grid of its source."""


def sidecar(
    source: LocalSource,
    link: str,
    method: str,
    forward_model: Mapping[str, Any],
    size: Mapping[str, Any],
    raw: Mapping[str, Any],
    description: str = RESULT,
) -> dict[str, Any]:
    """Return the sidecar of a result.

    Args:
        source: the source image.
        link: name of the source image's data set in DatasetLinks.
        method: method that restored the image.
        forward_model: forward model of the low-resolution image; see `pipeline.physics.forward`.
        size: voxel size of the result, as returned by `size_of`.
        raw: merged sidecars of the source image.
        description: RESULT or MAP.
    """
    known = {key: raw[key] for key in KEPT_KEYS if key in raw}
    if MICROSCOPY not in PurePosixPath(source.path_in_bids).parts:
        known.setdefault("SkullStripped", False)  # required in derivatives of MRI
    return {
        "Description": description.format(method=method),
        "Sources": [f"bids:{link}:{source.path_in_bids}"],
        "Method": method,
        "Factors": list(forward_model["factors"]),
        "ForwardModel": dict(forward_model),
        **size,
        **known,
    }


def write_image(image: Path, output: Path) -> None:
    """Write a result atomically under its new name; OME-Zarr is unpacked to a folder.

    Raises:
        UserError: the result cannot be read.
    """
    if output.suffix != ".zarr":
        with replacing(output) as partial:
            write_pieces(read_pieces(image), partial, "wb", output.name)
        return
    try:
        with folder_beside(output) as folder, ZipFile(image) as archive:
            archive.extractall(folder)  # written by this package; zipfile does not write outside the folder
            publish_folder(folder, output)
    except (OSError, BadZipFile) as error:
        raise UserError(f"cannot read {image}: {error}. Delete it and run again.") from error


class Derivative(Section):
    """A result that is written as a derivative.

    Attributes:
        name: path in the folder of derivatives, without extension: sub-01/anat/sub-01_desc-brainsr_T1w.
        volume: id of the volume.
        source: the image of the BIDS folder.
        link: name of the image's data set in DatasetLinks.
        voxel_um: voxel size of a micrograph along x, y and z in micrometres; empty if unknown.
        error_map: whether the result is an uncertainty map.
    """

    name: str
    volume: str
    source: LocalSource
    link: str
    voxel_um: tuple[float, ...] = ()
    error_map: bool = False


BIDS_SUFFIXES = {".ome.tiff": ".ome.tif", ".ome.zarr.zip": ".ome.zarr"}
"""Suffixes that differ in BIDS."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    results: Path
    """Folder of the run, with sr/ and degraded/."""
    entries: list[str]
    """The derivatives, each as JSON (see `Derivative`)."""
    run: str
    """Name of the run."""
    method: str
    """Delivered method."""
    links: Annotated[dict[str, str], entry(dict[str, str], "links")]
    """Folders of the BIDS data sets of the sources, by their names in the sidecars."""
    output: Path
    """Folder of the derivatives."""


def run(options: Options) -> None:
    """Write the data set of derivatives.

    Raises:
        UserError: a file cannot be read.
    """
    derivatives = [read_entry(Derivative, text, "entries") for text in options.entries]
    with folder_beside(options.output) as folder:
        for derivative in tqdm(derivatives, unit="file", disable=None):
            with about(f"volume {derivative.volume!r}"):
                write_derivative(derivative, options.results, options.method, folder)
        raw = {name: read_json(Path(root) / DESCRIPTION_FILE) for name, root in options.links.items()}
        links = {name: place_of(root, options.output / DESCRIPTION_FILE) for name, root in options.links.items()}
        titles = ", ".join(str(raw[name].get("Name", name)) for name in links)
        description = data_set_description(
            f"{titles}: super-resolved by BrainSR, run {options.run}",
            f"results of the method {options.method}",
            links,
            raw,
        )
        write_json(folder / DESCRIPTION_FILE, description)
        publish_folder(folder, options.output)
    logger.info("%s: %d derivatives", options.output, len(derivatives))


def write_derivative(derivative: Derivative, results: Path, method: str, folder: Path) -> None:
    """Write one derivative and its sidecar.

    Args:
        derivative: the result.
        results: folder of the run.
        method: delivered method.
        folder: folder of the derivatives.

    Raises:
        UserError: a file cannot be read.
    """
    stem = f"{derivative.volume}.uncertainty." if derivative.error_map else f"{derivative.volume}."
    # The suffix follows the volume's id, or the word uncertainty.
    candidates = [
        path for path in (results / "sr").glob(f"{stem}*") if derivative.error_map or ".uncertainty" not in path.name
    ]
    if not candidates:
        raise UserError(f"{results / 'sr'}: contains no file {stem}*; delete {results / 'published'} and run again.")
    image = candidates[0]
    suffix = image.name.removeprefix(stem.removesuffix("."))
    write_image(image, folder / f"{derivative.name}{BIDS_SUFFIXES.get(suffix, suffix)}")
    raw = read_sidecars(list(derivative.source.sidecars))
    size = size_of(image, derivative.voxel_um, raw)
    model = read_json(results / "degraded" / f"{derivative.volume}.forward.json")
    text = MAP if derivative.error_map else RESULT
    content = sidecar(derivative.source, derivative.link, method, model, size, raw, text)
    write_json(folder / f"{derivative.name}.json", content)
