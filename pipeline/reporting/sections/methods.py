"""The methods: what was done, written from the records of the run."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.reporting import methods_text
from pipeline.reporting.bids_methods import bids_methods
from pipeline.reporting.bids_report import BidsReport
from pipeline.reporting.combined_methods import combined_methods
from pipeline.reporting.combined_report import CombinedReport
from pipeline.reporting.literature import Bibliography
from pipeline.reporting.methods_text import Paragraph, index_methods
from pipeline.reporting.run_record import RunRecord
from pipeline.reporting.section import Block, Heading, Preformatted, Section, Text
from pipeline.reporting.templates import cited
from pipeline.reporting.volume_report import VolumeReport


def for_index(run: RunRecord) -> Section:
    """Describe data, degradation, networks, baselines, metrics and software of the run."""
    paragraphs, _ = index_methods(run)
    return Section("methods", "Methods", method_blocks(paragraphs), link="Methods", style="prose")


def for_volume(volume: VolumeReport) -> Section:
    """Describe the same for one volume, also as plain text to copy."""
    return _methods_to_copy(*volume_methods(volume))


def for_combined(report: CombinedReport) -> Section:
    """Describe how a volume was combined, also as plain text to copy."""
    return _methods_to_copy(*combined_methods(report))


def for_bids_subject(report: BidsReport) -> Section:
    """Describe how the images of a BIDS data set were restored, also as plain text to copy."""
    return _methods_to_copy(*bids_methods(report))


def for_bids_cohort(report: BidsReport) -> Section:
    """Describe the same for all subjects."""
    return _methods_to_copy(*bids_methods(report))


def _methods_to_copy(paragraphs: Sequence[Paragraph], references: Sequence[str]) -> Section:
    numbered = "\n".join(f"[{number}] {text}" for number, text in enumerate(references, start=1))
    text = "\n\n".join(f"{paragraph.heading}\n{paragraph.text}" for paragraph in paragraphs)
    plain = Preformatted("Methods as plain text", f"{text}\n\nReferences\n{numbered}\n", "methods-text")
    return Section("methods", "Methods", (*method_blocks(paragraphs), plain), link="Methods", style="prose")


def volume_methods(volume: VolumeReport) -> tuple[tuple[Paragraph, ...], tuple[str, ...]]:
    """Return the methods behind the results of a volume, and the references they cite."""
    record, books = volume.run.provenance, Bibliography()
    own = [one for one in record.volumes if one.id == volume.id]
    trained_on = [one for one in record.volumes if one.split in ("train", "val") and one not in own]
    model = volume.low.forward_model
    networks = [network.method for network in volume.run.models]
    paragraphs = (
        methods_text.describe_data([*own, *trained_on], record, books),
        methods_text.describe_extraction(record, books),
        methods_text.describe_degradation(model, volume.reference, books),
        methods_text.describe_networks(record, networks, volume.deliver, books),
        methods_text.describe_baselines(volume.tuned),
        methods_text.describe_metrics(record, books),
        methods_text.describe_software(record, books),
    )
    return paragraphs, books.references


def method_blocks(paragraphs: Sequence[Paragraph]) -> tuple[Block, ...]:
    """Return paragraphs under their headings, their citations linked to the references."""
    pairs = ((Heading(one.heading), Text(cited(one.text))) for one in paragraphs)
    return tuple(block for pair in pairs for block in pair)
