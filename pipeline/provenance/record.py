"""The record of a run, `provenance.json`: code, packages, configuration, data, and distances between blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import SerializerFunctionWrapHandler, ValidationError, field_serializer, model_serializer

from pipeline import __version__
from pipeline.config.base import Section
from pipeline.config.checks import gap_between
from pipeline.config.known import known_sources
from pipeline.config.load import read_run, read_yaml
from pipeline.config.mistakes import explain
from pipeline.config.run import Run
from pipeline.config.sources import Network
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.image.image import Image
from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE
from pipeline.provenance.environment import Environment
from pipeline.sources.download_record import DownloadRecord
from pipeline.tables.duplicates import SharedPictures

FILE_NAME = "provenance.json"

NOT_RECORDED = ("reading", "report", "resources", "store")
"""Sections of the configuration that change no result; leaving them out avoids needless reruns."""


class SourceRecord(DownloadRecord):
    """A source of data or weights: the record of its download and its uses in the run."""

    version: str | None = None
    network: Network | None
    """architecture, for network weights"""
    used_for: tuple[str, ...]
    """volumes read from the source, and other uses"""

    @classmethod
    def of_download(cls, download: DownloadRecord, run: Run) -> SourceRecord:
        """Complete the record of a download with the uses of the source in a run."""
        name = download.name
        source = {**known_sources(), **run.sources}.get(name)
        uses = [volume.id for volume in run.volumes if name in volume.source_names]
        uses += [f"segmentation of {volume.id}" for volume in run.volumes if name in volume.companion_names]
        if run.train.initial_weights == name:
            uses.append("initial weights")
        if run.train.perceptual_weights == name:
            uses.append("perceptual features")
        return cls(**download.model_dump(), network=source.network if source else None, used_for=tuple(uses))

    @model_serializer(mode="wrap")
    def _without_absent(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the properties of the origin that the source does not have."""
        kept = ("version", "network")
        return {name: value for name, value in serialise(self).items() if value is not None or name in kept}


class VolumeRecord(Section):
    """Identity, geometry, intensity range and source of an extracted volume; None where unknown or not applicable."""

    id: str
    subject: str
    split: str
    source: str
    """name of the source; of a volume combined from several scans, their names joined by +"""
    source_sha256: str
    plane: str
    """axial, coronal or sagittal; "picture" for micrographs and pictures"""
    plane_reason: str | None
    """why the plane was chosen, as the end of a sentence"""
    slices: tuple[int, int] | None
    """first slice and end of the block in the whole volume"""
    channels: tuple[str, ...] | None
    collection: bool | None
    """True for a stack of pictures of a collection"""
    spacing_mm: tuple[float, ...] | None
    bias_corrected: bool
    offset: float | tuple[float, ...] | None
    """intensity that becomes 0, of the volume or of each channel; None for a collection, whose pictures have their
    own"""
    offset_percentile: float
    scale: float | tuple[float, ...] | None
    """difference between the intensities that become 1 and 0"""
    scale_percentile: float
    foreground_fraction: float
    foreground_slices: int
    """number of slices with enough foreground"""
    left_out: dict[str, int]
    """for a collection: number of excluded pictures by reason, too_large and near_duplicate"""
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    """voxel size in `unit`"""
    unit: str
    orientation: str | None
    """orientation of the axes in the file, such as "LIA\""""
    stored_dtype: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources."""
        return tuple(self.source.split("+"))

    @classmethod
    def of_image(cls, image: Image) -> VolumeRecord:
        """Return the record of an extracted volume."""
        identity, block, stack, slicing = image.identity, image.block, image.stack, image.slicing
        # Every picture of a collection has a range of its own.
        ranges = None if stack.is_collection else image.intensity
        left_out = {"too_large": len(block.too_large), "near_duplicate": len(block.near_duplicates)}
        orientation = image.header.orientation
        return cls(
            id=identity.id,
            subject=identity.subject,
            split=identity.split,
            source=identity.source,
            source_sha256=identity.source_sha256,
            plane=image.plane,
            plane_reason=(slicing and slicing.reason) or None,
            slices=block.slices,
            channels=stack.channels or None,
            collection=stack.is_collection or None,
            spacing_mm=block.spacing_mm,
            bias_corrected=block.bias_corrected,
            offset=ranges and ranges.offset,
            offset_percentile=LOW_PERCENTILE,
            scale=ranges and ranges.scale,
            scale_percentile=PERCENTILE,
            foreground_fraction=block.foreground_fraction,
            foreground_slices=stack.count_sections(block.foreground_slices),
            left_out=left_out if stack.is_collection else {},
            shape=image.data.shape,
            spacing=tuple(round(length, 6) for length in image.spacing),
            unit=image.unit,
            orientation=orientation and orientation.code,
            stored_dtype=image.intensity.dtype,
        )


class Gap(Section):
    """Number of slices between two blocks of one head that belong to different splits."""

    one: str
    one_split: str
    other: str
    other_split: str
    slices: int


class Provenance(Environment):
    """The record of a run. It contains no date, so that equal runs have equal records."""

    brainsr: str
    """version of BrainSR"""
    config: Run
    """the whole configuration; sections that change no result have their default values"""
    seed: int
    sources: tuple[SourceRecord, ...]
    """sources of data and weights, by name"""
    volumes: tuple[VolumeRecord, ...]
    """all volumes, in the order of the configuration"""
    gaps: tuple[Gap, ...]
    near_duplicates: tuple[SharedPictures, ...]

    @property
    def stacks(self) -> set[str]:
        """Volumes that are stacks of the pictures of a collection."""
        return {volume.id for volume in self.volumes if volume.collection}

    def source(self, name: str) -> SourceRecord | None:
        """Return the source of this name, if the run used it."""
        return next((source for source in self.sources if source.name == name), None)

    def gap_to_training(self, volume: str) -> int | None:
        """Return the slices between a volume and the nearest training slices of its subject; None where unknown."""
        distances = [
            gap.slices
            for gap in self.gaps
            if (gap.one, gap.other_split) == (volume, "train") or (gap.other, gap.one_split) == (volume, "train")
        ]
        return min(distances, default=None)

    @field_serializer("config")
    def _config_to_json(self, config: Run) -> dict[str, Any]:
        return config_to_json(config)

    def write(self, path: Path) -> None:
        """Write the record."""
        write_json(path, self.model_dump(mode="json"))


def config_to_json(run: Run) -> dict[str, Any]:
    """Return a configuration as JSON, without the sections that change no result."""
    return run.model_dump(mode="json", exclude=set(NOT_RECORDED))


def make_provenance(
    run: Run,
    sources: Sequence[SourceRecord],
    volumes: Sequence[VolumeRecord],
    near_duplicates: Sequence[SharedPictures] = (),
    snakemake: str | None = None,
) -> Provenance:
    """Return the record of a run.

    Args:
        run: the whole configuration.
        sources: the sources of data and weights.
        volumes: the extracted volumes.
        near_duplicates: number of pictures or slices that volumes in different splits share.
        snakemake: version of the Snakemake that runs the workflow, if it is not installed in this environment.
    """
    order = {volume.id: place for place, volume in enumerate(run.volumes)}
    current = Environment.current()
    return Provenance(
        brainsr=__version__,
        git=current.git,
        packages={**current.packages, **({"snakemake": snakemake} if snakemake else {})},
        platform=current.platform,
        config=run,
        seed=run.seed,
        sources=tuple(sorted(sources, key=lambda source: source.name)),
        volumes=tuple(sorted(volumes, key=lambda volume: order.get(volume.id, len(order)))),
        gaps=tuple(find_gaps(run.volumes)),
        near_duplicates=tuple(near_duplicates),
    )


def read_provenance(path: Path) -> Provenance:
    """Read the record of a run.

    Args:
        path: provenance.json in the folder of the run's results.

    Raises:
        UserError: the file is missing or is not a record of this version of BrainSR.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a completed run, such as results/demo.")
    values = read_json(path)
    try:
        return Provenance.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UserError(
            f"{path}: is not the provenance of a run of this version of BrainSR ({__version__}): "
            f"{explain(error, Provenance)[0]}. Complete the run with this version, or use the version that made it."
        ) from error


def read_config(text: str) -> Run:
    """Read a whole configuration, given as the path of a YAML file or as JSON.

    JSON comes from a configuration that was already read: its data sets are listed as volumes.

    Raises:
        UserError: with every mistake, one a line.
    """
    is_json = text.lstrip().startswith("{")
    return read_run(json.loads(text) if is_json else read_yaml(Path(text)), look=not is_json)


def find_gaps(volumes: Sequence[Volume]) -> list[Gap]:
    """Return the number of slices between every two blocks of one head that belong to different splits."""
    found = []
    for one, other in combinations(volumes, 2):
        distance = gap_between(one, other) if one.split != other.split else None
        if distance is not None:
            names = {"one": one.id, "one_split": one.split, "other": other.id, "other_split": other.split}
            found.append(Gap(**names, slices=distance))
    return found
