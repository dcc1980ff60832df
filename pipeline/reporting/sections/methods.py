"""The methods: what was done, written from the records of the run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.reporting.methods_text import Paragraph, index_methods
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Heading, Section, Text
from pipeline.reporting.templates import cited


def for_index(run: RunRecord) -> Section:
    """Describe data, degradation, networks, baselines, metrics and software of the run."""
    paragraphs, _ = index_methods(run)
    return Section("methods", "Methods", method_blocks(paragraphs), link="Methods", style="prose")


def method_blocks(paragraphs: Sequence[Paragraph]) -> tuple[Block, ...]:
    """Return paragraphs under their headings, their citations linked to the references."""
    pairs = ((Heading(one.heading), Text(cited(one.text))) for one in paragraphs)
    return tuple(block for pair in pairs for block in pair)
