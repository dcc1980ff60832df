"""Describe a run's folder as an RO-Crate: what made it, from what, under which licences, with checksums.

The configuration is written beside it as config.json, which `snakemake --configfile` takes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.files import write_json
from pipeline.provenance.crate import FOLDERS, Entity, crate, file_entity
from pipeline.provenance.outputs import checksums, final_outputs
from pipeline.provenance.record import read_provenance, repeatable_config

logger = logging.getLogger(__name__)

WITHOUT_CHECKSUM = "pages"
"""A kind of output that is large where volumes are many, and that every run writes with other times on it."""

WHOLE = "predictions of all methods"
"""A kind of output that is described as one folder."""


def outputs(results: Path) -> dict[str, str]:
    """Return the kind of every file that the crate lists by its path in the run's folder."""
    final = {path: kind for path, kind in final_outputs(results).items() if kind != WHOLE}
    pages = {path.relative_to(results).as_posix(): WITHOUT_CHECKSUM for path in sorted(results.glob("reports/*.html"))}
    return {"provenance.json": "record of what made the results", **final, **pages}


def file_entities(results: Path, kinds: Mapping[str, str]) -> list[Entity]:
    """Return the entities of files, with their checksums."""
    summed = [path for path, kind in kinds.items() if kind != WITHOUT_CHECKSUM]
    sums = dict(zip(summed, checksums([results / path for path in summed]), strict=True))
    return [file_entity(path, kind, (results / path).stat().st_size, sums.get(path)) for path, kind in kinds.items()]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    run: Path
    """Folder of the run's results."""
    config: Path
    """Where the configuration is written, inside that folder (.json)."""
    output: Path
    """Where the description is written, inside that folder (ro-crate-metadata.json)."""


def run(options: Options) -> None:
    """Write the RO-Crate and the configuration."""
    results = options.run
    record = read_provenance(results)
    write_json(options.config, repeatable_config(record))
    kinds = {options.config.relative_to(results).as_posix(): "configuration of the run", **outputs(results)}
    entities = file_entities(results, kinds)
    folders = [folder for folder in FOLDERS if (results / folder).is_dir()]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(options.output, crate(record, entities, folders, date))
    logger.info("%d files, %d folders", len(entities), len(folders))
