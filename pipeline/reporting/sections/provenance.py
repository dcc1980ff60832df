"""Provenance: code, machine, packages, checksums, configuration and model cards behind the results."""

from __future__ import annotations

import json
from dataclasses import asdict

from pipeline.provenance.record import SourceRecord, config_to_json
from pipeline.reporting.combined_report import CombinedReport
from pipeline.reporting.numbers import format_duration, format_memory
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Cell, Facts, Folded, Items, Preformatted, Section, Table
from pipeline.reporting.titles import readable
from pipeline.reporting.volume_report import VolumeReport


def for_index(run: RunRecord) -> Section:
    """Show the provenance of the run."""
    return Section("provenance", "Provenance", provenance_blocks(run), link="Provenance")


def for_volume(volume: VolumeReport) -> Section:
    """Show the jobs behind the results of a volume, and the provenance of the run."""
    rows = tuple(
        (
            Cell(title),
            Cell(format_duration(job.seconds), job.seconds),
            Cell(format_memory(job.memory_mb), job.memory_mb),
        )
        for title, job in volume.jobs
    )
    jobs = (Table("jobs", "Run time of the jobs", ("Job", "Run time", "Peak memory"), rows),) if rows else ()
    return Section("provenance", "Provenance", (*jobs, *provenance_blocks(volume.run)), link="Provenance")


def for_combined(report: CombinedReport) -> Section:
    """Show the settings of a combined volume, the checksums of its scans, and its whole record."""
    record = report.record
    checksums = "".join(
        f"{scan.file}\n  SHA-256 {scan.sha256 or 'of a folder is not recorded'}\n" for scan in record.scans
    )
    settings = tuple((readable(name), _setting(value)) for name, value in record.settings.items())
    blocks = (
        Facts((("Code", f"BrainSR {record.version}"), *settings)),
        _folded_text("Checksums of the scans", checksums),
        _folded_text("Record with transforms and gates", json.dumps(asdict(record), indent=2, ensure_ascii=False)),
    )
    return Section("provenance", "Settings and provenance", blocks, link="Provenance")


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "automatic" if value is None else readable(str(value))


def provenance_blocks(run: RunRecord) -> tuple[Block, ...]:
    """Return the provenance of a run, details folded."""
    record = run.provenance
    packages = "".join(f"{name} {version}\n" for name, version in record.packages.items())
    gaps = tuple(
        f"{gap.one} ({gap.one_split}) and {gap.other} ({gap.other_split}): {gap.slices} slices" for gap in record.gaps
    )
    config = json.dumps(config_to_json(record.config), indent=2, sort_keys=True, ensure_ascii=False)
    cards = [_folded_text(f"Model card: {model.method}", model.card) for model in run.models]
    return (
        Facts((("Code", _code(run)), ("Machine", _machine(run)), ("Seed", str(record.seed)))),
        _folded_text("Packages", packages),
        _folded_text("Checksums of data and weights", "".join(map(_checksums, record.sources))),
        Folded(
            "Slices between blocks of one subject", (Items(gaps or ("No subject is in two splits.",), style="gaps"),)
        ),
        _folded_text("Configuration", config),
        *cards,
    )


def _folded_text(title: str, text: str) -> Folded:
    return Folded(title, (Preformatted(title, text),))


def _code(run: RunRecord) -> str:
    git = run.provenance.git
    commit = f"commit {git.commit}{', changed since' if git.changed else ''}" if git else "not from a git checkout"
    return f"BrainSR {run.provenance.brainsr}, {commit}"


def _machine(run: RunRecord) -> str:
    platform = run.provenance.platform
    processor = f" ({platform.processor})" if platform.processor else ""
    system = f"{platform.system} {platform.release} on {platform.machine}{processor}"
    return f"{system}, Python {platform.python}"


def _checksums(source: SourceRecord) -> str:
    download = source.downloaded_sha256
    more = f"  of the download {download}\n" if download else ""
    return f"{source.name}\n  SHA-256 {source.sha256}\n{more}"
