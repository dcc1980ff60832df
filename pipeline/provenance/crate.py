"""RO-Crate of a run's results: JSON-LD according to RO-Crate 1.1 and the profile Process Run Crate 0.5.

Soiland-Reyes et al., Data Science 5(2):97-138, 2022; Leo et al., PLOS ONE 19(9):e0309210, 2024. The library rocrate is
not used: it handles whole crates as objects, while this one is a plain list of up to tens of thousands of entities.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.files import write_json
from pipeline.provenance.outputs import checksums, final_outputs
from pipeline.provenance.record import FILE_NAME, Provenance, SourceRecord, config_to_json, read_provenance
from pipeline.provenance.reproduction import repeatable_config

logger = logging.getLogger(__name__)

Entity = dict[str, Any]

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
DESCRIPTOR = "ro-crate-metadata.json"
ACTION, PROGRAM, LICENCES = "#run", "#brainsr", "#licences"

MEDIA_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".gz": "application/gzip",
    ".nii": "application/octet-stream",
    ".png": "image/png",
    ".safetensors": "application/octet-stream",
    ".tiff": "image/tiff",
    ".txt": "text/plain",
    ".zip": "application/zip",
}
"""Media types by the end of a file's name."""

FOLDERS = {
    "predictions/": "Restored volumes of all methods",
    "extracted/": "Reference volumes, normalised, with their foreground masks",
    "degraded/": "Low-resolution volumes and their forward models",
    "logs/": "Log of every job",
    "benchmarks/": "Time and memory of every job, measured by Snakemake",
}
"""Folders described as one entity each; their files are not listed."""

PAGES = "pages"
"""Kind of the report pages: they have no checksum, because they may be large and show the date."""


def write_crate(results: Path, config: Path, output: Path) -> None:
    """Write the configuration of a run and the description of its folder.

    Args:
        results: folder of the run's results, with its provenance.
        config: path of the configuration in that folder (.json).
        output: path of the description in that folder (ro-crate-metadata.json).

    Raises:
        UserError: the run has no provenance, or a file cannot be written.
    """
    record = read_provenance(results / FILE_NAME)
    write_json(config, config_to_json(repeatable_config(record)))
    kinds = {
        config.relative_to(results).as_posix(): "configuration of the run",
        FILE_NAME: "record of code, packages, configuration and data",
        **{path: kind for path, kind in final_outputs(results).items() if not path.startswith("predictions/")},
        **{path.relative_to(results).as_posix(): PAGES for path in sorted(results.glob("reports/*.html"))},
    }
    summed = [path for path, kind in kinds.items() if kind != PAGES]
    sums = dict(zip(summed, checksums([results / path for path in summed]), strict=True))
    files = [file_entity(path, kind, (results / path).stat().st_size, sums.get(path)) for path, kind in kinds.items()]
    folders = [folder for folder in FOLDERS if (results / folder).is_dir()]
    write_json(output, crate(record, files, folders, datetime.now(UTC).isoformat(timespec="seconds")))
    logger.info("%d files, %d folders", len(files), len(folders))


def crate(record: Provenance, files: Sequence[Entity], folders: Sequence[str], date: str) -> Entity:
    """Return the metadata of a run's folder as JSON-LD.

    Args:
        record: content of provenance.json.
        files: one `file_entity` per file; the first is the configuration, which is an input.
        folders: the keys of `FOLDERS` that exist.
        date: time of completion, ISO 8601 with a time zone.
    """
    name = record.config.run
    folder_entities = [{"@id": folder, "@type": "Dataset", "name": FOLDERS[folder]} for folder in folders]
    sources = [source_entity(source) for source in record.sources]
    packages = [package_entity(*package) for package in record.packages.items()]
    return {
        "@context": CONTEXT,
        "@graph": [
            {
                "@id": DESCRIPTOR,
                "@type": "CreativeWork",
                "about": refer("./"),
                "conformsTo": refer(SPECIFICATION),
            },
            root_entity(record, [*files, *folder_entities], sources, date),
            {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
            {
                "@id": LICENCES,
                "@type": "CreativeWork",
                "name": "Licences of the data and weights",
                "description": describe_licences(record),
            },
            {
                "@id": ACTION,
                "@type": "CreateAction",
                "name": f"The run {name} of BrainSR",
                "description": "Download, extraction, degradation, training, restoration and evaluation",
                "instrument": refer(PROGRAM),
                "object": [refer(one["@id"]) for one in (files[0], *sources)],
                "result": [refer(one["@id"]) for one in (*files[1:], *folder_entities)],
                "endTime": date,
                "actionStatus": "http://schema.org/CompletedActionStatus",
            },
            program_entity(record, packages),
            *packages,
            *sources,
            *files,
            *folder_entities,
        ],
    }


def refer(identifier: str) -> dict[str, str]:
    """Return a reference to an entity."""
    return {"@id": identifier}


def root_entity(record: Provenance, parts: Sequence[Entity], sources: Sequence[Entity], date: str) -> Entity:
    """Return the entity of the whole folder."""
    name, deliver = record.config.run, record.config.infer.deliver
    volumes = len(record.volumes)
    return {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": refer(PROFILE),
        "name": f"Results of the BrainSR run {name}",
        "description": f"Super-resolution of {volumes} volumes, delivered method {deliver}: volumes, networks, "
        "metrics and reports. Research software: not for diagnosis or treatment.",
        "datePublished": date,
        "license": refer(LICENCES),
        "isBasedOn": [refer(source["@id"]) for source in sources],
        "hasPart": [refer(part["@id"]) for part in parts],
        "mentions": refer(ACTION),
    }


def describe_licences(record: Provenance) -> str:
    """List the licence of each source; the results are bound by them."""
    listed = "; ".join(f"{source.name}: {source.licence or 'not stated'}" for source in record.sources)
    return f"The results are derived from these data and weights and bound by their licences. {listed}"


def program_entity(record: Provenance, packages: Sequence[Entity]) -> Entity:
    """Return the entity of BrainSR: its version and, in a git checkout, the commit."""
    git, platform = record.git, record.platform
    changed = " with uncommitted changes" if git and git.changed else ""
    commit = f", git commit {git.commit}{changed}" if git else ""
    return {
        "@id": PROGRAM,
        "@type": "SoftwareApplication",
        "name": "BrainSR",
        "description": "Snakemake workflow for the super-resolution of brain images",
        "softwareVersion": f"{record.brainsr}{commit}",
        "license": refer("https://spdx.org/licenses/BSD-3-Clause"),
        "operatingSystem": f"{platform.system} {platform.release} {platform.machine}",
        "softwareRequirements": [refer(package["@id"]) for package in packages],
    }


def package_entity(name: str, version: str) -> Entity:
    """Return the entity of a Python package."""
    return {
        "@id": f"#package-{name}",
        "@type": "SoftwareApplication",
        "name": name,
        "softwareVersion": version,
    }


def source_entity(source: SourceRecord) -> Entity:
    """Return the entity of data or weights; unknown properties are left out."""
    known = {
        "name": source.title or source.name,
        "license": source.licence,
        "citation": source.citation,
        "version": source.version,
        "sha256": source.sha256,
    }
    return {
        "@id": f"#source-{source.name}",
        "@type": "CreativeWork",
        "identifier": source.name,
        "description": f"Used for: {', '.join(source.used_for) or 'nothing'}",
        **{key: value for key, value in known.items() if value},
    }


def file_entity(path: str, kind: str, size_bytes: int, sha256: str | None) -> Entity:
    """Return the entity of a file in the run's folder.

    Args:
        path: relative to that folder, with slashes.
        kind: description of the file.
        size_bytes: size of the file.
        sha256: its checksum, None for pages.
    """
    suffix = path[path.rfind(".") :]
    return {
        # RO-Crate 1.1, section "Encoding file paths".
        "@id": quote(path),
        "@type": "File",
        "name": path,
        "description": kind,
        "encodingFormat": MEDIA_TYPES.get(suffix, "application/octet-stream"),
        "contentSize": str(size_bytes),
        **({"sha256": sha256} if sha256 else {}),
    }
