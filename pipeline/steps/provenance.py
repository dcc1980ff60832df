"""Record what made the results: code, packages, configuration, data, and how far blocks of one head lie apart."""

from __future__ import annotations

import json
import logging
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
from pipeline.files import read_json, write_json
from pipeline.formats.io.container import read_image
from pipeline.image.channels import count_sections
from pipeline.image.image import Image
from pipeline.reporting.versions import git_state, package_versions, platform_facts
from pipeline.steps._cli import ArgumentParser, Namespace, add_path
from pipeline.tables.duplicates import count_duplicates

logger = logging.getLogger(__name__)

NOT_RECORDED = ("reading", "report", "resources", "store")
"""Keys that change no result; left out, so that they do not make the record, and all that reads it, anew."""

SOURCE_KEYS = ("title", "licence", "citation", "version", "sha256", "downloaded_sha256")
"""Always in the record of a source, null where they are not known."""

VOLUME_FACTS = (
    "plane",
    "plane_reason",
    "slices",
    "channels",
    "collection",
    "spacing_mm",
    "bias_corrected",
    "offset",
    "offset_percentile",
    "scale",
    "scale_percentile",
    "foreground_fraction",
    "source_sha256",
)


def read_config(text: str) -> Run:
    """Read a whole configuration from a file, or from the JSON of one that was read, whose data sets are volumes.

    Raises:
        UserError: with every mistake, one a line.
    """
    is_json = text.lstrip().startswith("{")
    return read_run(json.loads(text) if is_json else read_yaml(Path(text)), look=not is_json)


def gaps(volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    """Return how many slices lie between every two blocks of one head that are in different splits."""
    found = []
    for one, other in combinations(volumes, 2):
        distance = gap_between(one, other) if one.split != other.split else None
        if distance is not None:
            names = {"one": one.id, "one_split": one.split, "other": other.id, "other_split": other.split}
            found.append({**names, "slices": distance})
    return found


def describe_source(record: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Complete a download's record by what the source is used for and, for weights, which network they are."""
    name = record["name"]
    source = {**known_sources(), **run.sources}.get(name)
    network = source.network.model_dump(mode="json") if source and source.network else None
    uses = [volume.id for volume in run.volumes if volume.source == name]
    uses += [f"segmentation of {volume.id}" for volume in run.volumes if volume.segmentation == name]
    if run.train.initial_weights == name:
        uses.append("initial weights")
    if run.train.perceptual_weights == name:
        uses.append("perceptual features")
    return {**dict.fromkeys(SOURCE_KEYS), **record, "network": network, "used_for": uses}


def describe_volume(image: Image) -> dict[str, Any]:
    """Return what a reader wants to know of an extracted volume."""
    facts = image.facts
    return {
        **{name: facts[name] for name in ("id", "subject", "split", "source")},
        **{name: facts.get(name) for name in VOLUME_FACTS},
        "foreground_slices": count_sections(facts, facts["foreground_slices"]),
        "left_out": {why: len(names) for why, names in facts.get("left_out", {}).items()},
        "shape": list(image.data.shape),
        "spacing": [round(length, 6) for length in image.spacing],
        "unit": image.unit,
        "orientation": image.origin.get("orientation_code"),
        "stored_dtype": image.intensity.dtype,
    }


def provenance(
    run: Run,
    sources: Sequence[Mapping[str, Any]],
    volumes: Sequence[Mapping[str, Any]],
    near_duplicates: Sequence[Mapping[str, Any]] = (),
    snakemake: str | None = None,
) -> dict[str, Any]:
    """Put the record together; it holds no clock, so that the same run gives the same record.

    Args:
        run: the whole configuration.
        sources: what `describe_source` gave for every source.
        volumes: what `describe_volume` gave for every volume.
        near_duplicates: pairs of volumes in different splits with pictures or slices in common, and how many.
        snakemake: its version; None where it is installed here, or did not run this.
    """
    order = {volume.id: place for place, volume in enumerate(run.volumes)}
    return {
        "brainsr": __version__,
        "git": git_state(),
        "packages": {**package_versions(), **({"snakemake": snakemake} if snakemake else {})},
        "platform": platform_facts(),
        "config": run.model_dump(mode="json", exclude=set(NOT_RECORDED)),
        "seed": run.seed,
        "sources": sorted(sources, key=lambda source: source["name"]),
        "volumes": sorted(volumes, key=lambda volume: order.get(volume["id"], len(order))),
        "gaps": gaps(run.volumes),
        "near_duplicates": list(near_duplicates),
    }


def read_source_record(path: Path) -> dict[str, Any]:
    """Read what the stage `download` wrote about a source.

    Raises:
        UserError: the file is missing or is no such record.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "name" not in record:
        raise UserError(f"{path}: is no record of a download; delete it and run again.")
    return record


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    parser.add_argument("--config", required=True, metavar="JSON|FILE", help="the whole configuration")
    add_path(parser, "--sources", "records of the downloads (.source.json)", many=True)
    add_path(parser, "--volumes", "extracted volumes (.safetensors)", many=True)
    add_path(parser, "--duplicates", "what the stage duplicates wrote (.csv)", required=False)
    parser.add_argument(
        "--snakemake", metavar="VERSION", help="of the Snakemake that runs this, where it is not installed here"
    )
    add_path(parser, "--output", "where the record is written (.json)")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    run = read_config(arguments.config)
    sources = [describe_source(read_source_record(path), run) for path in arguments.sources]
    volumes = [describe_volume(read_image(path)) for path in arguments.volumes]
    near_duplicates = count_duplicates(arguments.duplicates) if arguments.duplicates else []
    write_json(arguments.output, provenance(run, sources, volumes, near_duplicates, arguments.snakemake))
    logger.info("%d sources, %d volumes", len(sources), len(volumes))
