"""The references that the methods cite."""

from __future__ import annotations

from pipeline.reporting.methods_text import index_methods
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Section, Template


def for_index(run: RunRecord) -> Section:
    """List the references of the methods."""
    _, references = index_methods(run)
    return Section("references", "References", (Template("references", references),))
