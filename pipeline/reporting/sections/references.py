"""The references that the methods cite."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.reporting.bids_methods import bids_methods
from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.combined_methods import combined_methods
from pipeline.reporting.combined_report import CombinedReport
from pipeline.reporting.literature import bibtex
from pipeline.reporting.methods_text import index_methods
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Preformatted, Section, Template
from pipeline.reporting.sections.methods import volume_methods
from pipeline.reporting.volume_report import VolumeReport


def for_index(run: RunRecord) -> Section:
    """List the references of the methods."""
    _, references = index_methods(run)
    return references_section(references)


def for_volume(volume: VolumeReport) -> Section:
    """List the references of the methods, also as BibTeX to copy."""
    _, references = volume_methods(volume)
    return _references_to_copy(references)


def for_combined(report: CombinedReport) -> Section:
    """List the references of the methods of a combined volume, also as BibTeX to copy."""
    _, references = combined_methods(report)
    return _references_to_copy(references)


def for_bids_subject(report: BidsReport) -> Section:
    """List the references of the methods of images of a BIDS data set, also as BibTeX to copy."""
    _, references = bids_methods(report)
    return _references_to_copy(references)


def for_bids_cohort(report: BidsReport) -> Section:
    """List the same for all subjects."""
    return for_bids_subject(report)


def _references_to_copy(references: Sequence[str]) -> Section:
    return references_section(references, Preformatted("References as BibTeX", bibtex(references), "bibtex"))


def references_section(references: Sequence[str], *more: Block) -> Section:
    """Return the list of references, followed by other blocks."""
    return Section("references", "References", (Template("references", references), *more))
