"""The results of a run as a research object: JSON-LD by RO-Crate 1.1 and the profile Process Run Crate 0.5.

Soiland-Reyes et al., Data Science 5(2):97-138, 2022; Leo et al., PLOS ONE 19(9):e0309210, 2024. The library rocrate is
not used: it reads and writes whole crates, and this one is a list of plain entities of which a run of many volumes has
tens of thousands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pipeline.provenance.record import Record

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
"""Kinds of files by the end of their name."""

FOLDERS = {
    "predictions/": "Every method's restoration of every volume",
    "extracted/": "Volumes as they were read, with their foreground, normalised",
    "degraded/": "Low-resolution volumes and the forward models that made them",
    "logs/": "What every step wrote while it ran",
    "benchmarks/": "Time and memory of every job, as Snakemake measured them",
}
"""Folders that are described as wholes."""


def crate(record: Record, files: Sequence[Entity], folders: Sequence[str], date: str) -> Entity:
    """Return the metadata of a run's folder as JSON-LD.

    Args:
        record: what made the results (provenance.json).
        files: what `file_entity` gave for every file; the first is the configuration, which is an input.
        folders: those of `FOLDERS` that the run has.
        date: when the results were completed, as ISO 8601 with a time zone.
    """
    name = record["config"]["run"]
    folder_entities = [{"@id": folder, "@type": "Dataset", "name": FOLDERS[folder]} for folder in folders]
    sources = [source_entity(source) for source in record["sources"]]
    packages = [package_entity(*package) for package in record["packages"].items()]
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
                "description": licence_words(record),
            },
            {
                "@id": ACTION,
                "@type": "CreateAction",
                "name": f"The run {name} of BrainSR",
                "description": "Download, extraction, degradation, training, restoration and measurement",
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


def root_entity(record: Record, parts: Sequence[Entity], sources: Sequence[Entity], date: str) -> Entity:
    """Return the entity of the whole folder."""
    name, deliver = record["config"]["run"], record["config"]["infer"]["deliver"]
    volumes = len(record["volumes"])
    return {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": refer(PROFILE),
        "name": f"Results of the BrainSR run {name}",
        "description": f"Super-resolution of {volumes} volumes, delivered as restored by {deliver}: volumes, networks, "
        "measures and reports. Research software: not for diagnosis or treatment.",
        "datePublished": date,
        "license": refer(LICENCES),
        "isBasedOn": [refer(source["@id"]) for source in sources],
        "hasPart": [refer(part["@id"]) for part in parts],
        "mentions": refer(ACTION),
    }


def licence_words(record: Record) -> str:
    """Says which licence each source has; results that derive from it are bound by it."""
    told = "; ".join(f"{source['name']}: {source['licence'] or 'not stated'}" for source in record["sources"])
    return f"The results derive from these data and weights, whose licences bind them. {told}"


def program_entity(record: Record, packages: Sequence[Entity]) -> Entity:
    """Return BrainSR as it was: its version, and the commit where it was run from a git checkout."""
    git = record.get("git")
    changed = " with changes that are in no commit" if git and git["changed"] else ""
    commit = f", git commit {git['commit']}{changed}" if git else ""
    return {
        "@id": PROGRAM,
        "@type": "SoftwareApplication",
        "name": "BrainSR",
        "description": "Snakemake workflow for the super-resolution of brain images",
        "softwareVersion": f"{record['brainsr']}{commit}",
        "license": refer("https://spdx.org/licenses/BSD-3-Clause"),
        "operatingSystem": " ".join(str(record["platform"][key]) for key in ("system", "release", "machine")),
        "softwareRequirements": [refer(package["@id"]) for package in packages],
    }


def package_entity(name: str, version: str) -> Entity:
    """Return a Python package in the version that was used."""
    return {
        "@id": f"#package-{name}",
        "@type": "SoftwareApplication",
        "name": name,
        "softwareVersion": version,
    }


def source_entity(source: Mapping[str, Any]) -> Entity:
    """Return data or weights that were downloaded; what is not known of them is left out."""
    known = {
        "name": source["title"] or source["name"],
        "license": source["licence"],
        "citation": source["citation"],
        "version": source["version"],
        "sha256": source["sha256"],
    }
    return {
        "@id": f"#source-{source['name']}",
        "@type": "CreativeWork",
        "identifier": source["name"],
        "description": f"Used for: {', '.join(source['used_for']) or 'nothing'}",
        **{key: value for key, value in known.items() if value},
    }


def file_entity(path: str, kind: str, size_bytes: int, sha256: str | None) -> Entity:
    """Return a file of the run's folder.

    Args:
        path: in that folder, with slashes.
        kind: what it is, in words.
        size_bytes: its size.
        sha256: its checksum; None where it has none, as pages with a clock on them.
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
