"""The record of a run, `provenance.json`: code, packages, configuration, data, and distances between blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.config.checks import gap_between
from pipeline.config.known import known_sources
from pipeline.config.load import read_run, read_yaml
from pipeline.config.run import Run
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.image.image import Image
from pipeline.image.intensity import LOW_PERCENTILE, PERCENTILE
from pipeline.provenance.environment import git_state, package_versions, platform_details

Record = Mapping[str, Any]
"""Content of `provenance.json`."""

REQUIRED_KEYS = ("config", "packages", "platform", "sources")
"""Keys without which a run can be neither repeated nor compared."""

NOT_RECORDED = ("reading", "report", "resources", "store")
"""Sections of the configuration that change no result; leaving them out avoids needless reruns."""

SOURCE_KEYS = ("title", "licence", "citation", "version", "sha256", "downloaded_sha256")
"""Keys of every source; null where the value is unknown."""


def make_record(
    run: Run,
    sources: Sequence[Mapping[str, Any]],
    volumes: Sequence[Mapping[str, Any]],
    near_duplicates: Sequence[Mapping[str, Any]] = (),
    snakemake: str | None = None,
) -> dict[str, Any]:
    """Return the record of a run; it contains no date, so that equal runs have equal records.

    Args:
        run: the whole configuration.
        sources: one `describe_source` per source.
        volumes: one `describe_volume` per volume.
        near_duplicates: pairs of volumes in different splits that share pictures or slices, with the number shared.
        snakemake: version of the Snakemake that runs the workflow, if it is not installed in this environment.
    """
    order = {volume.id: place for place, volume in enumerate(run.volumes)}
    return {
        "brainsr": __version__,
        "git": git_state(),
        "packages": {**package_versions(), **({"snakemake": snakemake} if snakemake else {})},
        "platform": platform_details(),
        "config": run.model_dump(mode="json", exclude=set(NOT_RECORDED)),
        "seed": run.seed,
        "sources": sorted(sources, key=lambda source: source["name"]),
        "volumes": sorted(volumes, key=lambda volume: order.get(volume["id"], len(order))),
        "gaps": gaps(run.volumes),
        "near_duplicates": list(near_duplicates),
    }


def read_record(results: Path) -> dict[str, Any]:
    """Read the record of a run from the folder of its results.

    Raises:
        UserError: the file is missing or is not a record.
    """
    path = results / "provenance.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a completed run, such as results/demo.")
    record = read_json(path)
    if not isinstance(record, dict) or not all(key in record for key in REQUIRED_KEYS):
        raise UserError(f"{path}: is not the provenance of a BrainSR run.")
    return record


def read_config(text: str) -> Run:
    """Read a whole configuration, given as the path of a YAML file or as JSON.

    JSON comes from a configuration that was already read: its data sets are listed as volumes.

    Raises:
        UserError: with every mistake, one a line.
    """
    is_json = text.lstrip().startswith("{")
    return read_run(json.loads(text) if is_json else read_yaml(Path(text)), look=not is_json)


def read_download(path: Path) -> dict[str, Any]:
    """Read the record that the step `download` wrote for a source.

    Raises:
        UserError: the file is missing or is not such a record.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "name" not in record:
        raise UserError(f"{path}: is not the record of a download; delete it and run again.")
    return record


def gaps(volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    """Return the number of slices between every two blocks of one head that belong to different splits."""
    found = []
    for one, other in combinations(volumes, 2):
        distance = gap_between(one, other) if one.split != other.split else None
        if distance is not None:
            names = {"one": one.id, "one_split": one.split, "other": other.id, "other_split": other.split}
            found.append({**names, "slices": distance})
    return found


def describe_source(download: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Complete the record of a download with the uses of the source and, for weights, the network's architecture."""
    name = download["name"]
    source = {**known_sources(), **run.sources}.get(name)
    network = source.network.model_dump(mode="json") if source and source.network else None
    uses = [volume.id for volume in run.volumes if volume.source == name]
    uses += [f"segmentation of {volume.id}" for volume in run.volumes if volume.segmentation == name]
    if run.train.initial_weights == name:
        uses.append("initial weights")
    if run.train.perceptual_weights == name:
        uses.append("perceptual features")
    return {**dict.fromkeys(SOURCE_KEYS), **download, "network": network, "used_for": uses}


def describe_volume(image: Image) -> dict[str, Any]:
    """Return the properties of an extracted volume: identity, geometry, intensity range and source."""
    identity, block, stack, slicing = image.identity, image.block, image.stack, image.slicing
    # Every picture of a collection has a range of its own.
    ranges = None if stack.is_collection else image.intensity
    left_out = {"too_large": len(block.too_large), "near_duplicate": len(block.near_duplicates)}
    orientation = image.header.orientation
    return {
        "id": identity.id,
        "subject": identity.subject,
        "split": identity.split,
        "source": identity.source,
        "source_sha256": identity.source_sha256,
        "plane": image.plane,
        "plane_reason": (slicing and slicing.reason) or None,
        "slices": block.slices,
        "channels": list(stack.channels) or None,
        "collection": stack.is_collection or None,
        "spacing_mm": block.spacing_mm,
        "bias_corrected": block.bias_corrected,
        "offset": ranges and ranges.offset,
        "offset_percentile": LOW_PERCENTILE,
        "scale": ranges and ranges.scale,
        "scale_percentile": PERCENTILE,
        "foreground_fraction": block.foreground_fraction,
        "foreground_slices": stack.count_sections(block.foreground_slices),
        "left_out": left_out if stack.is_collection else {},
        "shape": list(image.data.shape),
        "spacing": [round(length, 6) for length in image.spacing],
        "unit": image.unit,
        "orientation": orientation and orientation.code,
        "stored_dtype": image.intensity.dtype,
    }
